//! Sound: decoded, mixed down, resampled, cut to a part's window sample by sample.
//!
//! The row is a line of samples at the target rate, the first at the window's beginning. A chunk's first
//! sample stands where its event time says, rounded to the nearest sample; but a chunk that begins within
//! [`JITTER_NS`] of where the one before it ends is taken to follow it directly, so that event times of
//! coarse resolution leave neither gap nor doubled sample. Where chunks overlap, the earlier one wins.
//! What no chunk covers is silence.
//!
//! Chunks that follow one another are joined before they are resampled, and what they have beyond the
//! window's edges takes part, so that neither borders of chunks nor, where there is more sound, the
//! window's own are heard.

mod decode;
mod mel;
mod resample;

use std::sync::Arc;

use smallvec::SmallVec;

pub(super) use mel::MelPlan;

use self::decode::Source;
use self::mel::MelScratch;
use self::resample::Resamplers;
use super::spec::WaveformSpec;
use super::{RowFault, undecodable};
use crate::align::Part;
use crate::sample::Sample;
use crate::time::Timestamp;

/// How far the beginning of a chunk may lie from the end of the one before it, in nanoseconds, for them to
/// be one sound: a millisecond, the resolution of Kafka's own timestamps. At rates below 500 Hz, half a
/// sample.
const JITTER_NS: i128 = 1_000_000;

const SECOND: i128 = 1_000_000_000;

/// The buffers of one thread.
#[derive(Default)]
pub(super) struct SoundScratch {
    /// The waveform under a spectrogram.
    pub(super) wave: Vec<f32>,
    /// A run at its own rate.
    native: Vec<f32>,
    resamplers: Resamplers,
    mel: MelScratch,
}

/// The samples of a row.
pub(super) struct Window {
    rate: u32,
    length: usize,
    scale: f32,
}

/// Chunks of one rate that follow one another without a gap.
struct Run<'a> {
    /// Samples of the row from its beginning to the run's; negative when the run begins before.
    at: i128,
    /// When it begins.
    from: Timestamp,
    rate: u32,
    /// Its length in frames at its own rate.
    length: u64,
    pieces: SmallVec<[Piece<'a>; 4]>,
}

/// What a chunk gives to its run.
struct Piece<'a> {
    /// The index of the sample in its part.
    sample: usize,
    source: Source<'a>,
    /// Frames of the source that the chunk before it has already given.
    skip: u64,
    /// Where in the run it begins, in frames.
    at: u64,
}

impl Window {
    pub(super) fn new(spec: &WaveformSpec) -> Self {
        Self { rate: spec.rate, length: spec.length, scale: spec.scale }
    }

    pub(super) fn length(&self) -> usize {
        self.length
    }

    /// Fills a row and tells the share that chunks cover. A part without a window (the pivot's own, or one
    /// that is nearest or latest) gives its first sample from its start.
    pub(super) fn write(
        &self,
        part: &Part<Arc<Sample>>,
        row: &mut [f32],
        scratch: &mut SoundScratch,
    ) -> Result<f64, RowFault> {
        row.fill(0.0);
        let windowed = part.from < part.to;
        let samples = if windowed { part.samples.len() } else { 1 };
        let samples = part.samples.get(..samples).unwrap_or_default();
        let from = match samples.first() {
            Some(first) if !windowed => first.event_time,
            _ => part.from,
        };
        // `filled` is where the last run ended: of the next, what lies before it is left out.
        let (mut filled, mut covered) = (0, 0);
        for run in self.runs(samples, from)? {
            let end =
                run.at + div_round(i128::from(run.length) * i128::from(self.rate), i128::from(run.rate));
            let begin = to_index(run.at, self.length).max(filled);
            let end = to_index(end, self.length);
            let Some(part_of_row) = row.get_mut(begin..end).filter(|row| !row.is_empty()) else { continue };
            self.write_run(&run, (begin as i128 - run.at).unsigned_abs() as u64, part_of_row, scratch)?;
            covered += part_of_row.len();
            filled = end;
        }
        if self.scale != 1.0 {
            row.iter_mut().for_each(|value| *value *= self.scale);
        }
        Ok(covered as f64 / self.length.max(1) as f64)
    }

    /// Joins chunks that follow one another. `from` is the time of the row's first sample.
    fn runs<'a>(&self, samples: &'a [Arc<Sample>], from: Timestamp) -> Result<Vec<Run<'a>>, RowFault> {
        let mut order: SmallVec<[usize; 8]> = (0..samples.len()).collect();
        // Stable: of two at the same time, the one that arrived first comes first.
        order.sort_by_key(|index| samples.get(*index).map(|sample| sample.event_time));
        let mut runs: Vec<Run<'a>> = Vec::new();
        for index in order {
            let Some(sample) = samples.get(index) else { continue };
            let source = Source::open(&sample.media, &sample.record.payload)
                .map_err(|error| RowFault::of_sample(index, undecodable(error)))?;
            let rate = i128::from(source.rate);
            let time = i128::from(sample.event_time.as_nanos());
            match runs.last_mut() {
                Some(run) if run.rate == source.rate => {
                    let since = time - i128::from(run.from.as_nanos());
                    let gap = since - div_round(i128::from(run.length) * SECOND, rate);
                    if gap <= JITTER_NS.max(SECOND / (2 * rate)) {
                        let overlaps = gap < -JITTER_NS.max(SECOND / (2 * rate));
                        let skip = if overlaps {
                            i128::from(run.length) - div_round(since * rate, SECOND)
                        } else {
                            0
                        };
                        let skip = u64::try_from(skip).unwrap_or(0);
                        if skip < source.frames {
                            let at = run.length;
                            run.length += source.frames - skip;
                            run.pieces.push(Piece { sample: index, source, skip, at });
                        }
                        continue;
                    }
                }
                _ => {}
            }
            runs.push(Run {
                at: div_round((time - i128::from(from.as_nanos())) * i128::from(self.rate), SECOND),
                from: sample.event_time,
                rate: source.rate,
                length: source.frames,
                pieces: SmallVec::from_iter([Piece { sample: index, source, skip: 0, at: 0 }]),
            });
        }
        Ok(runs)
    }

    /// Fills `row` with a run's samples at the row's rate, from the one numbered `first` on.
    fn write_run(
        &self,
        run: &Run<'_>,
        first: u64,
        row: &mut [f32],
        scratch: &mut SoundScratch,
    ) -> Result<(), RowFault> {
        let SoundScratch { native, resamplers, .. } = scratch;
        native.clear();
        if run.rate == self.rate {
            run.read(first, first + row.len() as u64, native)?;
            row.iter_mut().zip(native.iter()).for_each(|(to, from)| *to = *from);
            return Ok(());
        }
        let of_row =
            |message| RowFault::of_sample(run.pieces.first().map_or(0, |p| p.sample), undecodable(message));
        let resampler = resamplers.get(run.rate, self.rate).map_err(of_row)?;
        let needed = resampler.input_for(first, row.len() as u64);
        let end = needed.end.min(run.length);
        native.resize(resampler.lead(), 0.0);
        run.read(needed.start.min(end), end, native)?;
        resampler.run(native, needed.start, first, row).map_err(of_row)
    }
}

impl Run<'_> {
    /// Appends the run's frames from `begin` to `end` to `out`.
    fn read(&self, begin: u64, end: u64, out: &mut Vec<f32>) -> Result<(), RowFault> {
        for piece in &self.pieces {
            let length = piece.source.frames - piece.skip;
            let (from, to) = (begin.max(piece.at), end.min(piece.at + length));
            if from < to {
                let offset = piece.skip;
                piece
                    .source
                    .read(from - piece.at + offset..to - piece.at + offset, out)
                    .map_err(|fault| RowFault::of_sample(piece.sample, fault))?;
            }
        }
        Ok(())
    }
}

/// The quotient rounded to the nearest, halves up.
fn div_round(value: i128, by: i128) -> i128 {
    (2 * value + by).div_euclid(2 * by)
}

/// A position brought into the row.
fn to_index(position: i128, length: usize) -> usize {
    usize::try_from(position.max(0)).unwrap_or(usize::MAX).min(length)
}
