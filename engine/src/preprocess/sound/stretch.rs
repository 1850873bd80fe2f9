//! Correction of drift: it reads sound at another pace, different by parts in a million or in a hundred.
//!
//! Each sample is the weighted sum of the frames around its place. The weights are a sinc under a Kaiser window, from
//! a table with linear interpolation (J. O. Smith, "Digital Audio Resampling", CCRMA, Stanford). The resampler
//! between rates cannot do this: it begins on a frame and never between two frames, and each pace would need its own
//! filters.

use std::ops::Range;

use super::super::fault::RowFault;
use super::pace::Pace;

/// The number of frames on each side that contribute to a sample.
const REACH: u64 = 32;
const TAPS: usize = 2 * REACH as usize;
/// The number of places between two frames that have a filter: in between, the error is below 2e-6.
const PLACES: usize = 512;
/// The Kaiser window's shape: side lobes 90 dB down.
const BETA: f64 = 9.0;

/// The buffers of one thread, and the filters once they have been needed.
#[derive(Default)]
pub(super) struct Stretcher {
    /// The filters by place, from 0 to 1 inclusive.
    filters: Vec<[f32; TAPS]>,
    raw: Vec<f32>,
}

impl Stretcher {
    /// Appends the frames of a range at a pace. `read` appends a range of the original frames, of which there are
    /// `frames`; before and after them is silence.
    pub(super) fn stretch(
        &mut self,
        pace: &Pace,
        range: Range<u64>,
        frames: u64,
        out: &mut Vec<f32>,
        read: impl FnOnce(u64, u64, &mut Vec<f32>) -> Result<(), RowFault>,
    ) -> Result<(), RowFault> {
        if range.is_empty() {
            return Ok(());
        }
        if self.filters.is_empty() {
            self.filters = (0..=PLACES).map(|place| filter(place as f64 / PLACES as f64)).collect();
        }
        let place = |frame: u64| pace.begin + frame as f64 * pace.step;
        // The first frame that has a part; before 0 there is silence.
        let first = place(range.start).floor() as i64 - (REACH as i64 - 1);
        let last = place(range.end - 1).floor() as i64 + REACH as i64 + 1;
        let (from, to) = (first.clamp(0, frames as i64), last.clamp(0, frames as i64));
        self.raw.clear();
        self.raw.resize((from - first).unsigned_abs() as usize, 0.0);
        read(from as u64, to as u64, &mut self.raw)?;
        self.raw.resize((last - first).unsigned_abs() as usize, 0.0);
        out.extend(range.map(|frame| {
            let place = place(frame);
            let whole = place.floor();
            let begin = (whole as i64 - (REACH as i64 - 1) - first).unsigned_abs() as usize;
            let around = self.raw.get(begin..begin + TAPS).unwrap_or_default();
            let between = (place - whole) * PLACES as f64;
            let nearest = between as usize;
            let weigh = |place: usize| self.filters.get(place).map_or(0.0, |filter| weighed(filter, around));
            let (here, next) = (weigh(nearest), weigh(nearest + 1));
            here + (next - here) * (between - nearest as f64) as f32
        }));
        Ok(())
    }
}

/// The weighted sum of frames, in eight lanes so that the compiler can add them in parallel.
fn weighed(filter: &[f32; TAPS], around: &[f32]) -> f32 {
    let mut lanes = [0.0; 8];
    for (weights, frames) in filter.as_chunks::<8>().0.iter().zip(around.as_chunks::<8>().0) {
        for ((lane, weight), frame) in lanes.iter_mut().zip(weights).zip(frames) {
            *lane += weight * frame;
        }
    }
    lanes.iter().sum()
}

/// The weights of the frames around a place from 0 to 1 after the one in the middle.
fn filter(place: f64) -> [f32; TAPS] {
    let weight = |tap: usize| {
        let away = tap as f64 - (REACH as f64 - 1.0) - place;
        let inside = (1.0 - (away / REACH as f64).powi(2)).max(0.0);
        let sinc = if away == 0.0 {
            1.0
        } else {
            (std::f64::consts::PI * away).sin() / (std::f64::consts::PI * away)
        };
        sinc * bessel(BETA * inside.sqrt())
    };
    let weights: [f64; TAPS] = std::array::from_fn(weight);
    let sum: f64 = weights.iter().sum();
    weights.map(|weight| (weight / sum) as f32)
}

/// The modified Bessel function of the first kind, order 0, by its series.
fn bessel(x: f64) -> f64 {
    let (mut sum, mut term) = (1.0, 1.0);
    for k in 1..40 {
        term *= (x / (2.0 * f64::from(k))).powi(2);
        sum += term;
    }
    sum
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test fails by a panic")]
mod tests {
    use super::*;

    fn tone(hertz: f64, at: f64) -> f32 {
        (std::f64::consts::TAU * hertz * at / 16_000.0).sin() as f32
    }

    #[test]
    fn stretcher_finds_a_tone_between_the_frames() {
        for (hertz, allowed) in [(50.0, 1e-4), (440.0, 1e-4), (3_000.0, 1e-4), (6_800.0, 2e-4)] {
            let pace = Pace { begin: 100.3, step: 1.000_15 };
            let mut out = Vec::new();
            let read = |from: u64, to: u64, raw: &mut Vec<f32>| {
                raw.extend((from..to).map(|frame| tone(hertz, frame as f64)));
                Ok(())
            };
            Stretcher::default().stretch(&pace, 0..4_000, 5_000, &mut out, read).expect("read");
            for (frame, found) in out.iter().enumerate() {
                let expected = tone(hertz, 100.3 + frame as f64 * 1.000_15);
                assert!((found - expected).abs() < allowed, "{hertz} Hz at {frame}: {found} {expected}");
            }
        }
    }

    #[test]
    fn stretched_range_is_a_piece_of_the_whole() {
        let pace = Pace { begin: -0.4, step: 0.99 };
        let mut stretcher = Stretcher::default();
        let mut cut = |range: Range<u64>| {
            let mut out = Vec::new();
            let read = |from: u64, to: u64, raw: &mut Vec<f32>| {
                raw.extend((from..to).map(|frame| tone(1_000.0, frame as f64)));
                Ok(())
            };
            stretcher.stretch(&pace, range, 900, &mut out, read).expect("read");
            out
        };
        let whole = cut(0..909);
        assert_eq!(whole.len(), 909);
        for (from, to) in [(0, 1), (10, 400), (880, 909)] {
            assert_eq!(cut(from as u64..to as u64), whole[from..to]);
        }
    }
}
