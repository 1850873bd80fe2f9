//! Samples that ended before a restart and are read again.

use super::super::event::{Event, Stamp, ended};
use super::super::held::Held;
use super::super::moment::Moment;
use super::Aligner;
use crate::position::InputId;
use crate::sample::StreamKey;
use crate::time::Timestamp;

impl<T: Held + Clone> Aligner<T> {
    /// Takes only the times of a sample that arrived at `now` and ended before a restart. It is read again because records
    /// before it have not ended. It is in no bundle, and no event is emitted for it.
    ///
    /// Its event time moves the clocks of its stream and input as [`Self::push`] does, so that bundles close as they would
    /// have; `out` gets the resulting events. It also shows which bundle was made before the restart: that of the
    /// pivot, or that of exactly this time. The aligner does not make that bundle again. A later sample of such a set of
    /// [`Method::Exact`](crate::align::Method::Exact) is late.
    ///
    /// Its event time cannot begin an epoch: the samples that had not ended do that.
    pub fn observe(
        &mut self,
        stream: &StreamKey,
        input: InputId,
        stamp: Stamp,
        now: Timestamp,
        out: &mut Vec<Event<T>>,
    ) {
        let now = self.advance_clock(now);
        let (input, time) = (input.index(), stamp.event_time.as_nanos().max(i64::MIN + 1));
        let Some(latest) = self.latest.get_mut(input) else { return };
        *latest = (*latest).max(time);
        let slot = self.slot_of(stream, now);
        let Some(held) = self.streams.get_mut(slot) else { return };
        let start = out.len();
        let moment = Moment { time, tie_break: stamp.tie_break };
        let deadline = held.observe(&self.rules, stamp.partition, (input, moment), now, out);
        self.buffered -= ended(out, start);
        if let Some(account) = &mut self.account {
            account.settle(slot, out.get(start..).unwrap_or_default());
        }
        if deadline < held.scheduled {
            held.scheduled = deadline;
            self.schedule(slot, deadline);
        }
    }
}
