//! The fmt chunk of a WAV file. Its fields are redundant. If they contradict one another, the file is refused, or its
//! samples decide which field is right.

use super::ReadAt;
use super::{PcmFormat, Range};
use crate::fault::PayloadError;
use crate::ingest::duration::check_rate;

/// The most channels of an accepted file.
const MOST_CHANNELS: u16 = 64;

/// The bytes after the format's number in the GUID of an extensible format.
const GUID_TAIL: [u8; 14] = [0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xaa, 0, 0x38, 0x9b, 0x71];

/// The content of the fmt chunk.
pub(super) struct Form {
    pub(super) rate: u32,
    pub(super) channels: u16,
    samples: Samples,
}

/// The format of samples, as far as the chunk defines it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Samples {
    Plain(PcmFormat),
    /// 24 bits in 4 bytes. The standard has them in the high bits; ALSA's `arecord -f S24_LE` in the low ones.
    In32 {
        /// True if the header declares it as the standard requires.
        by_standard: bool,
    },
}

impl Form {
    /// Bytes of one frame.
    pub(super) fn frame_size(&self) -> usize {
        let size = match self.samples {
            Samples::Plain(format) => format.size(),
            Samples::In32 { .. } => 4,
        };
        size * usize::from(self.channels)
    }

    /// The samples' format. If the chunk alone does not define it, the samples are inspected.
    pub(super) fn settle(
        &self,
        from: &(impl ReadAt + ?Sized),
        data: Range<usize>,
    ) -> Result<PcmFormat, PayloadError> {
        let by_standard = match self.samples {
            Samples::Plain(format) => return Ok(format),
            Samples::In32 { by_standard } => by_standard,
        };
        let SampleBits { low_byte_is_zero, high_byte_is_sign, silent } = SampleBits::of(from, data)?;
        match (low_byte_is_zero, high_byte_is_sign) {
            (true, false) => Ok(PcmFormat::S32Le),
            (true, true) if silent || by_standard => Ok(PcmFormat::S32Le),
            (false, true) if !by_standard => Ok(PcmFormat::S24In32Le),
            // The samples use more than 24 of the 32 bits.
            (false, false) if by_standard => Ok(PcmFormat::S32Le),
            _ => Err("the WAV header says 24 bits in 4 bytes, and the samples do not tell which 3 of the 4 bytes they are \
                      in; write 24 bits in 3 bytes (arecord -f S24_3LE) or 32 bits (-f S32_LE)"
                .into()),
        }
    }
}

/// Reads the chunk.
pub(super) fn read(from: &(impl ReadAt + ?Sized), body: usize, size: usize) -> Result<Form, PayloadError> {
    let mut chunk = [0; 40];
    let there = size.min(chunk.len());
    if there < 16 {
        return Err("the WAV header's fmt chunk is cut".into());
    }
    let chunk = chunk.get_mut(..there).unwrap_or_default();
    from.read_at(body, chunk).map_err(|_| "the WAV header's fmt chunk is cut")?;
    let (tag, channels, rate) = (le_u16(chunk, 0), le_u16(chunk, 2), le_u32(chunk, 4));
    let (byte_rate, align, bits) = (le_u32(chunk, 8), le_u16(chunk, 12), le_u16(chunk, 14));
    if !(1..=MOST_CHANNELS).contains(&channels) {
        return Err(format!(
            "the WAV header says {channels} channels, which is out of range; write a file with 1 to {MOST_CHANNELS}"
        )
        .into());
    }
    check_rate(rate)?;
    let (tag, valid) = if tag == 0xfffe { extensible(chunk, bits)? } else { (tag, bits) };
    // Checked first: compressed formats count bytes and bits in another way.
    let samples = samples(tag, bits, valid)?;
    if align == 0 || align % channels != 0 {
        return Err(contradiction(bits, channels, align).into());
    }
    let expected = u64::from(rate) * u64::from(align);
    // Writers that do not know it leave it empty.
    if byte_rate != 0 && byte_rate != u32::MAX && u64::from(byte_rate) != expected {
        return Err(format!(
            "the WAV header contradicts itself: a rate of {rate} with {align} bytes a frame makes {expected} bytes a \
             second, and it says {byte_rate}"
        ).into());
    }
    let form = Form { rate, channels, samples };
    if form.frame_size() != usize::from(align) {
        if matches!((tag, bits, align / channels), (1, 24, 4)) {
            return Ok(Form { samples: Samples::In32 { by_standard: false }, ..form });
        }
        return Err(contradiction(bits, channels, align).into());
    }
    Ok(form)
}

/// The format's number and the valid bits of an extensible format.
fn extensible(chunk: &[u8], bits: u16) -> Result<(u16, u16), PayloadError> {
    let Some(tail) = chunk.get(26..40) else {
        return Err("the WAV header's fmt chunk says that it is extensible and is cut".into());
    };
    if tail != GUID_TAIL {
        return Err("the WAV header names a format by a GUID that is not supported; write PCM, floating point, A-law or \
                    mu-law"
            .into());
    }
    let valid = match le_u16(chunk, 18) {
        0 => bits,
        valid if valid > bits => {
            return Err(format!(
                "the WAV header contradicts itself: {valid} valid bits do not fit into {bits}"
            )
            .into());
        }
        valid => valid,
    };
    Ok((le_u16(chunk, 24), valid))
}

fn samples(tag: u16, bits: u16, valid: u16) -> Result<Samples, PayloadError> {
    use PcmFormat as P;
    let format = match (tag, bits) {
        (1, 32) if valid == 24 => return Ok(Samples::In32 { by_standard: true }),
        (1, 8) => P::U8,
        (1, 16) => P::S16Le,
        (1, 24) => P::S24Le,
        (1, 32) => P::S32Le,
        (3, 32) => P::F32Le,
        (3, 64) => P::F64Le,
        (6, 8) => P::Alaw,
        (7, 8) => P::Ulaw,
        _ => {
            let name = match tag {
                1 => " (PCM)",
                2 | 0x11 => " (ADPCM)",
                3 => " (floating point)",
                6 => " (A-law)",
                7 => " (mu-law)",
                0x31 => " (GSM)",
                0x50 | 0x55 => " (MPEG)",
                _ => "",
            };
            return Err(format!(
                "the WAV header says format {tag}{name} with {bits} bits, which is not supported; write PCM (1) with 8, 16, 24 or \
                 32 bits, floating point (3) with 32 or 64, or A-law (6) or mu-law (7) with 8"
            ).into());
        }
    };
    if valid != bits && tag != 1 {
        return Err(format!(
            "the WAV header contradicts itself: format {tag} has {bits} bits, and {valid} of them valid"
        )
        .into());
    }
    Ok(Samples::Plain(format))
}

fn contradiction(bits: u16, channels: u16, align: u16) -> String {
    let expected = u32::from(bits.div_ceil(8)) * u32::from(channels);
    format!(
        "the WAV header contradicts itself: {channels} channels of {bits} bits make {expected} bytes a frame, and its \
         block align says {align}"
    )
}

/// The common properties of samples of 4 bytes.
struct SampleBits {
    low_byte_is_zero: bool,
    /// The highest byte only repeats the sign of the other three.
    high_byte_is_sign: bool,
    silent: bool,
}

impl SampleBits {
    fn of(from: &(impl ReadAt + ?Sized), data: Range<usize>) -> Result<Self, PayloadError> {
        let mut seen = Self { low_byte_is_zero: true, high_byte_is_sign: true, silent: true };
        let mut block = [0; 1 << 14];
        let mut at = data.start;
        while at < data.end {
            let length = block.len().min(data.end - at);
            let bytes = block.get_mut(..length).unwrap_or_default();
            from.read_at(at, bytes)?;
            at += length;
            for sample in bytes.as_chunks::<4>().0 {
                let value = i32::from_le_bytes(*sample);
                seen.low_byte_is_zero &= value & 0xff == 0;
                seen.high_byte_is_sign &= (value << 8) >> 8 == value;
                seen.silent &= value == 0;
            }
        }
        Ok(seen)
    }
}

fn le_u16(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).and_then(|two| two.try_into().ok()).map_or(0, u16::from_le_bytes)
}

fn le_u32(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|four| four.try_into().ok()).map_or(0, u32::from_le_bytes)
}
