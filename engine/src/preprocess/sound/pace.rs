//! The pace of a source that drifts, estimated from the event times of its chunks.
//!
//! Consecutive chunks begin at event times `t` after `x` of nominal time. The points of a source without drift lie on
//! a line of slope 1, those of a drifting source on a line of another slope. Least squares over all chunks of the run
//! find the line, so that jitter of timestamps does not make the sound waver. The line counts only if it explains the
//! deviations.

use super::units::{JITTER_NS, SECOND, div_round};
use crate::ingest::OnDrift;

/// The largest drift of a source, as a share.
const MOST: f64 = 1.0 / OnDrift::MOST as f64;
/// The least number of chunks that show a drift smaller than the jitter of single timestamps.
const MANY: usize = 8;

/// The times of a run's frames, in nanoseconds since its first chunk's event time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct PaceLine {
    begin: f64,
    /// Nanoseconds of event time for one of nominal time.
    slope: f64,
}

/// The map from a frame of the run to a place among the frames of the chunks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pace {
    /// The place of the run's first frame.
    pub(super) begin: f64,
    /// The distance from one frame to the next.
    pub(super) step: f64,
}

impl PaceLine {
    /// Fits a line to chunks, each with its first frame and its time, at a nominal rate. Returns none if the times
    /// agree with no drift, to within half a frame or the resolution of timestamps, or if no drift explains them.
    pub(super) fn through(chunks: &[(u64, i64)], rate: u32) -> Option<Self> {
        let rate = f64::from(rate);
        let points = chunks.iter().map(|(frame, time)| {
            let nominal = *frame as f64 * SECOND as f64 / rate;
            (nominal, *time as f64 - nominal)
        });
        let (mut count, mut mean_x, mut mean_r, mut sum_xx, mut sum_xr) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for (x, r) in points.clone() {
            count += 1.0;
            let (dx, dr) = (x - mean_x, r - mean_r);
            mean_x += dx / count;
            mean_r += dr / count;
            sum_xx += dx * (x - mean_x);
            sum_xr += dx * (r - mean_r);
        }
        let jitter = JITTER_NS as f64;
        let is_coarse = chunks.iter().all(|(_, time)| i128::from(*time) % JITTER_NS == 0);
        let hidden = if is_coarse { jitter } else { SECOND as f64 / (2.0 * rate) };
        let off = range(points.clone().map(|(_, r)| r));
        if off <= hidden || (chunks.len() < MANY && off <= jitter) {
            return None;
        }
        let slope = sum_xr / sum_xx;
        let rest = range(points.map(|(x, r)| r - slope * x));
        // If the cause is a jump or jitter, a line does not reduce the deviations.
        let is_line = slope.abs() <= MOST && rest <= off / 2.0;
        is_line.then_some(Self { begin: mean_r - slope * mean_x, slope: 1.0 + slope })
    }

    /// The place of the run in a row. The row begins `before` nanoseconds before the first chunk's event time.
    pub(super) fn laid_out(&self, before: i128, row_rate: u32, rate: u32, frames: u64) -> RunPlace {
        let (row_rate, step) = (i128::from(row_rate), self.slope.recip());
        let begin = before + self.begin.round() as i128;
        let at = div_round(begin * row_rate, SECOND);
        // The distance from the run's beginning to its sample in the row is added to the place of its first frame.
        let off = (at * SECOND - begin * row_rate) as f64 / (SECOND * row_rate) as f64;
        let pace = Pace { begin: off * f64::from(rate) * step, step };
        let last = (frames as f64 - 0.5 - pace.begin) / step;
        RunPlace { at, pace, length: last.max(0.0) as u64 + 1 }
    }
}

/// The place of a run in a row.
pub(super) struct RunPlace {
    /// The row's sample at which the run begins.
    pub(super) at: i128,
    /// The run's pace.
    pub(super) pace: Pace,
    /// The number of frames.
    pub(super) length: u64,
}

fn range(values: impl Iterator<Item = f64>) -> f64 {
    let (low, high) = values
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    high - low
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test fails by a panic")]
mod tests {
    use super::*;

    /// Chunks of 320 frames at 16 kHz whose times are made of their number.
    fn through(count: u64, time: impl Fn(f64) -> f64) -> Option<PaceLine> {
        let chunks: Vec<(u64, i64)> =
            (0..count).map(|n| (n * 320, time(n as f64 * 20e6).round() as i64)).collect();
        PaceLine::through(&chunks, 16_000)
    }

    #[test]
    fn drift_is_fitted_by_a_line() {
        let line = through(50, |x| x / 1.000_15).expect("a drift");
        assert!((line.slope - 1.0 / 1.000_15).abs() < 1e-8 && line.begin.abs() < 2.0, "{line:?}");
        let line = through(50, |x| x * 1.01).expect("a drift");
        assert!((line.slope - 1.01).abs() < 1e-8 && line.begin.abs() < 2.0, "{line:?}");
    }

    #[test]
    fn source_without_drift_has_no_line_for_any_rounding() {
        assert_eq!(through(500, |x| x), None);
        assert_eq!(through(500, |x| x + (x * 0.37).sin() * 15e3), None, "less than half a frame");
        assert_eq!(through(500, |x| x + (x * 0.37).sin() * 9e5), None, "jitter");
        // 441 frames at 22.05 kHz and a little: in whole milliseconds they lie on a line for a while.
        let coarse: Vec<(u64, i64)> =
            (0..18).map(|n| (n * 1_105, (n as i64 * 25_056_689) / 1_000_000 * 1_000_000)).collect();
        assert_eq!(PaceLine::through(&coarse, 44_100), None);
    }

    #[test]
    fn jump_is_not_a_drift() {
        assert_eq!(through(50, |x| if x > 4e8 { x + 1.3e6 } else { x }), None);
        assert_eq!(through(2, |x| x * 1.1), None, "more than any source drifts");
    }

    #[test]
    fn few_chunks_show_only_a_drift_that_would_leave_a_gap() {
        assert_eq!(through(4, |x| x * 1.01), None);
        let chunks = [(0, 0), (1_600, 101_700_000)];
        assert!(PaceLine::through(&chunks, 16_000).is_some());
    }
}
