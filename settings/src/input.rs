//! One input, as its section and the section `[align]` need it.

use std::time::Duration;

use lockstep_engine::align::ClockPolicy;
use lockstep_engine::ingest::InputSpec;
use lockstep_engine::media::Modality;

/// The settings of one input.
pub(super) struct Input {
    /// None if the content type is wrong, which has been noted.
    pub(super) spec: Option<InputSpec>,
    pub(super) name: String,
    pub(super) out_of_orderness: Duration,
    pub(super) idle_timeout: Duration,
    /// None without the key.
    pub(super) min_period: Option<Duration>,
    pub(super) clock: ClockPolicy,
}

impl Input {
    /// Returns true if the input is known to carry sound.
    pub(super) fn is_sound(&self) -> bool {
        self.spec.as_ref().is_some_and(|spec| spec.modality == Modality::Audio)
    }
}
