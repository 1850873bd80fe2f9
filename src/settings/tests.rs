//! Promises of the settings.

use super::*;

fn shipped(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(name)
}

#[test]
fn the_shipped_pipelines_have_no_mistakes() {
    for name in ["talking-face.toml", "voice.toml"] {
        if let Err(problems) = load(&shipped(name), &Overrides::default()) {
            panic!("{problems}");
        }
    }
}
