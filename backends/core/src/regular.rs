//! Opens the files of models: only regular ones, since the opening of a pipe waits for someone who writes to it.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::Path;

/// Opens a file to read it.
///
/// # Errors
/// The error of the file system, or a path that names no regular file, such as a pipe or a device.
pub(crate) fn open_regular(path: &Path) -> io::Result<File> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::new(
            ErrorKind::InvalidInput,
            "it is no regular file; put the file itself there, or a link to it",
        ));
    }
    File::open(path)
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::digest_of;

    #[test]
    fn pipe_is_refused_and_not_waited_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let pipe = folder.path().join("pipe");
        assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs").success());
        for error in [open_regular(&pipe).map(drop), digest_of(&pipe).map(drop)] {
            let error = error.expect_err("a pipe").to_string();
            assert!(error.contains("no regular file"), "{error}");
        }
        let missing = open_regular(&folder.path().join("none")).map(drop).expect_err("no file");
        assert_eq!(missing.kind(), ErrorKind::NotFound);
    }
}
