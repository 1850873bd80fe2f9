//! The check of a model's file before a runtime reads it.

use lockstep_engine::infer::load_model::LoadModel;

use crate::digest_cache::known_digest;

/// Checks that the model's file is there and, if the model names a digest, that its content has it. A backend calls this before
/// its runtime reads the file, so that no byte of another file is interpreted.
///
/// The runtimes open the file again, by its path. The check finds a file that is damaged, mixed up or replaced before the load. It
/// does not protect from someone who replaces the file between the check and the load.
///
/// # Errors
/// A file that is missing, that cannot be read, or whose digest differs.
pub fn verify_file(model: &LoadModel) -> Result<(), String> {
    let file = model.file.display();
    if !model.file.is_file() {
        return Err(format!("there is no file {file}"));
    }
    let Some(expected) = model.sha256 else { return Ok(()) };
    match known_digest(&model.file) {
        Ok(found) if found == expected => Ok(()),
        Ok(found) => Err(format!(
            "{file}: its SHA-256 digest is {found}, expected {expected}; fetch the file again, or, if this is the right one, \
             write sha256 = \"{found}\" into its model.toml"
        )),
        Err(error) => Err(format!("{file} cannot be read: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use lockstep_engine::infer::extents::Extents;
    use lockstep_engine::infer::load_model::{Device, GpuProvider};
    use lockstep_engine::infer::signature::Signature;

    use super::*;

    /// The digests of "weights" and of "weighty", by `sha256sum`.
    const KNOWN: [(&str, &str); 2] = [
        ("weights", "9a129038d9a00aed0cf6a7ea059ca50a813449061ab87848cf1a13eafdf33b2c"),
        ("weighty", "0775d5adecb9bf7f822f6de96c47eca3ecb0b5b8f20e9e1e3fb9631973683cec"),
    ];

    fn model(file: &Path, sha256: Option<&str>) -> LoadModel {
        LoadModel {
            name: "model".to_owned(),
            version: "1".to_owned(),
            file: file.to_owned(),
            sha256: sha256.map(|digits| digits.parse().expect("64 digits")),
            weights: None,
            signature: Signature::default(),
            device: Device::Cpu,
            provider: GpuProvider::default(),
            threads: 1,
            warm_up: Vec::new(),
            optimize: Default::default(),
            extents: Extents::default(),
        }
    }

    #[test]
    fn file_with_another_digest_is_refused_by_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("model.pt");
        let [(_, expected), (content, found)] = KNOWN;
        std::fs::write(&file, content).expect("written");
        verify_file(&model(&file, None)).expect("no digest is named");
        verify_file(&model(&file, Some(found))).expect("the right digest");
        let error = verify_file(&model(&file, Some(expected))).expect_err("another digest");
        let file = file.display();
        let said = format!("{file}: its SHA-256 digest is {found}, expected {expected}; ");
        assert!(error.starts_with(&said), "{error}");
    }

    #[test]
    fn file_that_is_missing_or_a_folder_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        for file in [folder.path(), &folder.path().join("none.pt")] {
            let error = verify_file(&model(file, None)).expect_err("no file");
            assert!(error.contains("there is no file"), "{error}");
        }
    }
}
