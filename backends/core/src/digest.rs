//! The check of a model's file before a runtime reads it.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use lockstep_engine::infer::digest::FileDigest;
use lockstep_engine::infer::load_model::LoadModel;
use sha2::{Digest, Sha256};

/// Bytes that are read at once.
const BUFFER: usize = 64 << 10;

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
    match digest_of(&model.file) {
        Ok(found) if found == expected => Ok(()),
        Ok(found) => Err(format!(
            "{file}: its SHA-256 digest is {found}, expected {expected}; fetch the file again, or, if this is the right one, \
             write sha256 = \"{found}\" into its model.toml"
        )),
        Err(error) => Err(format!("{file} cannot be read: {error}")),
    }
}

/// The digest of a file's content. Reads the file piece by piece, so that its size does not matter.
///
/// # Errors
/// The error of the file system.
pub fn digest_of(file: &Path) -> io::Result<FileDigest> {
    let mut file = File::open(file)?;
    let (mut hasher, mut buffer) = (Sha256::new(), vec![0; BUFFER]);
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(FileDigest(hasher.finalize().into())),
            Ok(count) => hasher.update(buffer.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use lockstep_engine::infer::extents::Extents;
    use lockstep_engine::infer::load_model::{Device, GpuProvider};
    use lockstep_engine::infer::signature::Signature;

    use super::*;

    /// Digests by Python: `hashlib.sha256(bytes(i * 31 % 251 for i in range(200_001))).hexdigest()`, for the last.
    const KNOWN: [(usize, &str); 2] = [
        (0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        (200_001, "943831d8668ce3ee38c9fd6645b8ed372043f74357256e59be13dc4c40e5f337"),
    ];

    fn content(length: usize) -> Vec<u8> {
        (0..length).map(|place| (place * 31 % 251) as u8).collect()
    }

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
    fn digest_is_that_of_the_whole_content() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("model.pt");
        for (length, expected) in KNOWN {
            std::fs::write(&file, content(length)).expect("written");
            assert_eq!(digest_of(&file).expect("readable").to_string(), expected);
            verify_file(&model(&file, Some(expected))).expect("the right digest");
        }
    }

    #[test]
    fn file_with_another_digest_is_refused_by_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("model.pt");
        let [(_, expected), (length, found)] = KNOWN;
        std::fs::write(&file, content(length)).expect("written");
        verify_file(&model(&file, None)).expect("no digest is named");
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
