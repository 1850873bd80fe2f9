//! The length of a number as a variable-length integer.

/// The number of bytes of a number as LEB128.
pub(crate) const fn varint_len(value: u64) -> u64 {
    (64 - (value | 1).leading_zeros() as u64).div_ceil(7)
}
