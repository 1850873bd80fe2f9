//! How long a payload lasts, from its first bytes: nothing is decoded.

use std::ops::Range;
use std::time::Duration;

use crate::media::Media;

/// The slowest and the fastest sound that is taken, in frames a second.
pub const RATES: std::ops::RangeInclusive<u32> = 1..=1_000_000;

/// The most frames that one payload of compressed sound may hold: 46 minutes at 48 kHz.
pub const MAX_FRAMES: u64 = 1 << 27;

/// The shortest FLAC frame in bytes: header 6, one constant subframe 2, checksum 2.
const FLAC_FRAME_MIN: u64 = 10;

/// How long a payload lasts: zero for images, text and bytes, for sound its frames over its rate.
///
/// # Errors
/// When the payload is empty, is cut inside a frame, has a header that cannot be read, or one that claims
/// more sound than the payload can hold.
pub fn duration(media: &Media, payload: &[u8]) -> Result<Duration, String> {
    let (frames, rate) = match media {
        Media::Jpeg | Media::Png | Media::WebP | Media::Rgb { .. } | Media::Text | Media::Binary => {
            return Ok(Duration::ZERO);
        }
        Media::Pcm(pcm) => {
            let size = pcm.format.size() * usize::from(pcm.channels);
            (whole_frames(payload.len(), size, media)? as u64, pcm.rate)
        }
        Media::Wav => {
            let wav = WavHeader::read(payload)?;
            (wav.frames() as u64, wav.rate)
        }
        Media::Flac => {
            let flac = FlacHeader::read(payload)?;
            (flac.frames, flac.rate)
        }
    };
    check_rate(rate)?;
    let nanos = u128::from(frames) * 1_000_000_000 / u128::from(rate);
    Ok(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
}

/// The number of frames of `size` bytes in `length` bytes.
///
/// # Errors
/// When there is none, or the last one is cut.
pub fn whole_frames(length: usize, size: usize, media: &Media) -> Result<usize, String> {
    if length == 0 {
        return Err(format!("the payload is empty; {media} needs at least one frame of {size} bytes"));
    }
    if size == 0 || !length.is_multiple_of(size) {
        return Err(format!(
            "the payload of {length} bytes is not a whole number of frames; a frame of {media} has {size} bytes"
        ));
    }
    Ok(length / size)
}

/// Checks that a rate is one at which sound is taken.
///
/// # Errors
/// When it is not.
pub fn check_rate(rate: u32) -> Result<(), String> {
    if RATES.contains(&rate) {
        return Ok(());
    }
    Err(format!(
        "a rate of {rate} frames a second is not taken; it must be from {} to {}",
        RATES.start(),
        RATES.end()
    ))
}

/// The samples' format in a WAV file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WavFormat {
    /// 8-bit unsigned.
    U8,
    /// 16-bit signed, little-endian.
    S16Le,
    /// 24-bit signed, little-endian, packed.
    S24Le,
    /// 32-bit signed, little-endian.
    S32Le,
    /// 32-bit floating point, little-endian.
    F32Le,
}

impl WavFormat {
    /// Bytes of one sample.
    pub fn size(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::S16Le => 2,
            Self::S24Le => 3,
            Self::S32Le | Self::F32Le => 4,
        }
    }
}

/// What the header of a WAV file says, checked against the payload's length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WavHeader {
    /// Frames a second.
    pub rate: u32,
    /// Samples of a frame; at least 1.
    pub channels: u16,
    /// The samples' format.
    pub format: WavFormat,
    /// Where in the payload the samples are: a whole number of frames, at least one.
    pub data: Range<usize>,
}

impl WavHeader {
    /// Bytes of one frame.
    pub fn frame_size(&self) -> usize {
        self.format.size() * usize::from(self.channels)
    }

    /// The number of frames.
    pub fn frames(&self) -> usize {
        self.data.len() / self.frame_size().max(1)
    }

    /// Reads the chunks before the samples. A data size of 0 or from 2 GiB - 4 KiB on is what writers that
    /// cannot seek put there: the samples then go to the end of the payload. Any other size that reaches
    /// beyond the payload's end means that the payload was cut.
    ///
    /// # Errors
    /// What is wrong with the header.
    pub fn read(payload: &[u8]) -> Result<Self, String> {
        if payload.get(..4) != Some(b"RIFF") || payload.get(8..12) != Some(b"WAVE") {
            return Err("the payload does not begin as audio/wav does, with RIFF and WAVE".into());
        }
        let mut format = None;
        let mut at = 12;
        // A chunk has at least 8 bytes; a sane header has a handful of them.
        for _ in 0..64 {
            let (Some(name), Some(size)) = (payload.get(at..at + 4), le_u32(payload, at + 4)) else { break };
            let body = at + 8;
            let size = size as usize;
            match name {
                b"fmt " => format = Some(Self::read_format(payload.get(body..).unwrap_or_default(), size)?),
                b"data" => {
                    let (format, channels, rate) =
                        format.ok_or("the WAV header has no fmt chunk before its data chunk")?;
                    let left = payload.len() - body;
                    let open_ended = size == 0 || size >= 0x7fff_f000;
                    if size > left && !open_ended {
                        return Err(format!(
                            "the WAV header claims {size} bytes of samples and {left} are there: the payload was cut"
                        ));
                    }
                    let length = if open_ended { left } else { size };
                    let frame = format.size() * usize::from(channels);
                    if !open_ended || length < frame {
                        whole_frames(length, frame, &Media::Wav)?;
                    }
                    let data = body..body + length - length % frame;
                    return Ok(Self { rate, channels, format, data });
                }
                _ => {}
            }
            // Chunks are padded to an even length.
            let Some(next) = body.checked_add(size).and_then(|end| end.checked_add(size % 2)) else { break };
            at = next;
        }
        Err("the WAV header has no data chunk".into())
    }

    fn read_format(chunk: &[u8], size: usize) -> Result<(WavFormat, u16, u32), String> {
        let chunk = chunk.get(..size.min(40)).unwrap_or_default();
        let (Some(tag), Some(channels), Some(rate), Some(bits)) =
            (le_u16(chunk, 0), le_u16(chunk, 2), le_u32(chunk, 4), le_u16(chunk, 14))
        else {
            return Err("the WAV header's fmt chunk is cut".into());
        };
        // WAVE_FORMAT_EXTENSIBLE keeps the format in the first two bytes of its GUID.
        let tag = if tag == 0xfffe { le_u16(chunk, 24).unwrap_or(tag) } else { tag };
        let format = match (tag, bits) {
            (1, 8) => WavFormat::U8,
            (1, 16) => WavFormat::S16Le,
            (1, 24) => WavFormat::S24Le,
            (1, 32) => WavFormat::S32Le,
            (3, 32) => WavFormat::F32Le,
            _ => {
                return Err(format!(
                    "WAV of format {tag} with {bits} bits is not taken; it must be PCM (1) with 8, 16, 24 or 32 \
                     bits or floating point (3) with 32"
                ));
            }
        };
        if !(1..=64).contains(&channels) {
            return Err(format!("a WAV file of {channels} channels is not taken; it must have 1 to 64"));
        }
        check_rate(rate)?;
        Ok((format, channels, rate))
    }
}

/// What the STREAMINFO block of a FLAC file says, checked for what the payload can hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlacHeader {
    /// Frames a second.
    pub rate: u32,
    /// Samples of a frame.
    pub channels: u16,
    /// The number of frames in all; at least 1.
    pub frames: u64,
    /// Where in the payload the sound begins, after all blocks of metadata.
    pub audio: usize,
}

impl FlacHeader {
    /// Reads the STREAMINFO block (RFC 9639, section 8.2), which is always the first.
    ///
    /// # Errors
    /// What is wrong with the header, or that it claims more than the payload can hold.
    pub fn read(payload: &[u8]) -> Result<Self, String> {
        if payload.get(..4) != Some(b"fLaC") {
            return Err("the payload does not begin as audio/flac does, with fLaC".into());
        }
        let (Some(head), Some(info)) = (payload.get(4..8), payload.get(8..42)) else {
            return Err("the FLAC header is cut".into());
        };
        if head.first().is_none_or(|kind| kind & 0x7f != 0) || head.get(1..) != Some(&[0, 0, 34]) {
            return Err("the FLAC header does not begin with a STREAMINFO block of 34 bytes".into());
        }
        let block_max = info.get(2..4).map_or(0, |b| b.iter().fold(0, |n, byte| n << 8 | u64::from(*byte)));
        // 20 bits of rate, 3 of channels less 1, 5 of bits less 1, 36 of frames.
        let packed = info.get(10..18).map_or(0, |b| b.iter().fold(0, |n, byte| n << 8 | u64::from(*byte)));
        let rate = u32::try_from(packed >> 44).unwrap_or(0);
        let channels = (packed >> 41 & 7) as u16 + 1;
        let frames = packed & 0xf_ffff_ffff;
        check_rate(rate)?;
        if frames == 0 {
            return Err(
                "the FLAC header does not say how many samples follow; encode with a known length".into()
            );
        }
        let most = (payload.len() as u64 / FLAC_FRAME_MIN).saturating_mul(block_max).min(MAX_FRAMES);
        if frames > most {
            return Err(format!(
                "the FLAC header claims {frames} samples; a payload of {} bytes holds {most} at the very most",
                payload.len()
            ));
        }
        let audio = Self::after_metadata(payload).ok_or("the FLAC header is cut")?;
        Ok(Self { rate, channels, frames, audio })
    }

    /// Each block of metadata has a byte with its kind and, in the highest bit, whether it is the last, then
    /// 24 bits of length.
    fn after_metadata(payload: &[u8]) -> Option<usize> {
        let mut at = 4;
        loop {
            let [kind, length @ ..]: [u8; 4] = payload.get(at..at + 4)?.try_into().ok()?;
            at += 4 + length.iter().fold(0, |n, byte| n << 8 | usize::from(*byte));
            if at > payload.len() {
                return None;
            }
            if kind & 0x80 != 0 {
                return Some(at);
            }
        }
    }
}

fn le_u16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

fn le_u32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

#[cfg(test)]
#[path = "duration_tests.rs"]
mod tests;
