//! Sound: decoded, mixed down, resampled, and cut to a part's window, exact to the sample.
//!
//! The row is a sequence of samples at the target rate, the first at the window's beginning. The place of a chunk's
//! first sample is its event time, rounded to the nearest sample. But a chunk that begins within [`JITTER_NS`](units::JITTER_NS) of the
//! end of the one before it follows that one directly, so that coarse event times leave neither gap nor doubled
//! sample. Where chunks overlap, the earlier one wins. Time that no chunk covers is silence.
//!
//! A source may drift, so that its chunks are a little too short or too long for the time from one to the next. If
//! the input configures it, they are stretched to that time: `run` joins chunks, `pace` estimates the drift,
//! `stretch` corrects it.
//!
//! Consecutive chunks are joined before they are resampled, and the resampler also uses their samples beyond the
//! window's edges. So neither borders of chunks nor, where there is more sound, the window's edges are audible.

mod decode;
mod flac;
mod g711;
mod mel;
mod pace;
mod resample;
mod run;
mod stretch;
mod units;

use std::sync::Arc;

pub(super) use mel::MelPlan;

use self::mel::MelScratch;
use self::resample::Resamplers;
use self::run::{SoundRun, runs};
use self::stretch::Stretcher;
use self::units::{SECOND, div_round};
use super::fault::{RowFault, undecodable};
use super::spec::WaveformSpec;
use crate::align::Part;
use crate::ingest::OnDrift;
use crate::sample::Sample;

/// The buffers of one thread.
#[derive(Default)]
pub(super) struct SoundScratch {
    /// The waveform under a spectrogram.
    pub(super) wave: Vec<f32>,
    /// A run at its own rate.
    native: Vec<f32>,
    stretcher: Stretcher,
    resamplers: Resamplers,
    pub(super) mel: MelScratch,
}

/// The samples of a row.
pub(super) struct Window {
    rate: u32,
    length: usize,
    scale: f32,
    drift: OnDrift,
}

impl Window {
    pub(super) fn new(spec: &WaveformSpec) -> Self {
        Self { rate: spec.rate, length: spec.length, scale: spec.scale, drift: spec.drift }
    }

    pub(super) fn length(&self) -> usize {
        self.length
    }

    /// Fills a row and returns the share that chunks cover. A part without a window (the pivot's own, or one that is
    /// nearest or latest) gives its first sample from its start.
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
        // If a window is shorter than the row, the rest is silence, even if the last chunk has more sound: the
        // model's input must not depend on the borders of chunks.
        let length = if windowed {
            let long = i128::from(part.to.nanos_since(part.from)) * i128::from(self.rate);
            to_index((long + SECOND - 1).div_euclid(SECOND), self.length)
        } else {
            self.length
        };
        // `filled` is the end of the last run: the samples of the next run before it are left out.
        let (mut filled, mut covered) = (0, 0);
        for run in runs(samples, from, self.rate, self.drift)? {
            let end =
                run.at + div_round(i128::from(run.length) * i128::from(self.rate), i128::from(run.rate));
            let begin = to_index(run.at, length).max(filled);
            let end = to_index(end, length);
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

    /// Fills `row` with a run's samples at the row's rate, from sample `first` on.
    fn write_run(
        &self,
        run: &SoundRun<'_>,
        first: u64,
        row: &mut [f32],
        scratch: &mut SoundScratch,
    ) -> Result<(), RowFault> {
        let SoundScratch { native, stretcher, resamplers, .. } = scratch;
        native.clear();
        if run.rate == self.rate {
            run.read(first, first + row.len() as u64, native, stretcher)?;
            row.iter_mut().zip(native.iter()).for_each(|(to, from)| *to = *from);
            return Ok(());
        }
        let of_row = |message| RowFault::of_sample(run.sample(), undecodable(message));
        let resampler = resamplers.get(run.rate, self.rate).map_err(of_row)?;
        let needed = resampler.input_for(first, row.len() as u64);
        let end = needed.end.min(run.length);
        native.resize(resampler.lead(), 0.0);
        run.read(needed.start.min(end), end, native, stretcher)?;
        resampler.run(native, needed.start, first, row).map_err(of_row)
    }
}

/// A position limited to the row.
fn to_index(position: i128, length: usize) -> usize {
    usize::try_from(position.max(0)).unwrap_or(usize::MAX).min(length)
}
