//! Decoding of payloads to samples of one channel, only of the requested range.

use crate::fault::PayloadError;
use std::ops::Range;

use dasp_sample::Sample as _;

use super::super::fault::undecodable;
use super::flac;
use super::g711;
use crate::fault::Fault;
use crate::ingest::duration::{check_rate, raw_frames};
use crate::ingest::flac::Flac;
use crate::ingest::wav::WavHeader;
use crate::media::{Media, Pcm, PcmFormat};

/// The header of a payload, read and checked.
pub(super) struct SoundHeader<'a> {
    /// Frames a second.
    pub(super) rate: u32,
    /// The number of frames; at least 1.
    pub(super) frames: u64,
    payload: &'a [u8],
    coding: SoundCoding,
}

enum SoundCoding {
    Plain { format: PcmFormat, channels: usize, data: Range<usize> },
    Flac(Flac),
}

impl<'a> SoundHeader<'a> {
    pub(super) fn open(media: &Media, payload: &'a [u8]) -> Result<Self, PayloadError> {
        match media {
            Media::Pcm(pcm) => {
                check_rate(pcm.rate)?;
                raw_frames(pcm, payload)?;
                Ok(Self::plain(*pcm, payload, 0..payload.len()))
            }
            Media::Wav => {
                let wav = WavHeader::read(payload)?;
                Ok(Self::plain(wav.pcm, payload, wav.data))
            }
            Media::Flac => {
                let flac = Flac::read(payload)?;
                Ok(Self { rate: flac.rate, frames: flac.samples, payload, coding: SoundCoding::Flac(flac) })
            }
            Media::Jpeg | Media::Png | Media::WebP | Media::Rgb { .. } | Media::Text | Media::Binary => {
                Err(format!("{media} is not sound; send audio/pcm, wav or flac").into())
            }
        }
    }

    fn plain(pcm: Pcm, payload: &'a [u8], data: Range<usize>) -> Self {
        let frames = (data.len() / pcm.frame_size().max(1)) as u64;
        let coding = SoundCoding::Plain { format: pcm.format, channels: usize::from(pcm.channels), data };
        Self { rate: pcm.rate, frames, payload, coding }
    }

    /// Appends the frames of a range, each the mean of its channels from -1 to 1.
    pub(super) fn read(&self, range: Range<u64>, out: &mut Vec<f32>) -> Result<(), Fault> {
        match &self.coding {
            SoundCoding::Plain { format, channels, data } => {
                let size = format.size() * channels;
                // Within the payload: `frames` comes from its length.
                let (begin, end) = (range.start as usize * size, range.end as usize * size);
                let bytes = self.payload.get(data.start + begin..data.start + end).unwrap_or_default();
                mix_plain(bytes, *format, *channels, out);
                // Integer samples are always finite.
                let added = (range.end - range.start) as usize;
                let fresh = out.get(out.len().saturating_sub(added)..).unwrap_or_default();
                match fresh.iter().position(|value| !value.is_finite()) {
                    Some(at) if format.is_float() => Err(undecodable(format!(
                        "sample {} is not a finite number; {format} samples lie between -1 and 1",
                        range.start + at as u64
                    ))),
                    _ => Ok(()),
                }
            }
            SoundCoding::Flac(flac) => flac::read(flac, self.payload, range, out)
                .map_err(|why| undecodable(format!("the payload is not whole FLAC: {why}"))),
        }
    }
}

fn mix_plain(bytes: &[u8], format: PcmFormat, channels: usize, out: &mut Vec<f32>) {
    use PcmFormat as P;
    match format {
        P::U8 => mix::<1>(bytes, channels, out, |[b]| b.to_sample()),
        P::S8 => mix::<1>(bytes, channels, out, |b| i8::from_le_bytes(b).to_sample()),
        P::S16Le => mix::<2>(bytes, channels, out, |b| i16::from_le_bytes(b).to_sample()),
        P::S16Be => mix::<2>(bytes, channels, out, |b| i16::from_be_bytes(b).to_sample()),
        P::U16Le => mix::<2>(bytes, channels, out, |b| u16::from_le_bytes(b).to_sample()),
        P::U16Be => mix::<2>(bytes, channels, out, |b| u16::from_be_bytes(b).to_sample()),
        P::S24Le => mix::<3>(bytes, channels, out, |[a, b, c]| of_24(i32::from_le_bytes([0, a, b, c]))),
        P::S24Be => mix::<3>(bytes, channels, out, |[a, b, c]| of_24(i32::from_be_bytes([a, b, c, 0]))),
        P::S24In32Le => mix::<4>(bytes, channels, out, |b| of_24(i32::from_le_bytes(b) << 8)),
        P::S24In32Be => mix::<4>(bytes, channels, out, |b| of_24(i32::from_be_bytes(b) << 8)),
        P::S32Le => mix::<4>(bytes, channels, out, |b| i32::from_le_bytes(b).to_sample()),
        P::S32Be => mix::<4>(bytes, channels, out, |b| i32::from_be_bytes(b).to_sample()),
        P::F32Le => mix::<4>(bytes, channels, out, f32::from_le_bytes),
        P::F32Be => mix::<4>(bytes, channels, out, f32::from_be_bytes),
        P::F64Le => mix::<8>(bytes, channels, out, |b| f64::from_le_bytes(b) as f32),
        P::F64Be => mix::<8>(bytes, channels, out, |b| f64::from_be_bytes(b) as f32),
        P::Ulaw => mix::<1>(bytes, channels, out, |[b]| g711::ulaw(b).to_sample()),
        P::Alaw => mix::<1>(bytes, channels, out, |[b]| g711::alaw(b).to_sample()),
    }
}

/// A sample whose 24 bits are the high ones of 32: a number that a float holds exactly.
fn of_24(value: i32) -> f32 {
    (value >> 8) as f32 / 8_388_608.0
}

fn mix<const N: usize>(bytes: &[u8], channels: usize, out: &mut Vec<f32>, value: impl Fn([u8; N]) -> f32) {
    let (samples, _) = bytes.as_chunks::<N>();
    if channels <= 1 {
        out.extend(samples.iter().map(|sample| value(*sample)));
        return;
    }
    out.extend(samples.chunks_exact(channels).map(|frame| {
        let sum: f32 = frame.iter().map(|sample| value(*sample)).sum();
        sum / channels as f32
    }));
}
