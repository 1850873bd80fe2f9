//! Content types of raw sound. A parameter that changes the meaning of the bytes is either supported or refused.

use super::error::ContentTypeError;
use super::parameters::{ContentType, Parameter, plain};
use super::pcm::{Pcm, PcmFormat};

/// The names of parameters, the first for messages. They are compared without hyphens and underscores.
const RATE: [&str; 4] = ["rate", "samplerate", "clockrate", "samplingrate"];
const CHANNELS: [&str; 3] = ["channels", "channel", "channelcount"];
const CODING: [&str; 5] = ["format", "encoding", "codec", "codecs", "sampleformat"];
const BITS: [&str; 5] = ["bits", "bitspersample", "bitdepth", "depth", "samplesize"];
/// Names for the bits of a sample's place, as GStreamer counts them.
const WIDTH: &str = "width";
const ENDIANNESS: [&str; 3] = ["endianness", "endian", "byteorder"];
/// Parameters about playback or transport, which do not change the meaning of the bytes.
const HARMLESS: [&str; 5] = ["charset", "channelmask", "channelorder", "ptime", "maxptime"];

/// The most channels of accepted sound.
const MAX_CHANNELS: u32 = 64;

/// The properties of a type before its parameters.
pub(super) struct RawType {
    /// The coding and bits of the type, if it fixes them.
    fixed: Option<(SampleCoding, u32)>,
    /// The default byte order.
    big_endian: bool,
    /// The default rate in frames a second.
    rate: Option<u32>,
    /// True if the type allows only its own rate and one channel.
    strict: bool,
    /// True if the format is 16-bit signed unless a parameter declares it.
    plain: bool,
}

/// The kind of a type of raw sound; none for any other type.
pub(super) fn kind(essence: &str) -> Option<RawType> {
    let kind = |fixed, big_endian, rate, strict, plain| RawType { fixed, big_endian, rate, strict, plain };
    let known = match essence {
        "audio/pcm" | "audio/x-pcm" => kind(None, false, None, false, true),
        // GStreamer always declares the format.
        "audio/x-raw" => kind(None, false, None, false, false),
        // RFC 3551 (L8), RFC 2586 (L16) and RFC 3190 (L24): in network order.
        "audio/l8" => kind(Some((SampleCoding::Unsigned, 8)), true, None, false, false),
        "audio/l16" => kind(Some((SampleCoding::Signed, 16)), true, None, false, false),
        "audio/l24" => kind(Some((SampleCoding::Signed, 24)), true, None, false, false),
        // RFC 4856; RFC 2046 for audio/basic.
        "audio/pcmu" => kind(Some((SampleCoding::Ulaw, 8)), false, Some(8_000), false, false),
        "audio/pcma" => kind(Some((SampleCoding::Alaw, 8)), false, Some(8_000), false, false),
        "audio/basic" => kind(Some((SampleCoding::Ulaw, 8)), false, Some(8_000), true, false),
        "audio/x-mulaw" | "audio/mulaw" | "audio/x-ulaw" => {
            kind(Some((SampleCoding::Ulaw, 8)), false, None, false, false)
        }
        "audio/x-alaw" | "audio/alaw" => kind(Some((SampleCoding::Alaw, 8)), false, None, false, false),
        _ => return None,
    };
    Some(known)
}

/// The meaning of a sample's bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SampleCoding {
    /// Integers, signed or unsigned.
    Integer,
    Signed,
    Unsigned,
    Float,
    Ulaw,
    Alaw,
}

/// A declared value, and the part of the content type that declares it.
type Declared<T> = Option<(T, String)>;

/// All declarations of the samples' format.
#[derive(Default)]
struct Declarations {
    coding: Declared<SampleCoding>,
    bits: Declared<u32>,
    /// The bits of a sample's place if it is larger than the sample: only the low ones count.
    place: Declared<u32>,
    width: Declared<u32>,
    big_endian: Declared<bool>,
}

/// Reads the parameters of a type of raw sound.
pub(super) fn read(parts: &ContentType, kind: &RawType) -> Result<Pcm, ContentTypeError> {
    let known = [&RATE[..], &CHANNELS, &CODING, &BITS, &ENDIANNESS, &HARMLESS].concat();
    let known = [&known[..], &[WIDTH, "bigendian", "littleendian", "signed", "layout", "emphasis"]].concat();
    parts.only(&known)?;
    let channels = parts.number(&CHANNELS, MAX_CHANNELS)?.unwrap_or(1);
    let rate = match kind.rate {
        None => parts.required(&RATE, 1_000_000)?,
        Some(usual) => parts.number(&RATE, 1_000_000)?.unwrap_or(usual),
    };
    if kind.strict && (Some(rate), channels) != (kind.rate, 1) {
        return Err(format!(
            "{}: its rate is 8000 and it has one channel, but the parameters say a rate of {rate} and {channels} \
             channels; write audio/PCMU;rate={rate};channels={channels}",
            parts.essence
        ).into());
    }
    let mut layout = Declarations::default();
    if let Some((coding, bits)) = kind.fixed {
        layout.coding = Some((coding, parts.essence.clone()));
        layout.bits = Some((bits, parts.essence.clone()));
    }
    for parameter in &parts.parameters {
        layout.take(parameter, channels).map_err(|why| format!("{}: {why}", parts.essence))?;
    }
    let format = layout.format(kind).map_err(|why| format!("{}: {why}", parts.essence))?;
    Ok(Pcm { rate, channels: u16::try_from(channels).unwrap_or(1), format })
}

impl Declarations {
    fn take(&mut self, parameter: &Parameter, channels: u32) -> Result<(), ContentTypeError> {
        let Parameter { name, value, written } = parameter;
        let value = value.to_ascii_lowercase();
        let name = name.as_str();
        if CODING.contains(&name) {
            let said = coding(&value).ok_or_else(|| {
                format!("{written}: the format is not known; write format=F, where F is one of {}", formats())
            })??;
            if let Some(coding) = said.coding {
                self.say_coding(coding, written)?;
            }
            say(&mut self.bits, said.bits, written)?;
            say(&mut self.place, said.place, written)?;
            say(&mut self.big_endian, said.big_endian, written)
        } else if BITS.contains(&name) || name == WIDTH {
            let bits = value.parse::<u32>().ok().filter(|bits| matches!(bits, 8 | 16 | 24 | 32 | 64));
            let bits = bits.ok_or_else(|| {
                format!("{written}: samples have 8, 16, 24, 32 or 64 bits; write one of these")
            })?;
            say(if name == WIDTH { &mut self.width } else { &mut self.bits }, Some(bits), written)
        } else if ENDIANNESS.contains(&name) {
            let big = match plain(&value).as_str() {
                "littleendian" | "little" | "le" | "1234" => false,
                "bigendian" | "big" | "be" | "4321" | "network" => true,
                _ => {
                    return Err(format!(
                        "{written}: write endianness=little-endian or endianness=big-endian"
                    )
                    .into());
                }
            };
            say(&mut self.big_endian, Some(big), written)
        } else {
            match name {
                "bigendian" => say(&mut self.big_endian, Some(truth(&value, written)?), written),
                "littleendian" => say(&mut self.big_endian, Some(!truth(&value, written)?), written),
                "signed" if truth(&value, written)? => self.say_coding(SampleCoding::Signed, written),
                "signed" => self.say_coding(SampleCoding::Unsigned, written),
                "layout" if value == "interleaved" || channels == 1 => Ok(()),
                "layout" => {
                    Err(format!("{written}: samples of channels must be interleaved; send them so").into())
                }
                "emphasis" if value != "none" => {
                    Err(format!("{written}: emphasis is not supported; send sound without it").into())
                }
                _ => Ok(()),
            }
        }
    }

    /// Adds a coding. Signed and unsigned are more specific than integer, and agree with it.
    fn say_coding(&mut self, coding: SampleCoding, by: &str) -> Result<(), ContentTypeError> {
        let integer =
            |coding| matches!(coding, SampleCoding::Integer | SampleCoding::Signed | SampleCoding::Unsigned);
        match &self.coding {
            Some((SampleCoding::Integer, _)) if integer(coding) => {
                self.coding = Some((coding, by.to_owned()))
            }
            Some((known, _)) if integer(*known) && coding == SampleCoding::Integer => {}
            _ => say(&mut self.coding, Some(coding), by)?,
        }
        Ok(())
    }

    fn format(self, kind: &RawType) -> Result<PcmFormat, ContentTypeError> {
        let Self { coding, mut bits, mut place, width, big_endian } = self;
        if let Some((width, by)) = width {
            // A sample's place has as many bits as the sample, unless a format declares more.
            say(if place.is_some() { &mut place } else { &mut bits }, Some(width), &by)?;
        }
        let big = big_endian.map_or(kind.big_endian, |(big, _)| big);
        let said = |said: &Declared<u32>| said.as_ref().map(|(bits, _)| *bits);
        let by = [coding.as_ref().map(|(_, by)| by.clone()), bits.as_ref().map(|(_, by)| by.clone())];
        let mut by: Vec<String> = by.into_iter().flatten().collect();
        by.dedup();
        let coding = match (coding.map(|(coding, _)| coding), said(&bits)) {
            (Some(coding), _) => coding,
            (None, None) if kind.plain => return Ok(if big { PcmFormat::S16Be } else { PcmFormat::S16Le }),
            (None, None) => {
                return Err(format!(
                    "the samples' format is missing; write format=F, where F is one of {}",
                    formats()
                )
                .into());
            }
            (None, Some(16 | 24)) => SampleCoding::Signed,
            (None, Some(bits)) => return Err(undecided(bits).into()),
        };
        use PcmFormat as P;
        let found = match (coding, said(&bits), said(&place)) {
            (SampleCoding::Integer, Some(bits @ 8), None) => return Err(undecided(bits).into()),
            (SampleCoding::Unsigned, Some(8), None) => [P::U8, P::U8],
            (SampleCoding::Signed, Some(8), None) => [P::S8, P::S8],
            (SampleCoding::Unsigned, Some(16), None) => [P::U16Le, P::U16Be],
            (SampleCoding::Integer | SampleCoding::Signed, Some(16), None) => [P::S16Le, P::S16Be],
            (SampleCoding::Integer | SampleCoding::Signed, Some(24), None) => [P::S24Le, P::S24Be],
            (SampleCoding::Integer | SampleCoding::Signed, Some(24), Some(32)) => {
                [P::S24In32Le, P::S24In32Be]
            }
            (SampleCoding::Integer | SampleCoding::Signed, Some(32), None) => [P::S32Le, P::S32Be],
            (SampleCoding::Float, Some(32), None) => [P::F32Le, P::F32Be],
            (SampleCoding::Float, Some(64), None) => [P::F64Le, P::F64Be],
            (SampleCoding::Ulaw, Some(8) | None, None) => [P::Ulaw, P::Ulaw],
            (SampleCoding::Alaw, Some(8) | None, None) => [P::Alaw, P::Alaw],
            (_, None, _) => {
                return Err(format!(
                    "{} does not say how many bits a sample has; write format=F, where F is one of {}",
                    by.join(" with "),
                    formats()
                )
                .into());
            }
            _ => {
                return Err(format!(
                    "{} is a format that is not supported; send one of {}",
                    by.join(" with "),
                    formats()
                )
                .into());
            }
        };
        let [little_endian, big_endian] = found;
        Ok(if big { big_endian } else { little_endian })
    }
}

fn undecided(bits: u32) -> String {
    let (one, other) = match bits {
        8 => ("u8", "s8"),
        32 => ("s32le", "f32le"),
        _ => ("s32le", "f64le"),
    };
    format!("samples of {bits} bits may be meant in several ways; write format={one} or format={other}")
}

fn say<T: PartialEq>(place: &mut Declared<T>, value: Option<T>, by: &str) -> Result<(), ContentTypeError> {
    let Some(value) = value else { return Ok(()) };
    match place {
        Some((known, other)) if *known != value => {
            Err(format!("{other} and {by} contradict each other; write one of them").into())
        }
        Some(_) => Ok(()),
        None => {
            *place = Some((value, by.to_owned()));
            Ok(())
        }
    }
}

fn truth(value: &str, written: &str) -> Result<bool, ContentTypeError> {
    match value {
        "true" | "1" | "yes" => Ok(true),
        "false" | "0" | "no" => Ok(false),
        _ => Err(format!("{written}: write true or false").into()),
    }
}

/// The meaning of one word of a format.
#[derive(Default)]
struct FormatWord {
    coding: Option<SampleCoding>,
    bits: Option<u32>,
    place: Option<u32>,
    big_endian: Option<bool>,
}

/// Parses the names of FFmpeg (`pcm_s16le`), GStreamer (`S24_32LE`), ALSA (`FLOAT_LE`), SoX (`signed-integer`) and of
/// speech services (`linear16`, `mulaw`). None for an unknown word.
fn coding(value: &str) -> Option<Result<FormatWord, ContentTypeError>> {
    if matches!(value, "s24_le" | "s24_be") {
        return Some(Err(format!(
            "{value} is 24 bits in 4 bytes with ALSA and in 3 elsewhere; write s24_32le (4 bytes) or s24le (3 bytes)"
        ).into()));
    }
    let word = |coding, bits| Some(Ok(FormatWord { coding: Some(coding), bits, ..FormatWord::default() }));
    let packed = value.starts_with("s24_3");
    let name = plain(value).replace(['.', ' '], "");
    let name = name.strip_prefix("pcm").filter(|rest| !rest.is_empty() && *rest != "u" && *rest != "a");
    let whole = plain(value).replace(['.', ' '], "");
    let name = name.unwrap_or(&whole);
    match name {
        "ulaw" | "mulaw" | "pcmu" | "g711u" | "g711ulaw" | "g711mulaw" => {
            return word(SampleCoding::Ulaw, Some(8));
        }
        "alaw" | "pcma" | "g711a" | "g711alaw" => return word(SampleCoding::Alaw, Some(8)),
        "float" | "floatingpoint" | "ieeefloat" => return word(SampleCoding::Float, None),
        "float32" => return word(SampleCoding::Float, Some(32)),
        "float64" | "double" => return word(SampleCoding::Float, Some(64)),
        "pcm" | "lpcm" | "linear" | "linearpcm" | "int" | "integer" => {
            return word(SampleCoding::Integer, None);
        }
        "signed" | "signedint" | "signedinteger" => return word(SampleCoding::Signed, None),
        "unsigned" | "unsignedint" | "unsignedinteger" => return word(SampleCoding::Unsigned, None),
        "linear16" | "lin16" | "int16" | "signed16" => return word(SampleCoding::Signed, Some(16)),
        "int8" => return word(SampleCoding::Signed, Some(8)),
        "uint8" => return word(SampleCoding::Unsigned, Some(8)),
        "int24" => return word(SampleCoding::Signed, Some(24)),
        "int32" => return word(SampleCoding::Signed, Some(32)),
        _ => {}
    }
    let (name, big_endian) = match (name.strip_suffix("le"), name.strip_suffix("be")) {
        (Some(name), _) => (name, Some(false)),
        (_, Some(name)) => (name, Some(true)),
        _ => (name, None),
    };
    let (coding, bits, place) = match name {
        "u8" => (SampleCoding::Unsigned, 8, None),
        "s8" => (SampleCoding::Signed, 8, None),
        "u16" => (SampleCoding::Unsigned, 16, None),
        "s16" => (SampleCoding::Signed, 16, None),
        "s24" => (SampleCoding::Signed, 24, None),
        "s243" if packed => (SampleCoding::Signed, 24, None),
        "s2432" => (SampleCoding::Signed, 24, Some(32)),
        "s32" => (SampleCoding::Signed, 32, None),
        "f32" | "float" => (SampleCoding::Float, 32, None),
        "f64" | "float64" => (SampleCoding::Float, 64, None),
        _ => return None,
    };
    Some(Ok(FormatWord { coding: Some(coding), bits: Some(bits), place, big_endian }))
}

/// The names that `format` takes, for messages.
fn formats() -> String {
    PcmFormat::ALL.map(PcmFormat::name).join(", ")
}
