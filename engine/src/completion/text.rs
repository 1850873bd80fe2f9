//! The completion map as text, for the metadata of a commit.
//!
//! The text is `lockstep:`, followed by base64 for URLs without padding (RFC 4648, section 5). The encoded bytes are:
//!
//! - the version of all that follows (1 byte, now 1);
//! - the form (1 byte: 0 plain, 1 deflated by RFC 1951);
//! - a checksum (4 bytes, little endian): CRC-32 as in ISO 3309 of the committed offset as 8 bytes, little endian,
//!   then version, form and body;
//! - the body.
//!
//! The checksum covers the offset because the map of one offset is meaningless for another.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use miniz_oxide::deflate::compress_to_vec;
use miniz_oxide::inflate::decompress_to_vec_with_limit;

use super::body;
use super::progress::Progress;
use crate::position::NextOffset;

const MAGIC: &str = "lockstep:";
const VERSION: u8 = 1;
const PLAIN: u8 = 0;
const DEFLATED: u8 = 1;
/// Version, form and checksum.
const HEADER: usize = 6;
/// The least length in bytes of a body that is worth the time of deflating it.
const DEFLATE_FROM: usize = 128;
/// zlib's default level.
const DEFLATE_LEVEL: u8 = 6;

/// The longest body, in bytes, before it is deflated. To read one of that length takes at most 12 MiB at a time.
pub const MAX_BODY: usize = 64 * 1024;

/// The longest text that is read, in characters.
pub const MAX_TEXT: usize = text_len(MAX_BODY);

/// The reasons why the metadata of a commit has no completion map.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MapError {
    /// Another program wrote it.
    #[error("it was not written by Lockstep")]
    Foreign,
    /// Another version of Lockstep wrote it, in another format.
    #[error("it has version {0}, and this Lockstep reads version {VERSION}")]
    Version(u8),
    /// It is damaged, or belongs to another offset.
    #[error("it is broken: {0}")]
    Broken(String),
}

const fn text_len(body: usize) -> usize {
    MAGIC.len() + ((HEADER + body) * 4).div_ceil(3)
}

/// The most bytes of a body whose text has at most `limit` characters; never more than [`MAX_BODY`].
pub(crate) fn capacity(limit: usize) -> usize {
    // In base64 four characters carry three bytes, two carry one and three carry two.
    let bytes =
        limit.saturating_sub(MAGIC.len()) / 4 * 3 + [0, 0, 1, 2][limit.saturating_sub(MAGIC.len()) % 4];
    bytes.saturating_sub(HEADER).min(MAX_BODY)
}

impl Progress {
    /// Encodes the map as metadata of a commit of `base`: ASCII, at most `limit` characters long. It leaves out
    /// records before `base`, and no others. Returns `None` if the text does not fit.
    pub fn encode(&self, base: NextOffset, limit: usize) -> Option<String> {
        let body = body::write(&self.stretches(base), base.0, MAX_BODY)?;
        let deflated = (body.len() >= DEFLATE_FROM).then(|| compress_to_vec(&body, DEFLATE_LEVEL));
        let text = match deflated {
            Some(deflated) if deflated.len() < body.len() => seal(base, DEFLATED, &deflated),
            _ => seal(base, PLAIN, &body),
        };
        (text.len() <= limit).then_some(text)
    }

    /// Reads the metadata of a commit of `base`. Empty metadata is an empty map: clients that do not know of maps
    /// commit it.
    ///
    /// Its memory is bounded for any text (see [`MAX_BODY`]), and its time is proportional to the text's length.
    ///
    /// # Errors
    /// If the text is not a map, or a map of another offset.
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
            return Err(broken("its checksum is not that of the map and the offset"));
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
