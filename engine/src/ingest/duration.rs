//! The duration of a payload. Nothing is decoded: for WAV it reads the header, for FLAC the headers of its frames.

use crate::fault::PayloadError;
use std::time::Duration;

use super::flac::Flac;
use super::wav::WavHeader;
use crate::media::{Media, Pcm, container};

/// The accepted sample rates, in frames a second.
pub const RATES: std::ops::RangeInclusive<u32> = 1..=1_000_000;

/// The most frames that one payload of compressed sound may hold: 46 minutes at 48 kHz.
pub const MAX_FRAMES: u64 = 1 << 27;

/// The duration of a payload: zero for images, text and bytes; for sound its frames divided by its rate.
///
/// # Errors
/// When the payload is empty, is cut inside a frame, has a header that cannot be read, or a header that claims more
/// sound than the payload holds.
pub fn duration(media: &Media, payload: &[u8]) -> Result<Duration, PayloadError> {
    let (frames, rate) = match media {
        Media::Jpeg | Media::Png | Media::WebP | Media::Rgb { .. } | Media::Text | Media::Binary => {
            return Ok(Duration::ZERO);
        }
        Media::Pcm(pcm) => (raw_frames(pcm, payload)? as u64, pcm.rate),
        Media::Wav => {
            let wav = WavHeader::read(payload)?;
            (wav.frames() as u64, wav.pcm.rate)
        }
        Media::Flac => {
            let flac = Flac::read(payload)?;
            (flac.samples, flac.rate)
        }
    };
    check_rate(rate)?;
    let nanos = u128::from(frames) * 1_000_000_000 / u128::from(rate);
    Ok(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
}

/// The number of frames of raw sound.
///
/// # Errors
/// When there is no frame, the last one is cut, or the payload is a file with its own header.
pub fn raw_frames(pcm: &Pcm, payload: &[u8]) -> Result<usize, PayloadError> {
    let media = Media::Pcm(*pcm);
    if let Some(found) = container::recognise_in_raw(payload) {
        return Err(format!(
            "the payload is {found}, not raw sound ({media}); send what the content type says"
        )
        .into());
    }
    whole_frames(payload.len(), pcm.frame_size(), &media)
}

/// The number of frames of `size` bytes in `length` bytes.
///
/// # Errors
/// When there is no frame, or the last one is cut.
pub fn whole_frames(length: usize, size: usize, media: &Media) -> Result<usize, PayloadError> {
    if length == 0 {
        return Err(format!(
            "the payload is empty; send at least one frame of {media}, which has {size} bytes"
        )
        .into());
    }
    if size == 0 || !length.is_multiple_of(size) {
        return Err(format!(
            "the payload of {length} bytes is not a whole number of frames; send whole frames of {media}, each of {size} bytes"
        ).into());
    }
    Ok(length / size)
}

/// Checks that a sample rate is accepted.
///
/// # Errors
/// When the rate is outside [`RATES`].
pub fn check_rate(rate: u32) -> Result<(), PayloadError> {
    if RATES.contains(&rate) {
        return Ok(());
    }
    Err(format!(
        "a rate of {rate} frames a second is out of range {}..={}; write the rate of the samples",
        RATES.start(),
        RATES.end()
    )
    .into())
}

#[cfg(test)]
#[path = "duration_tests.rs"]
mod tests;
