//! FLAC payloads (RFC 9639): the STREAMINFO block, and the frames one by one with their checksums, undecoded. So the
//! number of samples is known even if the header does not have it. Missing or garbled sound is found before decoding.

mod frame;
mod tags;

use crate::fault::PayloadError;
use std::ops::Range;

use self::frame::{Checksum, FrameHeader};
use super::duration::{MAX_FRAMES, check_rate};
use crate::media::container::other_than;

/// The structure of a FLAC payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flac {
    /// Samples a second.
    pub rate: u32,
    /// Channels.
    pub channels: u16,
    /// Bits of a sample.
    pub bits: u16,
    /// The number of samples of a channel in all; at least 1.
    pub samples: u64,
    /// The frames in order.
    pub frames: Vec<FlacFrame>,
}

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlacFrame {
    /// The number of its first sample, from 0.
    pub first: u64,
    /// The number of its samples of each channel.
    pub samples: u32,
    /// Its range in the payload.
    pub bytes: Range<usize>,
}

impl Flac {
    /// Reads the STREAMINFO block and finds the frames. Tags before and after them (ID3, APE) are skipped.
    ///
    /// # Errors
    /// A description of the mistake and its place.
    pub fn read(payload: &[u8]) -> Result<Self, PayloadError> {
        Self::of_at_most(payload, MAX_FRAMES)
    }

    /// Reads a file, which may hold more samples than a payload: at most `most`.
    ///
    /// # Errors
    /// As for [`Self::read`].
    pub fn of_at_most(payload: &[u8], most: u64) -> Result<Self, PayloadError> {
        let start = tags::in_front(payload);
        let stream = payload.get(start..).unwrap_or_default();
        if !stream.starts_with(b"fLaC") {
            return Err(other_than("a FLAC file (audio/flac)", "fLaC", stream).into());
        }
        let (Some(head), Some(info)) = (stream.get(4..8), stream.get(8..42)) else {
            return Err("the FLAC header is cut".into());
        };
        if head.first().is_none_or(|kind| kind & 0x7f != 0) || head.get(1..) != Some(&[0, 0, 34]) {
            return Err("the FLAC header does not begin with a STREAMINFO block of 34 bytes".into());
        }
        // 20 bits of rate, 3 of channels less 1, 5 of bits less 1, 36 of samples.
        let packed = info.get(10..18).map_or(0, |b| b.iter().fold(0, |n, byte| n << 8 | u64::from(*byte)));
        let rate = u32::try_from(packed >> 44).unwrap_or(0);
        let (channels, bits) = ((packed >> 41 & 7) as u16 + 1, (packed >> 36 & 31) as u16 + 1);
        let claimed = packed & 0xf_ffff_ffff;
        check_rate(rate)?;
        if bits < 4 {
            return Err(format!("the FLAC header says {bits} bits a sample; encode with at least 4").into());
        }
        let audio = after_metadata(stream).ok_or("the FLAC header is cut")? + start;
        let mut flac = Self { rate, channels, bits, samples: 0, frames: Vec::new() };
        flac.find_frames(payload, audio, most)?;
        let found = flac.samples;
        if found == 0 {
            return Err("the FLAC payload has no sound behind its header".into());
        }
        if claimed != 0 && claimed != found {
            return Err(format!(
                "the FLAC header claims {claimed} samples and its frames hold {found}: the file was cut, or its header is \
                 wrong"
            ).into());
        }
        Ok(flac)
    }

    /// The longest frame, in samples.
    pub fn longest(&self) -> u32 {
        self.frames.iter().map(|frame| frame.samples).max().unwrap_or(0)
    }

    /// Finds the frames. A frame does not contain its length: it ends where its checksum is correct and the next
    /// begins.
    fn find_frames(&mut self, payload: &[u8], audio: usize, most: u64) -> Result<(), PayloadError> {
        // The number of zeros at the end of the payload is counted once.
        let zeros = payload.iter().rev().take_while(|byte| **byte == 0).count();
        let mut at = audio;
        let mut last: Option<FrameHeader> = None;
        while !tags::only(payload.get(at..).unwrap_or_default(), zeros) {
            let count = self.frames.len();
            let here = payload.get(at..).unwrap_or_default();
            let header = FrameHeader::read(here).ok_or_else(|| {
                format!("the FLAC payload has no frame that can be read at byte {at}, after {count} frames")
            })?;
            self.check(&header, last.as_ref()).map_err(|why| format!("FLAC frame {count}: {why}"))?;
            let length = length_of(here, header.length, zeros).ok_or_else(|| {
                format!(
                    "FLAC frame {count} is cut or garbled: its checksum does not hold before the payload ends"
                )
            })?;
            self.frames.push(FlacFrame {
                first: self.samples,
                samples: header.samples,
                bytes: at..at + length,
            });
            self.samples += u64::from(header.samples);
            if self.samples > most {
                return Err(
                    format!("the FLAC payload holds more than {most} samples; send shorter ones").into()
                );
            }
            at += length;
            last = Some(header);
        }
        Ok(())
    }

    /// Checks a frame against the header and the frame before it.
    fn check(&self, header: &FrameHeader, last: Option<&FrameHeader>) -> Result<(), PayloadError> {
        let differs = |what: &str, own: u64, said: u64| {
            Err(format!("it has {what} {own} and the FLAC header says {said}; the two must be the same")
                .into())
        };
        if let Some(rate) = header.rate.filter(|rate| *rate != self.rate) {
            return differs("a rate of", rate.into(), self.rate.into());
        }
        if header.channels != self.channels {
            return differs("channels:", header.channels.into(), self.channels.into());
        }
        if let Some(bits) = header.bits.filter(|bits| *bits != self.bits) {
            return differs("bits:", bits.into(), self.bits.into());
        }
        if self.bits == 32 && header.has_side {
            return Err(
                "it codes channels of 32 bits by their difference, which is not supported; encode with 24 bits"
                    .into(),
            );
        }
        let Some(last) = last else { return Ok(()) };
        if header.by_sample != last.by_sample {
            return Err("it is numbered in another way than the one before it".into());
        }
        let expected = last.number + if last.by_sample { u64::from(last.samples) } else { 1 };
        if header.number != expected {
            return Err(format!(
                "it has the number {} where {expected} would follow: sound is missing",
                header.number
            )
            .into());
        }
        Ok(())
    }
}

/// The place after the metadata blocks. Each block has a byte with its kind and, in the highest bit, the flag of the
/// last block; then come 24 bits of length.
fn after_metadata(stream: &[u8]) -> Option<usize> {
    let mut at = 4;
    loop {
        let [kind, length @ ..]: [u8; 4] = stream.get(at..at + 4)?.try_into().ok()?;
        at += 4 + length.iter().fold(0, |n, byte| n << 8 | usize::from(*byte));
        if at > stream.len() {
            return None;
        }
        if kind & 0x80 != 0 {
            return Some(at);
        }
    }
}

/// The length of the frame that begins here; `header` is the length of its header. The checksum over a frame and its
/// own checksum is 0.
fn length_of(here: &[u8], header: usize, zeros: usize) -> Option<usize> {
    let mut sum = Checksum::default();
    for (index, byte) in here.iter().enumerate() {
        sum.add(*byte);
        let end = index + 1;
        // After the header there is a subframe and a checksum.
        if sum.is_zero() && end > header + 2 {
            let rest = here.get(end..).unwrap_or_default();
            if FrameHeader::begins(rest) || tags::only(rest, zeros) {
                return Some(end);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests;
