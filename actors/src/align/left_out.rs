//! What alignment left out, for the log: one line for each input and reason, whatever their number.

use std::collections::BTreeMap;
use std::time::Duration;

use lockstep_engine::align::{AlignPolicy, Bound};
use lockstep_engine::position::InputId;

/// What was left out since it was last told.
#[derive(Default)]
pub(super) struct LeftOut {
    late: BTreeMap<InputId, Late>,
    evicted: BTreeMap<(InputId, Bound), u64>,
}

#[derive(Default)]
struct Late {
    samples: u64,
    by_ns: u64,
}

impl LeftOut {
    /// A sample came so much too late.
    pub(super) fn late(&mut self, input: InputId, by_ns: u64) {
        let late = self.late.entry(input).or_default();
        late.samples += 1;
        late.by_ns = late.by_ns.max(by_ns);
    }

    /// A sample had to make room.
    pub(super) fn evicted(&mut self, input: InputId, bound: Bound) {
        *self.evicted.entry((input, bound)).or_default() += 1;
    }

    /// Logs it.
    pub(super) fn tell(&mut self, shard: usize, policy: &AlignPolicy) {
        for (input, Late { samples, by_ns }) in std::mem::take(&mut self.late) {
            let (input, by) = (policy.input_name(input), Duration::from_nanos(by_ns));
            tracing::warn!(shard, input, samples, "samples came too late for any bundle, by up to {by:?}");
        }
        for ((input, bound), samples) in std::mem::take(&mut self.evicted) {
            let (input, bound) = (policy.input_name(input), bound.as_str());
            tracing::warn!(shard, input, bound, samples, "samples had to make room in alignment");
        }
    }
}
