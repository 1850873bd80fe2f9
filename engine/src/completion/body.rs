//! The binary format of stretches, relative to the committed offset (the base).
//!
//! The body is a row of segments. Each begins with two numbers, as LEB128 of at most 63 bits. The first is the number
//! of offsets from the end of the segment before it (at first, from the base). The second is the head. A head of
//! - `4n` is a run of `n` offsets that have ended;
//! - `4n + 1` is a run of `n` that are published and have not ended;
//! - `4n + 2` is followed by `n` bytes with a bit for each offset, lowest first: 1 if it has ended;
//! - `4n + 3` is followed by `n` bytes below 3⁵ with a digit to the base of 3 for each offset, lowest first: 0 for
//!   neither, 1 for ended, 2 for published.
//!
//! The last of these bytes is not zero, and the segment ends with its last bit or digit that is not.

use super::plan::{Encoding, plan};
use super::progress::Progress;
use super::stretch::{Stretch, StretchState};
use crate::position::{NextOffset, Offset};

/// The number of digits to the base of 3 in a byte.
const TRITS: u64 = 5;

/// Writes stretches that ascend, none before `base`, in the fewest bytes that this format allows. Returns `None` if
/// that is more than `most` bytes, or if a number does not fit the format.
pub(super) fn write(stretches: &[Stretch], base: i64, most: usize) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut rest = stretches;
    let mut at = base;
    for segment in plan(stretches, base) {
        let (own, after) = rest.split_at_checked(segment.stretches)?;
        rest = after;
        let (first, last) = (own.first()?, own.last()?);
        varint(&mut out, first.run.from.0.abs_diff(at))?;
        let (n, kind) = match (segment.encoding, first.state) {
            (Encoding::Alone, StretchState::Ended) => (length(own)?, 0),
            (Encoding::Alone, StretchState::Published) => (length(own)?, 1),
            (Encoding::Bits, _) => (length(own)?.div_ceil(8), 2),
            (Encoding::Trits, _) => (length(own)?.div_ceil(TRITS), 3),
        };
        varint(&mut out, n.checked_mul(4)? + kind)?;
        if segment.encoding != Encoding::Alone {
            let bytes = usize::try_from(n).ok().filter(|bytes| *bytes <= most)?;
            map(&mut out, own, first.run.from, bytes, segment.encoding);
        }
        if out.len() > most {
            return None;
        }
        at = last.run.to.0;
    }
    Some(out)
}

/// The number of offsets from the first stretch to the end of the last.
fn length(own: &[Stretch]) -> Option<u64> {
    Some(own.last()?.run.to.0.abs_diff(own.first()?.run.from.0))
}

fn map(out: &mut Vec<u8>, own: &[Stretch], from: Offset, bytes: usize, encoding: Encoding) {
    let start = out.len();
    out.resize(start + bytes, 0);
    let Some(map) = out.get_mut(start..) else { return };
    for Stretch { run, state } in own {
        for offset in run.from.0..run.to.0 {
            let place = offset.abs_diff(from.0);
            let (byte, adds) = match (encoding, state) {
                (Encoding::Trits, StretchState::Ended) => (place / TRITS, trit(place)),
                (Encoding::Trits, StretchState::Published) => (place / TRITS, 2 * trit(place)),
                _ => (place / 8, 1 << (place % 8)),
            };
            if let Some(byte) = map.get_mut(usize::try_from(byte).unwrap_or(usize::MAX)) {
                *byte += adds;
            }
        }
    }
}

/// The value of a digit of 1 in its byte.
fn trit(place: u64) -> u8 {
    match place % TRITS {
        0 => 1,
        1 => 3,
        2 => 9,
        3 => 27,
        _ => 81,
    }
}

fn varint(out: &mut Vec<u8>, mut value: u64) -> Option<()> {
    i64::try_from(value).ok()?;
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
    Some(())
}

/// Reads the output of [`write`]. It makes at most five runs of a byte.
///
/// # Errors
/// A description of the mistake.
pub(super) fn read(mut body: &[u8], base: i64) -> Result<Progress, &'static str> {
    let mut progress = Progress::default();
    let mut at = base;
    while !body.is_empty() {
        let gap = take_varint(&mut body)?;
        let head = take_varint(&mut body)?;
        at = add(at, gap)?;
        let n = head / 4;
        if n == 0 {
            return Err("a stretch without records");
        }
        let set = if head % 4 == 1 { &mut progress.published } else { &mut progress.ended };
        if head % 4 < 2 {
            let to = add(at, n)?;
            set.insert(Offset(at), NextOffset(to));
            at = to;
            continue;
        }
        let n = usize::try_from(n).map_err(|_| CUT)?;
        let (bytes, rest) = body.split_at_checked(n).ok_or(CUT)?;
        body = rest;
        if bytes.last() == Some(&0) {
            return Err("a map that ends with nothing");
        }
        let read = if head % 4 == 2 { read_bits } else { read_trits };
        at = read(&mut progress, bytes, at)?;
    }
    Ok(progress)
}

fn read_bits(progress: &mut Progress, bytes: &[u8], from: i64) -> Result<i64, &'static str> {
    let last = bytes.last().copied().unwrap_or_default();
    let end = add(from, 8 * bytes.len() as u64 - u64::from(last.leading_zeros()))?;
    for (offset, byte) in (from..end).step_by(8).zip(bytes) {
        let mut left = u32::from(*byte);
        while left != 0 {
            let first = left.trailing_zeros();
            let after = first + (left >> first).trailing_ones();
            let (from, to) = (offset + i64::from(first), offset + i64::from(after));
            progress.ended.insert(Offset(from), NextOffset(to));
            left &= u32::MAX << after;
        }
    }
    Ok(end)
}

fn read_trits(progress: &mut Progress, bytes: &[u8], from: i64) -> Result<i64, &'static str> {
    let last = bytes.last().copied().unwrap_or_default();
    let digits = u64::from(last.checked_ilog(3).unwrap_or_default()) + 1;
    let end = add(from, TRITS * (bytes.len() as u64).saturating_sub(1) + digits.min(TRITS))?;
    for (offset, byte) in (from..end).step_by(5).zip(bytes) {
        let (mut left, mut at) = (*byte, offset);
        if left >= 243 {
            return Err("a byte with more than five digits");
        }
        while left != 0 {
            let set = if left % 3 == 2 { &mut progress.published } else { &mut progress.ended };
            if left % 3 != 0 {
                set.insert(Offset(at), NextOffset(at + 1));
            }
            (left, at) = (left / 3, at + 1);
        }
    }
    Ok(end)
}

const CUT: &str = "it is cut short";

fn add(at: i64, more: u64) -> Result<i64, &'static str> {
    at.checked_add_unsigned(more).ok_or("it goes beyond the last offset that there can be")
}

fn take_varint(from: &mut &[u8]) -> Result<u64, &'static str> {
    let mut value = 0;
    for shift in (0..63).step_by(7) {
        let (first, rest) = from.split_first().ok_or(CUT)?;
        *from = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err("a number with more than 63 bits")
}
