//! A sample on its way to the method of its stream.

use super::moment::Moment;
use crate::sample::TieBreak;

/// A sample that has just arrived.
#[derive(Debug)]
pub(super) struct Arrival<T> {
    pub(super) input: usize,
    /// Its event time.
    pub(super) time: i64,
    /// Its end, exclusive; the same as `time` for a sample without length.
    pub(super) end: i64,
    /// The tie-break among samples of its input and event time.
    pub(super) tie_break: TieBreak,
    pub(super) item: T,
}

impl<T> Arrival<T> {
    /// Its place among those of its input.
    pub(super) fn moment(&self) -> Moment {
        Moment { time: self.time, tie_break: self.tie_break }
    }
}
