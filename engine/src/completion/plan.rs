//! The shortest way to write runs: which of them one by one, and which as a bitmap.
//!
//! A run by itself takes a byte or more for its length and for the gap before it; in a bitmap each offset takes a bit,
//! whatever ends. A map of both is as short as the better of the two, stretch by stretch: a record that stands still
//! far behind costs a few bytes, and the thousands in flight at the head a bit each. Which is which is a shortest
//! path through two states (Viterbi, IEEE Trans. Inf. Theory 13(2), 1967), in linear time.

use super::Run;
use super::text::varint_len;
use crate::position::NextOffset;

/// Bits that a bitmap takes beside its gap and its offsets: at most three bytes for its length, which are enough for
/// [`super::MAX_BODY`], and what rounding to a byte adds.
const BITMAP: u64 = 8 * 3 + 7;

/// Some runs in a row that are written in the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// How many runs it has. One that is not a bitmap has one.
    pub(super) runs: usize,
    /// Whether it is written as a bitmap.
    pub(super) bitmap: bool,
    /// The offset after its last record.
    pub(crate) to: NextOffset,
    /// At most so many bytes.
    pub(crate) bytes: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Alone,
    Bitmap,
}

/// How best to come to a run.
struct Step {
    /// How the run before it is, unless both are in one bitmap.
    before: State,
    /// Whether it is better to begin a bitmap with it than to go on with one.
    begins: bool,
}

/// How to write runs, of which none begins before `base`.
pub(super) fn plan(runs: &[Run], base: i64) -> Vec<Segment> {
    let mut steps = Vec::with_capacity(runs.len());
    let (mut alone, mut bitmap) = (0_u64, u64::MAX);
    let mut at = base;
    for run in runs {
        let (gap, len) = (run.from.0.abs_diff(at), run.to.0.abs_diff(run.from.0));
        let best = if alone <= bitmap { State::Alone } else { State::Bitmap };
        let least = alone.min(bitmap);
        let begin = least.saturating_add(8 * varint_len(gap)).saturating_add(BITMAP).saturating_add(len);
        let go_on = bitmap.saturating_add(gap).saturating_add(len);
        steps.push(Step { before: best, begins: begin < go_on });
        alone = least + alone_bits(gap, len);
        bitmap = begin.min(go_on);
        at = run.to.0;
    }
    let mut state = if alone <= bitmap { State::Alone } else { State::Bitmap };
    let mut segments = Vec::new();
    let mut left = runs.len();
    while let Some(last) = left.checked_sub(1) {
        let mut first = last;
        let is_bitmap = state == State::Bitmap;
        while let Some(step) = steps.get(first) {
            if !is_bitmap || step.begins || first == 0 {
                state = step.before;
                break;
            }
            first -= 1;
        }
        segments.push(segment(runs, base, first, last, is_bitmap));
        left = first;
    }
    segments.reverse();
    segments
}

/// What a run takes by itself.
fn alone_bits(gap: u64, len: u64) -> u64 {
    8 * (varint_len(gap) + varint_len(len.saturating_mul(2)))
}

fn segment(runs: &[Run], base: i64, first: usize, last: usize, bitmap: bool) -> Segment {
    let before = first.checked_sub(1).and_then(|i| runs.get(i)).map_or(base, |run| run.to.0);
    let from = runs.get(first).map_or(before, |run| run.from.0);
    let to = runs.get(last).map_or(from, |run| run.to.0);
    let (gap, len) = (from.abs_diff(before), to.abs_diff(from));
    let bits = if bitmap { 8 * varint_len(gap) + BITMAP + len } else { alone_bits(gap, len) };
    Segment {
        runs: last + 1 - first,
        bitmap,
        to: NextOffset(to),
        bytes: usize::try_from(bits.div_ceil(8)).unwrap_or(usize::MAX),
    }
}
