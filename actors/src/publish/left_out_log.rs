//! The log of late, duplicate and evicted samples: one line for each input and reason, whatever their number.

use std::collections::BTreeMap;
use std::time::Duration;

use lockstep_engine::align::Bound;
use lockstep_engine::ingest::InputSpec;
use lockstep_engine::position::InputId;

use crate::input_name::input_name;

/// The numbers of late, duplicate and evicted samples since the last log lines.
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
    /// Counts a sample that came too late, by `by_ns`.
    pub(super) fn late(&mut self, input: InputId, by_ns: u64) {
        let late = self.late.entry(input).or_default();
        late.samples += 1;
        late.by_ns = late.by_ns.max(by_ns);
    }

    /// Counts a sample with the event time, or the id, of an earlier one.
    pub(super) fn duplicate(&mut self, input: InputId) {
        *self.duplicates.entry(input).or_default() += 1;
    }

    /// Counts an evicted sample.
    pub(super) fn evicted(&mut self, input: InputId, bound: Bound) {
        *self.evicted.entry((input, bound)).or_default() += 1;
    }

    /// Logs and resets the numbers.
    pub(super) fn log(&mut self, inputs: &[InputSpec]) {
        for (input, Late { samples, by_ns }) in std::mem::take(&mut self.late) {
            let (input, by) = (input_name(inputs, input), Duration::from_nanos(by_ns));
            tracing::warn!(input, samples, most_late = ?by, "samples too late for any bundle");
        }
        for (input, samples) in std::mem::take(&mut self.duplicates) {
            let input = input_name(inputs, input);
            tracing::warn!(
                input,
                samples,
                same = "ce_id, ce_time or event-time-ns",
                "samples dropped as duplicates of others in their stream"
            );
        }
        for ((input, bound), samples) in std::mem::take(&mut self.evicted) {
            let (input, bound) = (input_name(inputs, input), bound.as_str());
            tracing::warn!(input, bound, samples, "samples evicted from alignment");
        }
    }
}
