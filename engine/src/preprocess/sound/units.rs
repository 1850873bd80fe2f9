//! The units of time of sound, and rounding in them.

use crate::ingest::OnDrift;

/// The jitter that alignment allows; at rates below 500 Hz it is half a sample.
pub(super) const JITTER_NS: i128 = OnDrift::JITTER_NS as i128;

pub(super) const SECOND: i128 = 1_000_000_000;

/// The quotient rounded to the nearest, halves up.
pub(super) fn div_round(value: i128, by: i128) -> i128 {
    (2 * value + by).div_euclid(2 * by)
}
