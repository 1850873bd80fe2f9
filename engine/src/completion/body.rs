//! Runs as bytes, after the base that both sides know.
//!
//! The body is a row of segments. Each begins with two numbers, as LEB128 of at most 63 bits: how many offsets after
//! the segment before it (at first, after the base) it begins, and a head. A head of `2n` is a run of `n` offsets. A
//! head of `2n + 1` is followed by `n` bytes, of which each bit, lowest first, says of an offset whether it has ended;
//! the last of them is not zero, and the segment ends with its last bit that is set.

use super::plan::plan;
use super::{Completion, Run};
use crate::position::{NextOffset, Offset};

/// Runs, none before `base`, in as few bytes as this format has for them; or `None` if they are more than `most`, or
/// a number does not fit the format.
pub(super) fn write(runs: &[Run], base: i64, most: usize) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut rest = runs;
    let mut at = base;
    for segment in plan(runs, base) {
        let (own, after) = rest.split_at_checked(segment.runs)?;
        rest = after;
        let (first, last) = (own.first()?, own.last()?);
        varint(&mut out, first.from.0.abs_diff(at))?;
        if segment.bitmap {
            let bytes = usize::try_from(last.to.0.abs_diff(first.from.0).div_ceil(8)).ok()?;
            if bytes > most {
                return None;
            }
            varint(&mut out, 2 * bytes as u64 + 1)?;
            bitmap(&mut out, own, first.from.0, bytes);
        } else {
            varint(&mut out, first.to.0.abs_diff(first.from.0).checked_mul(2)?)?;
        }
        if out.len() > most {
            return None;
        }
        at = last.to.0;
    }
    Some(out)
}

fn bitmap(out: &mut Vec<u8>, runs: &[Run], from: i64, bytes: usize) {
    let start = out.len();
    out.resize(start + bytes, 0);
    let Some(map) = out.get_mut(start..) else { return };
    for bit in runs.iter().flat_map(|run| run.from.0..run.to.0) {
        let place = bit.abs_diff(from);
        if let Some(byte) = map.get_mut(usize::try_from(place / 8).unwrap_or(usize::MAX)) {
            *byte |= 1 << (place % 8);
        }
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

/// Reads what [`write`] writes. It makes at most four runs of a byte.
///
/// # Errors
/// What is wrong with it.
pub(super) fn read(mut body: &[u8], base: i64) -> Result<Completion, &'static str> {
    let mut map = Completion::default();
    let mut at = base;
    while !body.is_empty() {
        let gap = take_varint(&mut body)?;
        let head = take_varint(&mut body)?;
        at = add(at, gap)?;
        let n = head / 2;
        if n == 0 {
            return Err("a stretch without records");
        }
        if head.is_multiple_of(2) {
            let to = add(at, n)?;
            map.insert(Offset(at), NextOffset(to));
            at = to;
            continue;
        }
        let n = usize::try_from(n).map_err(|_| CUT)?;
        let (bytes, rest) = body.split_at_checked(n).ok_or(CUT)?;
        body = rest;
        at = read_bitmap(&mut map, bytes, at)?;
    }
    Ok(map)
}

fn read_bitmap(map: &mut Completion, bytes: &[u8], from: i64) -> Result<i64, &'static str> {
    let last = bytes.last().copied().unwrap_or_default();
    if last == 0 {
        return Err("a bitmap that ends with nothing");
    }
    let bits = 8 * bytes.len() as u64 - u64::from(last.leading_zeros());
    let end = add(from, bits)?;
    for (offset, byte) in (from..end).step_by(8).zip(bytes) {
        let mut left = u32::from(*byte);
        while left != 0 {
            let first = left.trailing_zeros();
            let after = first + (left >> first).trailing_ones();
            map.insert(Offset(offset + i64::from(first)), NextOffset(offset + i64::from(after)));
            left &= u32::MAX << after;
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
