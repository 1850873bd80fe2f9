//! Stretches as bytes, after the base that both sides know.
//!
//! The body is a row of segments. Each begins with two numbers, as LEB128 of at most 63 bits: how many offsets after
//! the segment before it (at first, after the base) it begins, and a head. A head of
//! - `4n` is a run of `n` offsets that have ended;
//! - `4n + 1` is a run of `n` that are published and have not ended;
//! - `4n + 2` is followed by `n` bytes, of which each bit, lowest first, says of an offset whether it has ended;
//! - `4n + 3` is followed by `n` bytes below 3⁵, of which each digit to the base of 3, lowest first, says of an offset
//!   whether neither is so (0), it has ended (1), or it is published (2).
//!
//! The last of those bytes is not zero, and the segment ends with its last bit or digit that is not.

use super::plan::{How, plan};
use super::progress::{Progress, Stretch, What};
use crate::position::{NextOffset, Offset};

/// How many digits to the base of 3 a byte has.
const TRITS: u64 = 5;

/// Stretches that ascend, none before `base`, in as few bytes as this format has for them; or `None` if they are more
/// than `most`, or a number does not fit the format.
pub(super) fn write(stretches: &[Stretch], base: i64, most: usize) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut rest = stretches;
    let mut at = base;
    for segment in plan(stretches, base) {
        let (own, after) = rest.split_at_checked(segment.stretches)?;
        rest = after;
        let (first, last) = (own.first()?, own.last()?);
        varint(&mut out, first.run.from.0.abs_diff(at))?;
        let (n, kind) = match (segment.how, first.what) {
            (How::Alone, What::Ended) => (length(own)?, 0),
            (How::Alone, What::Published) => (length(own)?, 1),
            (How::Bits, _) => (length(own)?.div_ceil(8), 2),
            (How::Trits, _) => (length(own)?.div_ceil(TRITS), 3),
        };
        varint(&mut out, n.checked_mul(4)? + kind)?;
        if segment.how != How::Alone {
            let bytes = usize::try_from(n).ok().filter(|bytes| *bytes <= most)?;
            map(&mut out, own, first.run.from, bytes, segment.how);
        }
        if out.len() > most {
            return None;
        }
        at = last.run.to.0;
    }
    Some(out)
}

/// How many offsets there are from the first of stretches to the last.
fn length(own: &[Stretch]) -> Option<u64> {
    Some(own.last()?.run.to.0.abs_diff(own.first()?.run.from.0))
}

fn map(out: &mut Vec<u8>, own: &[Stretch], from: Offset, bytes: usize, how: How) {
    let start = out.len();
    out.resize(start + bytes, 0);
    let Some(map) = out.get_mut(start..) else { return };
    for Stretch { run, what } in own {
        for offset in run.from.0..run.to.0 {
            let place = offset.abs_diff(from.0);
            let (byte, adds) = match (how, what) {
                (How::Trits, What::Ended) => (place / TRITS, trit(place)),
                (How::Trits, What::Published) => (place / TRITS, 2 * trit(place)),
                _ => (place / 8, 1 << (place % 8)),
            };
            if let Some(byte) = map.get_mut(usize::try_from(byte).unwrap_or(usize::MAX)) {
                *byte += adds;
            }
        }
    }
}

/// What a digit of 1 counts in its byte.
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

/// Reads what [`write`] writes. It makes at most five runs of a byte.
///
/// # Errors
/// What is wrong with it.
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
