//! The drift of a source: the error of its real rate, estimated from the event times of its chunks.
//!
//! A source claims 16 000 Hz, and by its event times it makes 15 998.4 frames a second: it drifts by -100 parts per million.
//! Chunk `i` begins at event time `e`, after chunks of the nominal length `x` in all. Without drift the
//! residual `r = e - x` would stay constant. With drift it has a slope `s` over `x`, and the real rate is
//! `1 / (1 + s)` of the nominal one.
//!
//! Stamps jitter by milliseconds, and a drift of 100 ppm is a millisecond in ten seconds. So the estimator collects
//! residuals in blocks of seconds. The slope is the median of the slopes between all pairs of blocks (the estimator of
//! Theil and Sen). Up to 29 % of the blocks may be off by anything. Its confidence follows from the ranks of these slopes by
//! Kendall's tau, for any distribution of the jitter (P. K. Sen, "Estimates of the regression coefficient based
//! on Kendall's tau", Journal of the American Statistical Association 63, 1968).
//!
//! A block gives two points, the mean and the lowest of its residuals. Means are better for jitter to both sides. The
//! lowest is better for stamps that come too late now and then (the minimum filter of NTP's clock filter, RFC 5905,
//! section 10). The narrower of the two estimates is reported.
//!
//! The estimator finds the place of a chunk in its sequence by its time, to the nearest chunk. So chunks that are lost,
//! repeated or out of order neither move the others nor are wrong themselves. A chunk without a clear place is a stray.
//! Three strays in a row begin a *segment*: the clock has stepped, or the source paused. Only blocks of the same segment
//! are compared.
//!
//! If the rate is far off, many chunks are strays, and no drift is reported. But a rate of a half or a third of the
//! nominal one has no strays and a drift of 0, as if the other chunks were lost.

use std::time::Duration;

use crate::time::{Timestamp, nanos};

/// The most blocks that are kept. At that number, pairs of blocks are merged until they have the longest length or segments
/// are short; from then on the oldest is dropped.
const BLOCKS: usize = 32;
/// The shortest block, in nanoseconds; at least [`CHUNKS`] chunks long.
const SHORT: i64 = 1_000_000_000;
/// The longest block, in nanoseconds.
const LONG: i64 = 16 * SHORT;
const CHUNKS: i64 = 8;
/// The least number of chunks in a block that counts.
const ENOUGH: u32 = 4;
/// The chunks per stray that a block needs to count: more strays show a source that does not match its nominal rate.
const ODD: u32 = 4;
/// The longest distance from its expected time, in nanoseconds, within which a chunk is no stray; a quarter of its length if
/// that is less.
const NEAR: i64 = 100_000_000;
/// The distance from the expected place, in chunks, beyond which a chunk is a stray in any case.
const APART: i64 = 16;
/// The number of strays in a row that begin a segment.
const IN_A_ROW: u8 = 3;
/// The number of chunks over which the expected residual is averaged.
const LEVEL: f64 = 8.0;
/// The quantile of the normal distribution for 99.9 %, both sides.
const SURE: f64 = 3.29;

/// The error of a reported drift is within this, in parts per million, or a tenth of the drift where that is more.
pub const BOUND_PPM: f64 = 10.0;

/// The error of a source's real rate against its nominal one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Drift {
    /// The real rate over the nominal one less 1, in parts per million. Below 0 the source is slow, and its chunks
    /// span more time than they claim.
    pub ppm: f64,
    /// The error of `ppm`, in parts per million, with 99.9 % confidence if the disturbances of one block are independent of
    /// those of the next. It is at least the error from the resolution of the stamps.
    pub error_ppm: f64,
    /// The longest time without a step or a pause over which it was measured.
    pub over: Duration,
}

impl Drift {
    /// Returns true if the error is within [`BOUND_PPM`].
    pub fn is_sure(&self) -> bool {
        self.error_ppm <= BOUND_PPM.max(self.ppm.abs() / 10.0)
    }
}

/// Estimates the drift of one input of one stream from its samples that last, in the order of arrival.
///
/// It keeps at most 1.5 KiB. Observing takes constant time; an estimate sorts some 500 numbers. Durations are whole
/// nanoseconds, so the error is up to a nanosecond for each chunk: 0.05 ppm with chunks of 20 ms.
#[derive(Clone, Debug)]
pub struct DriftEstimator {
    /// The beginning of the segment, in event time.
    origin: i64,
    /// The nominal length of all chunks of the segment: the expected place of the next one, before `level` is added.
    nominal: i64,
    /// The moving average of the last chunks' residuals.
    level: f64,
    levelled: f64,
    /// The duration of the last chunk; 0 before the first.
    last: i64,
    strays: u8,
    /// The number of strays that came during the open block.
    strayed: u32,
    segment: u32,
    /// The end of the open block, in nominal time of the segment.
    until: i64,
    open: Block,
    blocks: Vec<Block>,
    /// The length of a block, in nanoseconds.
    length: i64,
    /// The resolution of the stamps, as far as is known: a millisecond, a microsecond, or finer.
    grain: i64,
    /// The slope by which the lowest point of a block is chosen.
    slope: f64,
}

/// The residuals of some seconds.
#[derive(Clone, Copy, Debug)]
struct Block {
    segment: u32,
    count: u32,
    mean: Point,
    lowest: Point,
}

/// Nanoseconds of the segment's nominal time, and of the residual there.
#[derive(Clone, Copy, Debug, Default)]
struct Point {
    x: f64,
    r: f64,
}

impl Default for DriftEstimator {
    fn default() -> Self {
        Self::new()
    }
}

impl DriftEstimator {
    /// An estimator without observations.
    pub fn new() -> Self {
        Self {
            origin: 0,
            nominal: 0,
            level: 0.0,
            levelled: 0.0,
            last: 0,
            strays: 0,
            strayed: 0,
            segment: 0,
            until: 0,
            open: Block::new(0),
            blocks: Vec::new(),
            length: 0,
            grain: 1_000_000,
            slope: 0.0,
        }
    }

    /// Takes a chunk; a sample without length is ignored.
    pub fn observe(&mut self, event_time: Timestamp, duration: Duration) {
        let (time, length) = (event_time.as_nanos(), nanos(duration));
        if length == 0 {
            return;
        }
        if self.last == 0 {
            self.length = SHORT.max(length.saturating_mul(CHUNKS));
            self.begin(time, length);
            return;
        }
        while self.grain > 1 && time.saturating_sub(self.origin) % self.grain != 0 {
            self.grain /= 1_000;
        }
        let residual = time.saturating_sub(self.origin).saturating_sub(self.nominal);
        let off = residual as f64 - self.level;
        // The distance from the expected chunk in chunks; below 0 for an earlier one. Not known if chunk lengths change.
        let apart = if length == self.last { (off / length as f64).round() } else { 0.0 };
        let near = (length / 4).min(NEAR) as f64;
        let is_stray = apart.abs() > APART as f64 || (off - apart * length as f64).abs() > near;
        self.last = length;
        if is_stray {
            self.strays += 1;
            self.strayed = self.strayed.saturating_add(1);
            if self.strays >= IN_A_ROW {
                self.segment = self.segment.wrapping_add(1);
                self.begin(time, length);
            } else if off > 0.0 {
                self.nominal = self.nominal.saturating_add(length);
            }
            return;
        }
        self.strays = 0;
        let skipped = length.saturating_mul(apart as i64);
        let x = self.nominal.saturating_add(skipped);
        self.nominal = self.nominal.max(x.saturating_add(length));
        self.add(x, residual.saturating_sub(skipped) as f64);
    }

    /// The drift by the chunks so far, if it is sure.
    pub fn estimate(&self) -> Option<Drift> {
        self.best().filter(Drift::is_sure)
    }

    /// The surest estimate that there is, however unsure.
    fn best(&self) -> Option<Drift> {
        let by_mean = self.slope_of(|block| block.mean);
        let by_lowest = self.slope_of(|block| block.lowest);
        let (slope, error, span) = match (by_mean, by_lowest) {
            (Some(mean), Some(lowest)) if lowest.1 < mean.1 => lowest,
            (mean, lowest) => mean.or(lowest)?,
        };
        // A residual below the stamps' resolution may have grown unseen.
        let error = error + self.grain as f64 / span;
        let rate = (1.0 + slope).recip();
        Some(Drift {
            ppm: (rate - 1.0) * 1e6,
            error_ppm: error * rate * rate * 1e6,
            over: Duration::from_nanos(span as u64),
        })
    }

    /// The slope, its error, and the time over which it was found.
    fn slope_of(&self, point: impl Fn(&Block) -> Point) -> Option<(f64, f64, f64)> {
        let mut slopes = Vec::with_capacity(BLOCKS * BLOCKS / 2);
        let (mut variance, mut span) = (0.0, 0.0_f64);
        for blocks in self.blocks.chunk_by(|one, next| one.segment == next.segment) {
            for (index, later) in blocks.iter().enumerate() {
                let later = point(later);
                slopes.extend(blocks.iter().take(index).map(|earlier| {
                    let earlier = point(earlier);
                    (later.r - earlier.r) / (later.x - earlier.x)
                }));
            }
            let n = blocks.len() as f64;
            variance += n * (n - 1.0) * (2.0 * n + 5.0) / 18.0;
            if let (Some(first), Some(last)) = (blocks.first(), blocks.last()) {
                span = span.max(point(last).x - point(first).x);
            }
        }
        slopes.retain(|slope| slope.is_finite());
        slopes.sort_unstable_by(f64::total_cmp);
        let pairs = slopes.len() as f64;
        let spread = SURE * variance.sqrt();
        let at = |rank: f64| slopes.get(rank as usize).copied().filter(|_| rank >= 0.0);
        // With fewer than nine blocks no interval reaches the confidence: its ranks lie beyond the slopes.
        let (low, high) = (at(((pairs - spread) / 2.0).floor())?, at(((pairs + spread) / 2.0).ceil())?);
        let middle = at(pairs / 2.0)?;
        Some((middle, (high - middle).max(middle - low), span))
    }

    fn begin(&mut self, time: i64, length: i64) {
        self.close();
        self.origin = time;
        self.nominal = length;
        (self.level, self.levelled) = (0.0, 0.0);
        self.last = length;
        self.strays = 0;
        self.until = self.length;
        self.add(0, 0.0);
    }

    fn add(&mut self, x: i64, residual: f64) {
        self.levelled = (self.levelled + 1.0).min(LEVEL);
        self.level += (residual - self.level) / self.levelled;
        if x >= self.until {
            self.close();
            self.until = x.saturating_add(self.length);
        }
        self.open.add(Point { x: x as f64, r: residual }, self.slope);
    }

    fn close(&mut self) {
        let block = std::mem::replace(&mut self.open, Block::new(self.segment));
        let strayed = std::mem::take(&mut self.strayed);
        if block.count < ENOUGH || strayed > block.count / ODD {
            return;
        }
        self.blocks.push(block);
        if self.blocks.len() < BLOCKS {
            return;
        }
        // In short segments longer blocks would leave one each, with nothing to compare it with.
        let segments = self.blocks.chunk_by(|one, next| one.segment == next.segment).count();
        if self.length >= LONG || segments > BLOCKS / 8 {
            self.blocks.remove(0);
            return;
        }
        self.slope = self.slope_of(|block| block.lowest).map_or(self.slope, |(slope, ..)| slope);
        self.length = self.length.saturating_mul(2);
        let mut merged: Vec<Block> = Vec::with_capacity(BLOCKS);
        for segment in self.blocks.chunk_by(|one, next| one.segment == next.segment) {
            merged.extend(segment.chunks(2).filter_map(|pair| {
                let (first, second) = (pair.first()?, pair.get(1));
                Some(second.map_or(*first, |second| first.with(second, self.slope)))
            }));
        }
        self.blocks = merged;
    }
}

impl Block {
    fn new(segment: u32) -> Self {
        Self { segment, count: 0, mean: Point::default(), lowest: Point { x: 0.0, r: f64::INFINITY } }
    }

    fn add(&mut self, point: Point, slope: f64) {
        self.count = self.count.saturating_add(1);
        self.mean.draw_to(point, 1.0 / f64::from(self.count));
        self.lowest = self.lowest.lower(point, slope);
    }

    /// Merges two blocks.
    fn with(&self, other: &Self, slope: f64) -> Self {
        let count = self.count.saturating_add(other.count);
        let mut mean = self.mean;
        mean.draw_to(other.mean, f64::from(other.count) / f64::from(count));
        Self { segment: self.segment, count, mean, lowest: self.lowest.lower(other.lowest, slope) }
    }
}

impl Point {
    fn draw_to(&mut self, other: Self, share: f64) {
        self.x += (other.x - self.x) * share;
        self.r += (other.r - self.r) * share;
    }

    /// The lower of two points over a line of a slope.
    fn lower(self, other: Self, slope: f64) -> Self {
        if other.r - slope * other.x < self.r - slope * self.x { other } else { self }
    }
}

#[cfg(test)]
#[path = "drift_tests.rs"]
mod tests;
