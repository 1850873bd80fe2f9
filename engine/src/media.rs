//! Media types: the MIME types of payloads that Lockstep supports.

pub mod container;
mod error;
mod parameters;
mod pcm;
mod raw;

use std::fmt;
use std::str::FromStr;

pub use self::error::ContentTypeError;
use self::parameters::{ContentType, short};
pub use self::pcm::{Pcm, PcmFormat};

/// The kind of data that an input carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Modality {
    /// Still images, such as the frames of a camera.
    Image,
    /// Sound.
    Audio,
    /// UTF-8 text.
    Text,
    /// Bytes that Lockstep does not interpret.
    Binary,
}

/// The content type of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Media {
    /// `image/jpeg`
    Jpeg,
    /// `image/png`
    Png,
    /// `image/webp`
    WebP,
    /// `image/x-rgb;width=W;height=H`: rows of 8-bit RGB from the top left, without padding.
    Rgb {
        /// Pixels of a row.
        width: u32,
        /// Rows.
        height: u32,
    },
    /// `audio/pcm;rate=R;channels=C;format=F` and its like: interleaved frames without a header.
    Pcm(Pcm),
    /// `audio/wav`
    Wav,
    /// `audio/flac`
    Flac,
    /// `text/plain`
    Text,
    /// `application/octet-stream`
    Binary,
}

/// The list of supported types, for messages.
pub const KNOWN: &str = "image/jpeg, image/png, image/webp, image/x-rgb;width=W;height=H, \
    audio/pcm;rate=R;channels=C;format=F, audio/L16;rate=R, audio/L24;rate=R, audio/PCMU, audio/PCMA, audio/basic, \
    audio/x-raw, audio/wav, audio/flac, text/plain, application/octet-stream";

impl Media {
    /// The modality of the type.
    pub fn modality(&self) -> Modality {
        match self {
            Self::Jpeg | Self::Png | Self::WebP | Self::Rgb { .. } => Modality::Image,
            Self::Pcm(_) | Self::Wav | Self::Flac => Modality::Audio,
            Self::Text => Modality::Text,
            Self::Binary => Modality::Binary,
        }
    }
}

impl fmt::Display for Media {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Jpeg => f.write_str("image/jpeg"),
            Self::Png => f.write_str("image/png"),
            Self::WebP => f.write_str("image/webp"),
            Self::Rgb { width, height } => write!(f, "image/x-rgb;width={width};height={height}"),
            Self::Pcm(Pcm { rate, channels, format }) => {
                write!(f, "audio/pcm;rate={rate};channels={channels};format={format}")
            }
            Self::Wav => f.write_str("audio/wav"),
            Self::Flac => f.write_str("audio/flac"),
            Self::Text => f.write_str("text/plain"),
            Self::Binary => f.write_str("application/octet-stream"),
        }
    }
}

/// Parses a content type; case does not matter. If the payload has no header, an unknown parameter is refused, since
/// it may change the meaning of the bytes. If the payload has a header (JPEG, WAV, FLAC), parameters are ignored: the
/// header already contains their information.
impl FromStr for Media {
    type Err = ContentTypeError;

    fn from_str(text: &str) -> Result<Self, ContentTypeError> {
        let parts = ContentType::of(text)?;
        let essence = parts.essence.as_str();
        if let Some(kind) = raw::kind(essence) {
            return raw::read(&parts, &kind).map(Self::Pcm);
        }
        match essence {
            "image/jpeg" | "image/jpg" => Ok(Self::Jpeg),
            "image/png" => Ok(Self::Png),
            "image/webp" => Ok(Self::WebP),
            "image/x-rgb" => {
                parts.only(&["width", "height", "charset"])?;
                let (width, height) =
                    (parts.required(&["width"], 65_535)?, parts.required(&["height"], 65_535)?);
                Ok(Self::Rgb { width, height })
            }
            "audio/wav" | "audio/wave" | "audio/x-wav" | "audio/vnd.wave" => Ok(Self::Wav),
            "audio/flac" | "audio/x-flac" => Ok(Self::Flac),
            "text/plain" => {
                // RFC 3676: in flowed text some line breaks do not count.
                parts.only(&["charset", "format", "lang", "language"])?;
                if let Some(format) =
                    parts.get(&["format"]).filter(|p| !p.value.eq_ignore_ascii_case("fixed"))
                {
                    return Err(format!(
                        "text/plain;{}: text must be fixed, not flowed; send format=fixed",
                        format.written
                    )
                    .into());
                }
                let charset = parts.get(&["charset"]);
                let known = ["utf-8", "utf8", "us-ascii", "ascii"];
                match charset.filter(|p| !known.contains(&p.value.to_ascii_lowercase().as_str())) {
                    None => Ok(Self::Text),
                    Some(charset) => Err(format!(
                        "text/plain;{}: text must be utf-8; write charset=utf-8",
                        charset.written
                    )
                    .into()),
                }
            }
            "application/octet-stream" => Ok(Self::Binary),
            _ => Err(format!("{:?} is not a known content type; send one of {KNOWN}", short(text)).into()),
        }
    }
}

#[cfg(test)]
mod tests;
