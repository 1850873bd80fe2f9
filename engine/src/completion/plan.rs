//! The shortest encoding of stretches: one by one, or as a map with a place for each offset.
//!
//! A stretch by itself takes a byte or more for its length and for the gap before it. In a bitmap of ended records
//! each offset takes a bit. Where some records are published and have not ended, an offset has three states, and five
//! offsets take a byte. The plan picks the cheapest of the three encodings, stretch by stretch. So one record that
//! stays unfinished far behind costs a few bytes, and the thousands in flight at the head cost a bit or two each. The
//! choice is a shortest path through three states (Viterbi, IEEE Trans. Inf. Theory 13(2), 1967), in linear time.

use super::stretch::{Stretch, StretchState};
use super::varint::varint_len;
use crate::position::NextOffset;

/// The cost of a byte. Costs are counted in fifths of a bit.
const BYTE: u64 = 40;
/// The cost of an offset in a bitmap.
const OF_BITS: u64 = 5;
/// The cost of an offset where five are in a byte.
const OF_TRITS: u64 = 8;
/// The cost of a map beside its gap and its offsets. It is at most three bytes for its length, enough for
/// [`super::MAX_BODY`], and the bits lost by rounding to a byte.
const MAP: u64 = 3 * BYTE + 7 * OF_BITS;

/// The encoding of some stretches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// One stretch, as its length.
    Alone,
    /// A bit for each offset. All records have ended.
    Bits,
    /// A digit of three for each offset.
    Trits,
}

/// Consecutive stretches with the same encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// The number of its stretches; one unless it is a map.
    pub(super) stretches: usize,
    pub(super) encoding: Encoding,
    /// The offset after its last record.
    pub(crate) to: NextOffset,
    /// An upper bound of its bytes.
    pub(crate) bytes: usize,
}

/// The cheapest way to reach a stretch.
struct PlanStep {
    /// The encoding of the stretch before it, unless both are in one map.
    before: Encoding,
    /// True if a new map of that kind is cheaper than one continued.
    begins_bits: bool,
    begins_trits: bool,
}

/// The least cost up to a stretch, for each encoding of that stretch.
struct Costs {
    alone: u64,
    bits: u64,
    trits: u64,
}

impl Costs {
    fn best(&self) -> (Encoding, u64) {
        let maps =
            if self.bits <= self.trits { (Encoding::Bits, self.bits) } else { (Encoding::Trits, self.trits) };
        if self.alone <= maps.1 { (Encoding::Alone, self.alone) } else { maps }
    }
}

/// Plans the encoding of stretches that ascend, of which none begins before `base`.
pub(super) fn plan(stretches: &[Stretch], base: i64) -> Vec<Segment> {
    let mut steps = Vec::with_capacity(stretches.len());
    let mut costs = Costs { alone: 0, bits: u64::MAX, trits: u64::MAX };
    let mut at = base;
    for Stretch { run, state } in stretches {
        let (gap, len) = (run.from.0.abs_diff(at), run.to.0.abs_diff(run.from.0));
        let (before, least) = costs.best();
        let begin = |of| least.saturating_add(map(gap, len, of));
        let go_on = |cost: u64, of| cost.saturating_add(gap.saturating_add(len).saturating_mul(of));
        let bits = match state {
            StretchState::Ended => (begin(OF_BITS), go_on(costs.bits, OF_BITS)),
            StretchState::Published => (u64::MAX, u64::MAX),
        };
        let trits = (begin(OF_TRITS), go_on(costs.trits, OF_TRITS));
        steps.push(PlanStep { before, begins_bits: bits.0 < bits.1, begins_trits: trits.0 < trits.1 });
        costs =
            Costs { alone: least + alone(gap, len), bits: bits.0.min(bits.1), trits: trits.0.min(trits.1) };
        at = run.to.0;
    }
    let mut encoding = costs.best().0;
    let mut segments = Vec::new();
    let mut left = stretches.len();
    while let Some(last) = left.checked_sub(1) {
        let mut first = last;
        let now = encoding;
        while let Some(step) = steps.get(first) {
            let begins = match now {
                Encoding::Alone => true,
                Encoding::Bits => step.begins_bits,
                Encoding::Trits => step.begins_trits,
            };
            if begins || first == 0 {
                encoding = step.before;
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

/// The cost of a stretch by itself.
fn alone(gap: u64, len: u64) -> u64 {
    BYTE * (varint_len(gap) + varint_len(len.saturating_mul(4)))
}

/// The cost of a map.
fn map(gap: u64, len: u64, of: u64) -> u64 {
    len.saturating_mul(of).saturating_add(BYTE * varint_len(gap) + MAP)
}

fn segment(stretches: &[Stretch], base: i64, first: usize, last: usize, encoding: Encoding) -> Segment {
    let before = first.checked_sub(1).and_then(|i| stretches.get(i)).map_or(base, |it| it.run.to.0);
    let from = stretches.get(first).map_or(before, |it| it.run.from.0);
    let to = stretches.get(last).map_or(from, |it| it.run.to.0);
    let (gap, len) = (from.abs_diff(before), to.abs_diff(from));
    let cost = match encoding {
        Encoding::Alone => alone(gap, len),
        Encoding::Bits => map(gap, len, OF_BITS),
        Encoding::Trits => map(gap, len, OF_TRITS),
    };
    Segment {
        stretches: last + 1 - first,
        encoding,
        to: NextOffset(to),
        bytes: usize::try_from(cost.div_ceil(BYTE)).unwrap_or(usize::MAX),
    }
}
