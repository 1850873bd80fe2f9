//! Samples that came late, came twice or had to make room, for the log: one line for each input and reason, whatever their number.

use std::collections::BTreeMap;
use std::time::Duration;

use lockstep_engine::align::Bound;
use lockstep_engine::ingest::InputSpec;
use lockstep_engine::position::InputId;

use super::input_name;

/// How many came late, came twice or had to make room since it was last told.
#[derive(Default)]
pub(super) struct LeftOutLog {
    late: BTreeMap<InputId, Late>,
    duplicates: BTreeMap<InputId, u64>,
    evicted: BTreeMap<(InputId, Bound), u64>,
}

#[derive(Default)]
struct Late {
    samples: u64,
    by_ns: u64,
}

impl LeftOutLog {
    /// A sample came so much too late.
    pub(super) fn late(&mut self, input: InputId, by_ns: u64) {
        let late = self.late.entry(input).or_default();
        late.samples += 1;
        late.by_ns = late.by_ns.max(by_ns);
    }

    /// A sample has the event time, or the id, of one that came before.
    pub(super) fn duplicate(&mut self, input: InputId) {
        *self.duplicates.entry(input).or_default() += 1;
    }

    /// A sample had to make room.
    pub(super) fn evicted(&mut self, input: InputId, bound: Bound) {
        *self.evicted.entry((input, bound)).or_default() += 1;
    }

    /// Logs it.
    pub(super) fn tell(&mut self, inputs: &[InputSpec]) {
        for (input, Late { samples, by_ns }) in std::mem::take(&mut self.late) {
            let (input, by) = (input_name(inputs, input), Duration::from_nanos(by_ns));
            tracing::warn!(input, samples, "samples came too late for any bundle, by up to {by:?}");
        }
        for (input, samples) in std::mem::take(&mut self.duplicates) {
            let input = input_name(inputs, input);
            tracing::warn!(
                input,
                samples,
                "samples were dropped as duplicates: others of their stream have the same ce_id, or the same ce_time or \
                 event-time-ns"
            );
        }
        for ((input, bound), samples) in std::mem::take(&mut self.evicted) {
            let (input, bound) = (input_name(inputs, input), bound.as_str());
            tracing::warn!(input, bound, samples, "samples had to make room in alignment");
        }
    }
}
