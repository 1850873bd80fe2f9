//! Samples that had ended before a restart and are read again.

use super::super::event::{Event, Stamp, ended};
use super::super::held::Held;
use super::super::moment::Moment;
use super::Aligner;
use crate::position::InputId;
use crate::sample::StreamKey;
use crate::time::Timestamp;

impl<T: Held + Clone> Aligner<T> {
    /// Hears of a sample that arrived at `now` but had ended before a restart: it is read again only because others before
    /// it have not. It is in no bundle and nothing is told of it. What it says of how far its stream and input have come
    /// counts as with [`Self::push`], so that bundles close as they would have, and `out` gets what follows from that. A
    /// bundle that it tells to have been there, since it was the pivot or of that very time, is not made again: what is
    /// found to belong to such a set of [`Method::Exact`](crate::align::Method::Exact) is late.
    ///
    /// Its event time cannot begin an epoch: those that had not ended do that.
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
        let told = out.len();
        let moment = Moment { time, tie_break: stamp.tie_break };
        let deadline = held.observe(&self.rules, stamp.partition, (input, moment), now, out);
        self.buffered -= ended(out, told);
        if let Some(account) = &mut self.account {
            account.settle(slot, out.get(told..).unwrap_or_default());
        }
        if deadline < held.scheduled {
            held.scheduled = deadline;
            self.schedule(slot, deadline);
        }
    }
}
