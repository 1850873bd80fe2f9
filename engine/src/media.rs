//! What a payload is: the MIME types that Lockstep understands.

use std::fmt;
use std::str::FromStr;

/// The kind of thing that an input carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Modality {
    /// Still images, as the frames of a camera.
    Image,
    /// Sound.
    Audio,
    /// UTF-8 text.
    Text,
    /// Bytes that Lockstep does not look into.
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
    /// `audio/pcm;rate=R;channels=C;format=s16le|f32le`: interleaved frames.
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

/// How raw sound is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pcm {
    /// Frames a second.
    pub rate: u32,
    /// Samples of a frame.
    pub channels: u16,
    /// The samples' format.
    pub format: PcmFormat,
}

/// The format of a sound sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PcmFormat {
    /// 16-bit signed, little-endian.
    S16Le,
    /// 32-bit floating point, little-endian.
    F32Le,
}

impl PcmFormat {
    /// Bytes of one sample.
    pub fn size(self) -> usize {
        match self {
            Self::S16Le => 2,
            Self::F32Le => 4,
        }
    }
}

/// The types that can be named, for messages.
pub const KNOWN: &str = "image/jpeg, image/png, image/webp, image/x-rgb;width=W;height=H, \
    audio/pcm;rate=R;channels=C;format=s16le|f32le, audio/wav, audio/flac, text/plain, \
    application/octet-stream";

impl Media {
    /// The kind of thing that it is.
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
            Self::Pcm(pcm) => {
                let format = match pcm.format {
                    PcmFormat::S16Le => "s16le",
                    PcmFormat::F32Le => "f32le",
                };
                write!(f, "audio/pcm;rate={};channels={};format={format}", pcm.rate, pcm.channels)
            }
            Self::Wav => f.write_str("audio/wav"),
            Self::Flac => f.write_str("audio/flac"),
            Self::Text => f.write_str("text/plain"),
            Self::Binary => f.write_str("application/octet-stream"),
        }
    }
}

/// Names and parameters are matched without regard to case; unknown parameters are ignored, as MIME asks.
impl FromStr for Media {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(';').map(str::trim);
        let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
        let parameters: Vec<(String, &str)> = parts
            .filter_map(|part| part.split_once('='))
            .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().trim_matches('"')))
            .collect();
        let parameter = |name: &str| parameters.iter().find(|(n, _)| n == name).map(|(_, value)| *value);
        let number = |name: &str, most: u32| -> Result<u32, String> {
            let value = parameter(name)
                .ok_or_else(|| format!("{essence} needs the parameter {name}, as in {essence};{name}=…"))?;
            value.parse::<u32>().ok().filter(|n| (1..=most).contains(n)).ok_or_else(|| {
                format!("{essence};{name}={value}: {name} must be a whole number from 1 to {most}")
            })
        };
        match essence.as_str() {
            "image/jpeg" | "image/jpg" => Ok(Self::Jpeg),
            "image/png" => Ok(Self::Png),
            "image/webp" => Ok(Self::WebP),
            "image/x-rgb" => {
                Ok(Self::Rgb { width: number("width", 65_535)?, height: number("height", 65_535)? })
            }
            "audio/pcm" => {
                let format = match parameter("format").map(str::to_ascii_lowercase).as_deref() {
                    None | Some("s16le") => PcmFormat::S16Le,
                    Some("f32le") => PcmFormat::F32Le,
                    Some(other) => {
                        return Err(format!("audio/pcm;format={other}: format must be s16le or f32le"));
                    }
                };
                let channels = match parameter("channels") {
                    None => 1,
                    Some(_) => u16::try_from(number("channels", 64)?).unwrap_or(1),
                };
                Ok(Self::Pcm(Pcm { rate: number("rate", 1_000_000)?, channels, format }))
            }
            "audio/wav" | "audio/wave" | "audio/x-wav" | "audio/vnd.wave" => Ok(Self::Wav),
            "audio/flac" | "audio/x-flac" => Ok(Self::Flac),
            "text/plain" => match parameter("charset").map(str::to_ascii_lowercase).as_deref() {
                None | Some("utf-8" | "utf8" | "us-ascii") => Ok(Self::Text),
                Some(other) => Err(format!("text/plain;charset={other}: text must be utf-8")),
            },
            "application/octet-stream" => Ok(Self::Binary),
            _ => Err(format!("{text:?} is not a known content type; known are {KNOWN}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types_survive_the_round_trip() {
        for text in [
            "image/jpeg",
            "image/png",
            "image/webp",
            "image/x-rgb;width=64;height=48",
            "audio/pcm;rate=16000;channels=2;format=f32le",
            "audio/wav",
            "audio/flac",
            "text/plain",
            "application/octet-stream",
        ] {
            assert_eq!(text.parse::<Media>().map(|media| media.to_string()).as_deref(), Ok(text));
        }
    }

    #[test]
    fn a_parameter_that_is_missing_or_out_of_range_is_named() {
        for (text, named) in [
            ("audio/pcm", "rate"),
            ("audio/pcm;rate=0", "rate"),
            ("audio/pcm;rate=16000;channels=65", "channels"),
            ("audio/pcm;rate=16000;format=u8", "format"),
            ("image/x-rgb;width=10", "height"),
            ("text/plain;charset=latin1", "charset"),
            ("video/mp4", "video/mp4"),
        ] {
            let error = text.parse::<Media>().expect_err(text);
            assert!(error.contains(named), "{error}");
        }
    }

    #[test]
    fn case_and_unknown_parameters_do_not_matter() {
        assert_eq!("Image/JPEG; quality=3".parse(), Ok(Media::Jpeg));
        assert_eq!("text/plain; Charset=\"UTF-8\"".parse(), Ok(Media::Text));
    }
}
