//! Decoding of FLAC frames. Each frame is independent, so only the frames of the requested range are decoded.

use crate::fault::PayloadError;
use std::ops::Range;

use symphonia::core::codecs::audio::well_known::CODEC_ID_FLAC;
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia::core::packet::PacketRef;
use symphonia::core::units::{Duration, Timestamp};
use symphonia::default::codecs::FlacDecoder;

use crate::ingest::flac::Flac;

/// Appends the samples of a range, each the mean of its channels from -1 to 1.
pub(super) fn read(
    flac: &Flac,
    payload: &[u8],
    range: Range<u64>,
    out: &mut Vec<f32>,
) -> Result<(), PayloadError> {
    let mut parameters = AudioCodecParameters::new();
    parameters.for_codec(CODEC_ID_FLAC).with_extra_data(stream_info(flac).into());
    let mut decoder = FlacDecoder::try_new(&parameters, &AudioDecoderOptions::default())
        .map_err(|error| error.to_string())?;
    let mut planes: Vec<Vec<f32>> = Vec::new();
    let begin = flac.frames.partition_point(|frame| frame.first + u64::from(frame.samples) <= range.start);
    for frame in flac.frames.get(begin..).unwrap_or_default() {
        if frame.first >= range.end {
            break;
        }
        let broken = |what: String| format!("{what} after {} of {} samples", frame.first, flac.samples);
        let bytes = payload.get(frame.bytes.clone()).unwrap_or_default();
        let packet = PacketRef::new(0, Timestamp::ZERO, Duration::ZERO, bytes);
        let block = decoder.decode_ref(&packet).map_err(|error| broken(error.to_string()))?;
        if block.frames() as u64 != u64::from(frame.samples) {
            return Err(broken(format!(
                "a frame has {} samples and its header says {}",
                block.frames(),
                frame.samples
            ))
            .into());
        }
        block.copy_to_vecs_planar(&mut planes);
        let within = |at: u64| at.saturating_sub(frame.first).min(u64::from(frame.samples)) as usize;
        let channels = planes.len().max(1) as f32;
        out.extend((within(range.start)..within(range.end)).map(|at| {
            let sum: f32 = planes.iter().map(|plane| plane.get(at).copied().unwrap_or(0.0)).sum();
            sum / channels
        }));
    }
    Ok(())
}

/// A STREAMINFO block made from the frames: in the payload's own block, encoders that cannot seek leave fields
/// unknown.
fn stream_info(flac: &Flac) -> [u8; 34] {
    let mut info = [0; 34];
    let longest = flac.longest().max(16) as u16;
    let packed = u64::from(flac.rate) << 44
        | u64::from(flac.channels.saturating_sub(1)) << 41
        | u64::from(flac.bits.saturating_sub(1)) << 36
        | flac.samples & 0xf_ffff_ffff;
    let [a, b] = longest.to_be_bytes();
    let fields = [a, b, a, b, 0, 0, 0, 0, 0, 0].into_iter().chain(packed.to_be_bytes());
    info.iter_mut().zip(fields).for_each(|(to, from)| *to = from);
    info
}
