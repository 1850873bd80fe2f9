//! Stretches: runs of records in one state.

use super::map::Run;

/// The state of the records of a stretch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StretchState {
    Ended,
    Published,
}

/// A run, and the state of its records.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch {
    pub(super) run: Run,
    pub(super) state: StretchState,
}
