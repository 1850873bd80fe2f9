//! Payloads to samples of one channel, only those that are asked for.

use std::io::{Cursor, Read};
use std::ops::Range;

use dasp_sample::{I24, Sample as _};
use symphonia::core::codecs::audio::{AudioDecoder, AudioDecoderOptions};
use symphonia::core::formats::{FormatOptions, FormatReader};
use symphonia::core::io::{MediaSourceStream, ReadOnlySource};
use symphonia::default::codecs::FlacDecoder;
use symphonia::default::formats::FlacReader;

use super::super::undecodable;
use crate::fault::Fault;
use crate::ingest::duration::{FlacHeader, WavFormat, WavHeader, check_rate, whole_frames};
use crate::media::{Media, PcmFormat};

/// The header of a payload, read and checked.
pub(super) struct Source<'a> {
    /// Frames a second.
    pub(super) rate: u32,
    /// The number of frames; at least 1.
    pub(super) frames: u64,
    payload: &'a [u8],
    coding: Coding,
}

enum Coding {
    Plain { format: WavFormat, channels: usize, data: Range<usize> },
    Flac { audio: usize },
}

impl<'a> Source<'a> {
    pub(super) fn open(media: &Media, payload: &'a [u8]) -> Result<Self, String> {
        match media {
            Media::Pcm(pcm) => {
                check_rate(pcm.rate)?;
                let channels = usize::from(pcm.channels);
                let frames = whole_frames(payload.len(), pcm.format.size() * channels, media)? as u64;
                let format = match pcm.format {
                    PcmFormat::S16Le => WavFormat::S16Le,
                    PcmFormat::F32Le => WavFormat::F32Le,
                };
                let coding = Coding::Plain { format, channels, data: 0..payload.len() };
                Ok(Self { rate: pcm.rate, frames, payload, coding })
            }
            Media::Wav => {
                let wav = WavHeader::read(payload)?;
                let frames = wav.frames() as u64;
                let channels = usize::from(wav.channels);
                let coding = Coding::Plain { format: wav.format, channels, data: wav.data };
                Ok(Self { rate: wav.rate, frames, payload, coding })
            }
            Media::Flac => {
                let flac = FlacHeader::read(payload)?;
                let coding = Coding::Flac { audio: flac.audio };
                Ok(Self { rate: flac.rate, frames: flac.frames, payload, coding })
            }
            Media::Jpeg | Media::Png | Media::WebP | Media::Rgb { .. } | Media::Text | Media::Binary => {
                Err(format!("{media} is not sound; send audio/pcm, wav or flac"))
            }
        }
    }

    /// Appends the frames of a range, each the mean of its channels from -1 to 1.
    pub(super) fn read(&self, range: Range<u64>, out: &mut Vec<f32>) -> Result<(), Fault> {
        match &self.coding {
            Coding::Plain { format, channels, data } => {
                let size = format.size() * channels;
                // Within the payload: `frames` comes from its length.
                let (begin, end) = (range.start as usize * size, range.end as usize * size);
                let bytes = self.payload.get(data.start + begin..data.start + end).unwrap_or_default();
                mix_plain(bytes, *format, *channels, out);
                // What comes of integers is always finite.
                let added = (range.end - range.start) as usize;
                let fresh = out.get(out.len().saturating_sub(added)..).unwrap_or_default();
                match fresh.iter().position(|value| !value.is_finite()) {
                    Some(at) if *format == WavFormat::F32Le => Err(undecodable(format!(
                        "sample {} is not a finite number; f32le samples lie between -1 and 1",
                        range.start + at as u64
                    ))),
                    _ => Ok(()),
                }
            }
            Coding::Flac { audio } => self.read_flac(*audio, range, out),
        }
    }

    /// FLAC has no shortcut to its middle: what comes before the range is decoded and let go, what comes
    /// after it is not looked at. Blocks of metadata are kept from the decoder: nothing in them is needed.
    fn read_flac(&self, audio: usize, range: Range<u64>, out: &mut Vec<f32>) -> Result<(), Fault> {
        let broken = |what: String| undecodable(format!("the payload is not whole FLAC: {what}"));
        let mut head = self.payload.get(..42).unwrap_or_default().to_vec();
        // STREAMINFO becomes the last block of metadata.
        head.iter_mut().skip(4).take(1).for_each(|kind| *kind |= 0x80);
        let sound = self.payload.get(audio..).unwrap_or_default();
        let source = ReadOnlySource::new(Cursor::new(head).chain(Cursor::new(sound)));
        let stream = MediaSourceStream::new(Box::new(source), Default::default());
        let mut reader = FlacReader::try_new(stream, FormatOptions::default())
            .map_err(|error| broken(error.to_string()))?;
        let parameters = reader
            .tracks()
            .first()
            .and_then(|track| track.codec_params.as_ref()?.audio())
            .ok_or_else(|| broken("there is no sound in it".into()))?;
        let mut decoder = FlacDecoder::try_new(parameters, &AudioDecoderOptions::default())
            .map_err(|error| broken(error.to_string()))?;
        let mut planes: Vec<Vec<f32>> = Vec::new();
        let mut at = 0;
        while at < range.end {
            let packet = match reader.next_packet() {
                Ok(Some(packet)) => packet,
                Ok(None) => {
                    return Err(broken(format!("it ends after {at} of {} samples", self.frames)));
                }
                Err(error) => return Err(broken(format!("{error} after {at} of {} samples", self.frames))),
            };
            let block = decoder
                .decode(&packet)
                .map_err(|error| broken(format!("{error} after {at} of {} samples", self.frames)))?;
            let frames = block.frames() as u64;
            let from = range.start.clamp(at, at + frames) - at;
            let to = range.end.clamp(at, at + frames) - at;
            if from < to {
                block.copy_to_vecs_planar(&mut planes);
                let channels = planes.len().max(1) as f32;
                out.extend((from as usize..to as usize).map(|frame| {
                    let sum: f32 = planes.iter().map(|plane| plane.get(frame).copied().unwrap_or(0.0)).sum();
                    sum / channels
                }));
            }
            at += frames;
        }
        Ok(())
    }
}

fn mix_plain(bytes: &[u8], format: WavFormat, channels: usize, out: &mut Vec<f32>) {
    match format {
        WavFormat::U8 => mix::<1>(bytes, channels, out, |[b]| b.to_sample()),
        WavFormat::S16Le => mix::<2>(bytes, channels, out, |b| i16::from_le_bytes(b).to_sample()),
        WavFormat::S24Le => mix::<3>(bytes, channels, out, |[a, b, c]| {
            // The sign comes with the shift back.
            I24::new_unchecked(i32::from_le_bytes([0, a, b, c]) >> 8).to_sample()
        }),
        WavFormat::S32Le => mix::<4>(bytes, channels, out, |b| i32::from_le_bytes(b).to_sample()),
        WavFormat::F32Le => mix::<4>(bytes, channels, out, f32::from_le_bytes),
    }
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
