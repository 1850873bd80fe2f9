//! Bounded memory: which samples are taken, and which are evicted.

use super::super::account::Account;
use super::super::arrival::Arrival;
use super::super::bounds::Overflow;
use super::super::event::Event;
use super::super::held::Held;
use super::super::stream::Stream;
use super::Aligner;

impl<T: Held + Clone> Aligner<T> {
    /// Takes a sample and evicts what exceeds the bounds then.
    #[inline(never)]
    pub(super) fn push_bounded(
        &mut self,
        slot: u32,
        partition: i32,
        arrival: Arrival<T>,
        now: i64,
        out: &mut Vec<Event<T>>,
    ) {
        let Some(held) = self.streams.get_mut(slot) else { return };
        let Some(account) = &mut self.account else { return };
        let (start, weight, time) = (out.len(), arrival.item.weight(), arrival.time);
        let refuses = |account: &Account, held: &Stream<T>| {
            if account.overflow != Overflow::DropNewest {
                return None;
            }
            let reach = account
                .bounds_span()
                .then(|| held.reach().map_or((time, time), |(from, to)| (from.min(time), to.max(time))));
            account.beyond(slot, Some(weight), reach).or_else(|| account.beyond_all(Some(weight)))
        };
        let deadline = match refuses(account, held) {
            None => {
                let deadline = held.push(&self.rules, partition, arrival, now, out);
                account.add(slot, weight);
                account.settle(slot, out.get(start..).unwrap_or_default());
                deadline
            }
            Some(bound) => {
                let can_be_taken = held.follow_only(&self.rules, partition, &arrival, now, out);
                account.settle(slot, out.get(start..).unwrap_or_default());
                let start = out.len();
                match refuses(account, held).or((!can_be_taken).then_some(bound)) {
                    Some(bound) => out.push(Event::Evicted { item: arrival.item, bound, used: 0 }),
                    None => {
                        held.take(&self.rules, arrival, now, out);
                        account.add(slot, weight);
                        account.settle(slot, out.get(start..).unwrap_or_default());
                    }
                }
                held.deadline(&self.rules, now)
            }
        };
        if deadline < held.scheduled {
            held.scheduled = deadline;
            self.schedule(slot, deadline);
        }
        while self.shed(slot, now, out) {}
    }

    /// Evicts or closes something of a stream that exceeds its bounds, or of all streams. Returns true if it could.
    fn shed(&mut self, slot: u32, now: i64, out: &mut Vec<Event<T>>) -> bool {
        let Some(account) = &mut self.account else { return false };
        let Some(held) = self.streams.get(slot) else { return false };
        let reach = if account.bounds_span() { held.reach() } else { None };
        let (slot, bound) = match (account.beyond(slot, None, reach), account.beyond_all(None)) {
            (Some(bound), _) => (slot, bound),
            (None, Some(bound)) => (account.most(bound).unwrap_or(slot), bound),
            (None, None) => return false,
        };
        let Some(held) = self.streams.get_mut(slot) else { return false };
        let start = out.len();
        let found = held.shed(&self.rules, account.overflow, bound, now, out);
        account.settle(slot, out.get(start..).unwrap_or_default());
        let deadline = held.deadline(&self.rules, now);
        if deadline < held.scheduled {
            held.scheduled = deadline;
            self.schedule(slot, deadline);
        }
        found
    }
}
