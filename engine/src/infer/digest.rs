//! SHA-256 digests of model files.

use std::fmt;
use std::str::FromStr;

/// The SHA-256 digest of a file's content.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FileDigest(pub [u8; 32]);

impl FromStr for FileDigest {
    type Err = String;

    /// Reads 64 hexadecimal digits, upper or lower case.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |what: String| format!("{what}; write 64 hexadecimal digits, as sha256sum prints them");
        let digits = text
            .chars()
            .map(|c| c.to_digit(16).ok_or(c))
            .collect::<Result<Vec<u32>, char>>()
            .map_err(|c| wrong(format!("{c:?} is no hexadecimal digit")))?;
        let count = digits.len();
        // Two digits are less than 256.
        let bytes: Vec<u8> = digits.chunks_exact(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect();
        let bytes = <[u8; 32]>::try_from(bytes).ok().filter(|_| count == 64);
        bytes.map(Self).ok_or_else(|| wrong(format!("it has {count} digits")))
    }
}

/// The 64 digits, in lower case.
impl fmt::Display for FileDigest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

impl fmt::Debug for FileDigest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "FileDigest({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn digest_reads_what_it_writes() {
        let digest: FileDigest = ABC.parse().expect("64 digits");
        assert_eq!((digest.0[0], digest.0[31], digest.to_string().as_str()), (0xba, 0xad, ABC));
        assert_eq!(ABC.to_uppercase().parse(), Ok(digest));
    }

    #[test]
    fn digest_of_another_length_or_alphabet_is_refused() {
        let refused = |text: &str| text.parse::<FileDigest>().expect_err("no digest");
        for (text, said) in [("", "0 digits"), (&ABC[1..], "63 digits"), (&format!("{ABC}0"), "65 digits")] {
            assert!(refused(text).contains(said), "{}", refused(text));
        }
        for text in [format!("é{}", &ABC[1..]), format!("+{}", &ABC[1..]), format!("0x{}", &ABC[2..])] {
            assert!(refused(&text).contains("is no hexadecimal digit"), "{}", refused(&text));
        }
    }
}
