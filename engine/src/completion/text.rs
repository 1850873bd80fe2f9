//! The map as text, as it stands in the metadata of a commit.
//!
//! `lockstep:` and, in base64 for URLs without padding (RFC 4648, section 5): the version of all that follows (1 byte,
//! now 1), the form (1 byte: 0 as it is, 1 deflated by RFC 1951), a checksum (4 bytes, little endian: CRC-32 as in ISO
//! 3309 of the committed position as 8 bytes, little endian, then version, form and body), and the body. The position
//! is in the checksum since the map of one position says nothing about another.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use miniz_oxide::deflate::compress_to_vec;
use miniz_oxide::inflate::decompress_to_vec_with_limit;

use super::{Progress, body};
use crate::position::NextOffset;

const MAGIC: &str = "lockstep:";
const VERSION: u8 = 1;
const PLAIN: u8 = 0;
const DEFLATED: u8 = 1;
/// Version, form and checksum.
const HEADER: usize = 6;
/// From so many bytes on it is worth the time to try whether deflating shortens them.
const DEFLATE_FROM: usize = 128;
/// Of zlib's levels, the one that most use.
const DEFLATE_LEVEL: u8 = 6;

/// The longest body, in bytes, before it is deflated. Reading one of that length takes at most 12 MiB at a time.
pub const MAX_BODY: usize = 64 * 1024;

/// The longest text that is read, in characters.
pub const MAX_TEXT: usize = text_len(MAX_BODY);

/// Why metadata says nothing of what has ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MapError {
    /// Somebody else wrote it.
    #[error("it is not of Lockstep")]
    Foreign,
    /// It is of a version of Lockstep that writes maps in another way.
    #[error("it is of version {0}, and this Lockstep reads version {VERSION}")]
    Version(u8),
    /// It is not as it was written, or belongs to another position.
    #[error("it is broken: {0}")]
    Broken(String),
}

const fn text_len(body: usize) -> usize {
    MAGIC.len() + ((HEADER + body) * 4).div_ceil(3)
}

/// A body of so many bytes is at most `limit` characters as text, and is not longer than it may be.
pub(crate) fn capacity(limit: usize) -> usize {
    // Four characters carry three bytes, two carry one and three carry two.
    let bytes =
        limit.saturating_sub(MAGIC.len()) / 4 * 3 + [0, 0, 1, 2][limit.saturating_sub(MAGIC.len()) % 4];
    bytes.saturating_sub(HEADER).min(MAX_BODY)
}

/// How many bytes a number takes as LEB128.
pub(crate) const fn varint_len(value: u64) -> u64 {
    (64 - (value | 1).leading_zeros() as u64).div_ceil(7)
}

impl Progress {
    /// It as metadata of a commit of `base`: ASCII, and at most `limit` characters long. What is known of records before
    /// `base` is left out. `None` if it does not fit: nothing else is ever left out of it.
    pub fn encode(&self, base: NextOffset, limit: usize) -> Option<String> {
        let body = body::write(&self.stretches(base), base.0, MAX_BODY)?;
        let deflated = (body.len() >= DEFLATE_FROM).then(|| compress_to_vec(&body, DEFLATE_LEVEL));
        let text = match deflated {
            Some(deflated) if deflated.len() < body.len() => seal(base, DEFLATED, &deflated),
            _ => seal(base, PLAIN, &body),
        };
        (text.len() <= limit).then_some(text)
    }

    /// Reads the metadata of a commit of `base`. No metadata at all says nothing of any record: so commit those who
    /// know of none.
    ///
    /// It takes a bounded amount of memory whatever the text, see [`MAX_BODY`], and time in proportion.
    ///
    /// # Errors
    /// If it is not a map, or not of this position.
    pub fn decode(base: NextOffset, metadata: &str) -> Result<Self, MapError> {
        if metadata.is_empty() {
            return Ok(Self::default());
        }
        let text = metadata.strip_prefix(MAGIC).ok_or(MapError::Foreign)?;
        if metadata.len() > MAX_TEXT {
            return Err(broken("it is longer than any map"));
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|error| MapError::Broken(error.to_string()))?;
        let [version, form, c0, c1, c2, c3, body @ ..] = bytes.as_slice() else {
            return Err(broken("it is cut short"));
        };
        if *version != VERSION {
            return Err(MapError::Version(*version));
        }
        if u32::from_le_bytes([*c0, *c1, *c2, *c3]) != checksum(base, *form, body) {
            return Err(broken("its checksum is not that of the map and the position"));
        }
        let inflated;
        let body = match *form {
            PLAIN => body,
            DEFLATED => {
                inflated = decompress_to_vec_with_limit(body, MAX_BODY).map_err(|error| {
                    MapError::Broken(format!("it cannot be inflated: {:?}", error.status))
                })?;
                &inflated
            }
            _ => return Err(broken("its form is not known")),
        };
        body::read(body, base.0).map_err(broken)
    }
}

fn broken(what: &str) -> MapError {
    MapError::Broken(what.to_owned())
}

fn checksum(base: NextOffset, form: u8, body: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(&base.0.to_le_bytes());
    sum.update(&[VERSION, form]);
    sum.update(body);
    sum.finalize()
}

pub(super) fn seal(base: NextOffset, form: u8, body: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(HEADER + body.len());
    bytes.extend_from_slice(&[VERSION, form]);
    bytes.extend_from_slice(&checksum(base, form, body).to_le_bytes());
    bytes.extend_from_slice(body);
    let mut text = String::with_capacity(text_len(body.len()));
    text.push_str(MAGIC);
    URL_SAFE_NO_PAD.encode_string(bytes, &mut text);
    text
}
