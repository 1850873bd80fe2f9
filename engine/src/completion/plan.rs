//! The shortest way to write stretches: which of them one by one, and which as a map with a place for each offset.
//!
//! A stretch by itself takes a byte or more for its length and for the gap before it. In a bitmap each offset takes a
//! bit, whatever has ended; where some are published and have not ended there are three things to tell apart, and five
//! offsets take a byte. What is written is as short as the best of the three, stretch by stretch: a record that
//! stands still far behind costs a few bytes, and the thousands in flight at the head a bit or two each. Which is
//! which is a shortest path through three states (Viterbi, IEEE Trans. Inf. Theory 13(2), 1967), in linear time.

use super::progress::{Stretch, What};
use super::text::varint_len;
use crate::position::NextOffset;

/// A byte. Costs are counted in fifths of a bit.
const BYTE: u64 = 40;
/// What an offset takes in a bitmap.
const OF_BITS: u64 = 5;
/// What an offset takes where five are in a byte.
const OF_TRITS: u64 = 8;
/// What a map takes beside its gap and its offsets: at most three bytes for its length, which are enough for
/// [`super::MAX_BODY`], and what rounding to a byte adds.
const MAP: u64 = 3 * BYTE + 7 * OF_BITS;

/// How some stretches are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// One, as its length.
    Alone,
    /// A bit for each offset. All have ended.
    Bits,
    /// A digit of three for each offset.
    Trits,
}

/// Some stretches in a row that are written in the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// How many stretches it has; one unless it is a map.
    pub(super) stretches: usize,
    pub(super) how: How,
    /// The offset after its last record.
    pub(crate) to: NextOffset,
    /// At most so many bytes.
    pub(crate) bytes: usize,
}

/// How best to come to a stretch.
struct Step {
    /// How the stretch before it is, unless both are in one map.
    before: How,
    /// Whether it is better to begin a map of either kind with it than to go on with one.
    begins_bits: bool,
    begins_trits: bool,
}

/// The least that it takes to come so far, for each way to write the last stretch.
struct Costs {
    alone: u64,
    bits: u64,
    trits: u64,
}

impl Costs {
    fn best(&self) -> (How, u64) {
        let maps = if self.bits <= self.trits { (How::Bits, self.bits) } else { (How::Trits, self.trits) };
        if self.alone <= maps.1 { (How::Alone, self.alone) } else { maps }
    }
}

/// How to write stretches that ascend, of which none begins before `base`.
pub(super) fn plan(stretches: &[Stretch], base: i64) -> Vec<Segment> {
    let mut steps = Vec::with_capacity(stretches.len());
    let mut costs = Costs { alone: 0, bits: u64::MAX, trits: u64::MAX };
    let mut at = base;
    for Stretch { run, what } in stretches {
        let (gap, len) = (run.from.0.abs_diff(at), run.to.0.abs_diff(run.from.0));
        let (before, least) = costs.best();
        let begin = |of| least.saturating_add(map(gap, len, of));
        let go_on = |cost: u64, of| cost.saturating_add(gap.saturating_add(len).saturating_mul(of));
        let bits = match what {
            What::Ended => (begin(OF_BITS), go_on(costs.bits, OF_BITS)),
            What::Published => (u64::MAX, u64::MAX),
        };
        let trits = (begin(OF_TRITS), go_on(costs.trits, OF_TRITS));
        steps.push(Step { before, begins_bits: bits.0 < bits.1, begins_trits: trits.0 < trits.1 });
        costs =
            Costs { alone: least + alone(gap, len), bits: bits.0.min(bits.1), trits: trits.0.min(trits.1) };
        at = run.to.0;
    }
    let mut how = costs.best().0;
    let mut segments = Vec::new();
    let mut left = stretches.len();
    while let Some(last) = left.checked_sub(1) {
        let mut first = last;
        let now = how;
        while let Some(step) = steps.get(first) {
            let begins = match now {
                How::Alone => true,
                How::Bits => step.begins_bits,
                How::Trits => step.begins_trits,
            };
            if begins || first == 0 {
                how = step.before;
                break;
            }
            first -= 1;
        }
        segments.push(segment(stretches, base, first, last, now));
        left = first;
    }
    segments.reverse();
    segments
}

/// What a stretch takes by itself.
fn alone(gap: u64, len: u64) -> u64 {
    BYTE * (varint_len(gap) + varint_len(len.saturating_mul(4)))
}

/// What a map takes.
fn map(gap: u64, len: u64, of: u64) -> u64 {
    len.saturating_mul(of).saturating_add(BYTE * varint_len(gap) + MAP)
}

fn segment(stretches: &[Stretch], base: i64, first: usize, last: usize, how: How) -> Segment {
    let before = first.checked_sub(1).and_then(|i| stretches.get(i)).map_or(base, |it| it.run.to.0);
    let from = stretches.get(first).map_or(before, |it| it.run.from.0);
    let to = stretches.get(last).map_or(from, |it| it.run.to.0);
    let (gap, len) = (from.abs_diff(before), to.abs_diff(from));
    let cost = match how {
        How::Alone => alone(gap, len),
        How::Bits => map(gap, len, OF_BITS),
        How::Trits => map(gap, len, OF_TRITS),
    };
    Segment {
        stretches: last + 1 - first,
        how,
        to: NextOffset(to),
        bytes: usize::try_from(cost.div_ceil(BYTE)).unwrap_or(usize::MAX),
    }
}
