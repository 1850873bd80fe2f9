//! Faults of rows: what they are, and the ones of payloads that cannot be used.

use crate::fault::{Fault, Reason, StageKind};

/// The reason why a row could not be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowFault {
    /// The index of the faulty sample in the part's samples; none if the cause is not a single sample.
    pub sample: Option<usize>,
    /// The fault.
    pub fault: Fault,
}

impl RowFault {
    pub(super) fn of_sample(sample: usize, fault: Fault) -> Self {
        Self { sample: Some(sample), fault }
    }

    pub(super) fn of_row(message: String) -> Self {
        Self { sample: None, fault: undecodable(message) }
    }
}

pub(super) fn undecodable(message: impl Into<String>) -> Fault {
    Fault::new(StageKind::Preprocess, Reason::Undecodable, message)
}

pub(super) fn too_large(message: impl Into<String>) -> Fault {
    Fault::new(StageKind::Preprocess, Reason::DecodedTooLarge, message)
}
