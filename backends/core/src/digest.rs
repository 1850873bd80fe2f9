//! The digest of a file.

use std::io::{self, ErrorKind, Read};
use std::path::Path;

use lockstep_engine::infer::digest::FileDigest;
use sha2::{Digest, Sha256};

use crate::regular::open_regular;

/// Bytes that are read at once.
const BUFFER: usize = 64 << 10;

/// The digest of a file's content. Reads the file piece by piece, so that its size does not matter.
///
/// # Errors
/// The error of the file system.
pub fn digest_of(file: &Path) -> io::Result<FileDigest> {
    let mut file = open_regular(file)?;
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
    use super::*;

    /// Digests by Python: `hashlib.sha256(bytes(i * 31 % 251 for i in range(200_001))).hexdigest()`, for the last.
    const KNOWN: [(usize, &str); 2] = [
        (0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        (200_001, "943831d8668ce3ee38c9fd6645b8ed372043f74357256e59be13dc4c40e5f337"),
    ];

    #[test]
    fn digest_is_that_of_the_whole_content() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("model.pt");
        for (length, expected) in KNOWN {
            let content: Vec<u8> = (0..length).map(|place| (place * 31 % 251) as u8).collect();
            std::fs::write(&file, content).expect("written");
            assert_eq!(digest_of(&file).expect("readable").to_string(), expected);
        }
    }
}
