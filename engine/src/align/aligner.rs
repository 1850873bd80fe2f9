//! The aligner: all streams of a shard, and the deadlines at which it needs the clock.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use super::account::{Account, Amount};
use super::arrival::Arrival;
use super::event::{Event, Stamp, ended};
use super::held::Held;
use super::policy::AlignPolicy;
use super::rules::Rules;
use super::stream::Stream;
use super::view::NEVER;
use crate::position::{InputId, PartitionId};
use crate::sample::StreamKey;
use crate::time::{Timestamp, nanos};

mod ahead;
mod compact;
pub(super) mod hand_over;
mod incoming;
mod observe;
mod room;
mod slots;
mod streams;

pub use incoming::Incoming;
use streams::Streams;

/// Joins samples into bundles by the policy's [`Method`](super::Method). Each bundle closes as soon as no expected sample
/// can change it. The text below describes the pivot method; for the other, see
/// [`Method::Exact`](super::Method::Exact).
///
/// # When a bundle closes
/// The *watermark* of a stream's input is the latest event time seen less its out-of-orderness: nothing earlier
/// is expected. The bundle of a pivot at `t` closes when two conditions hold. No earlier pivot is expected: the pivot's
/// own watermark is at least `t`. And one of these holds for each other input.
/// - Window: the watermark has reached its end, or samples that last cover it from the watermark on.
/// - Nearest: the watermark is as far past `t` as the nearest sample is away, or one has exactly that time.
/// - Latest: the watermark is past `t`, or one has exactly that time.
/// - All between pivots: the watermark is past `t`.
/// - Any join: the input is idle. It has had no sample for `idle_timeout`, counted from the stream's first sample if it
///   never had one.
///
/// `max_wait` after the pivot's arrival the bundle closes, whatever is missing. The bundles of earlier pivots close with
/// it: the bundles of a stream close in the order of event times.
///
/// # Independence of the order of arrival
///
/// While disorder stays within the configured bounds and no timer fires, the bundles of a stream
/// and their order are a function of the event times alone. There are three limits.
/// - Among samples of one input with exactly the same event time, the order of arrival decides. The first to arrive counts
///   (nearest, latest, pivot), comes first (window, all between pivots) or is taken first (nearest that is used once:
///   the next pivot may take the second).
/// - An input's samples either last or do not.
/// - Samples that last are one signal. None lies wholly within what others cover or in a gap that counts as covered, and
///   no window is shorter than their overlap.
///
/// # Retention
/// The aligner holds a sample until no open pivot and no future one can use it. Future pivots are later than the last that
/// closed and not before the pivot's watermark. Samples of an input leave in the order of event times.
///
/// While the pivot is idle and no bundle is open, its event time is taken to advance with the wall clock. A sample then
/// leaves `max_wait` and its join's reach back (`before`, `tolerance`, `max_age`) after its arrival.
///
/// # Revisions
/// With [`super::Revise`] the aligner emits bundles before they are final, and again when they change. All of the above
/// then holds for final bundles, with the allowed lateness added to out-of-orderness, `idle_timeout` and `max_wait`.
///
/// # Memory
/// The aligner holds as much as that takes, or what [`super::Bounds`] allow. Bounds that are not reached change nothing.
///
/// # The clock
/// `now` is the wall time that the caller gives, here and wherever alignment speaks of wall time or the wall clock. A
/// caller that has stopped reading does not advance it. It never goes back: an earlier one counts as the latest given.
/// [`Self::push`] applies the changes that the sample makes. [`Self::tick`] applies the changes that time alone makes: call
/// it when [`Self::next_deadline`] has come and before pushing anything that arrived later.
#[derive(Debug)]
pub struct Aligner<T> {
    policy: Arc<AlignPolicy>,
    rules: Rules,
    /// The slot of the stream that was pushed to last: samples of a stream often come in a row.
    last: u32,
    streams: Streams<T>,
    /// Deadlines and slots. An entry counts only if its stream has scheduled exactly that deadline; the others are
    /// stale and skipped.
    deadlines: BinaryHeap<Reverse<(i64, u32)>>,
    buffered: usize,
    /// The amounts held, if there are bounds.
    account: Option<Box<Account>>,
    /// The latest event time of each input, over all streams ever.
    latest: Vec<i64>,
    now: i64,
}

impl<T: Held + Clone> Aligner<T> {
    /// An aligner without streams.
    pub fn new(policy: Arc<AlignPolicy>) -> Self {
        let rules = Rules::new(policy.clone());
        Self {
            account: account(&policy),
            latest: vec![i64::MIN; rules.inputs.len()],
            policy,
            rules,
            last: 0,
            streams: Streams::new(),
            deadlines: BinaryHeap::new(),
            buffered: 0,
            now: i64::MIN,
        }
    }

    /// Takes a sample that arrived at `now` and appends the resulting events to `out`.
    ///
    /// No method asks for an input that the policy does not have: its sample is released at once.
    pub fn push(
        &mut self,
        stream: &StreamKey,
        input: InputId,
        stamp: Stamp,
        item: T,
        now: Timestamp,
        out: &mut Vec<Event<T>>,
    ) {
        let now = self.advance_clock(now);
        self.push_known(None, (stream, input, stamp, item), now, out);
    }

    /// Pushes a sample whose stream has this slot, if the slot is known already.
    #[inline]
    fn push_known<S: Incoming<Item = T>>(
        &mut self,
        slot: Option<u32>,
        sample: S,
        now: i64,
        out: &mut Vec<Event<T>>,
    ) {
        let (input, stamp) = (sample.input().index(), sample.stamp());
        // The earliest time of all stands for none.
        let time = stamp.event_time.as_nanos().max(i64::MIN + 1);
        let end = time.saturating_add(nanos(stamp.duration));
        let Some(latest) = self.latest.get_mut(input) else {
            out.push(Event::Released { item: sample.into_item(), used: 0 });
            return;
        };
        *latest = (*latest).max(time);
        let slot = slot.unwrap_or_else(|| self.slot_of(sample.stream(), now));
        let item = sample.into_item();
        let Some(held) = self.streams.get_mut(slot) else { return };
        let start = out.len();
        let arrival = Arrival { input, time, end, tie_break: stamp.tie_break, item };
        if self.account.is_some() {
            self.push_bounded(slot, stamp.partition, arrival, now, out);
            self.buffered = self.buffered + 1 - ended(out, start);
            return;
        }
        let deadline = held.push(&self.rules, stamp.partition, arrival, now, out);
        self.buffered = self.buffered + 1 - ended(out, start);
        if deadline < held.scheduled {
            held.scheduled = deadline;
            self.schedule(slot, deadline);
        }
    }

    /// Applies what time alone changes up to `now`: idle inputs, bundles that have waited long enough, samples that no
    /// method asks for, streams to forget.
    pub fn tick(&mut self, now: Timestamp, out: &mut Vec<Event<T>>) {
        let now = self.advance_clock(now);
        while let Some(Reverse((deadline, slot))) = self.deadlines.peek().copied() {
            let counts = self.counts(deadline, slot);
            if counts && deadline > now {
                break;
            }
            self.deadlines.pop();
            let Some(held) = self.streams.get_mut(slot).filter(|_| counts) else { continue };
            let start = out.len();
            held.tick(&self.rules, now, out);
            self.buffered -= ended(out, start);
            if let Some(account) = &mut self.account {
                account.settle(slot, out.get(start..).unwrap_or_default());
            }
            if held.is_forgettable(&self.rules, now) {
                self.remove(slot);
                continue;
            }
            let next = held.deadline(&self.rules, now).max(now.saturating_add(1));
            held.scheduled = next;
            if next < NEVER {
                self.schedule(slot, next);
            }
        }
        self.compact();
    }

    /// The time of the next [`Self::tick`] if nothing is pushed until then. There may prove to be nothing
    /// to do at that time; nothing is ever due earlier. Constant time.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let Reverse((deadline, _)) = self.deadlines.peek()?;
        (*deadline < NEVER).then(|| Timestamp::from_nanos(*deadline))
    }

    /// Closes everything as when all inputs are idle, releases everything and forgets all streams, in the
    /// order of their slots. Called when no more samples come.
    pub fn finish(&mut self, now: Timestamp, out: &mut Vec<Event<T>>) {
        let now = self.advance_clock(now);
        for held in self.streams.iter_mut() {
            held.finish(&self.rules, now, out);
        }
        self.streams = Streams::new();
        self.deadlines = BinaryHeap::new();
        self.buffered = 0;
        self.account = account(&self.policy);
    }

    /// Forgets the streams for which `revoked` returns true, and all that they hold, without events: the next owner of
    /// the partitions reads their samples again.
    pub fn forget(&mut self, mut revoked: impl FnMut(&StreamKey) -> bool) {
        self.forget_streams(|held| revoked(&held.key));
    }

    /// Forgets, as [`Self::forget`] does, the streams with a sample from a revoked partition.
    ///
    /// A stream must not outlive its revocation even if it holds nothing. When the partition comes back, records that were
    /// not committed are read again, and must not count as late.
    pub fn forget_partitions(&mut self, mut revoked: impl FnMut(PartitionId) -> bool) {
        self.forget_streams(|held| held.partitions().any(&mut revoked));
    }

    /// The number of samples held.
    pub fn buffered(&self) -> usize {
        self.buffered
    }

    /// The number of known streams.
    pub fn streams(&self) -> usize {
        self.streams.len()
    }

    /// The latest event time that an input has brought, over all streams.
    pub fn latest(&self, input: InputId) -> Option<Timestamp> {
        let latest = self.latest.get(input.index()).copied().filter(|latest| *latest > i64::MIN)?;
        Some(Timestamp::from_nanos(latest))
    }

    /// The policy in use.
    pub fn policy(&self) -> &Arc<AlignPolicy> {
        &self.policy
    }

    fn advance_clock(&mut self, now: Timestamp) -> i64 {
        self.now = self.now.max(now.as_nanos());
        self.now
    }

    #[inline]
    fn slot_of(&mut self, key: &StreamKey, now: i64) -> u32 {
        if let Some(held) = self.streams.get(self.last)
            && held.key == *key
        {
            return self.last;
        }
        self.last = match self.streams.find(key) {
            Some(slot) => slot,
            None => self.add_stream(key, now),
        };
        self.last
    }

    #[cold]
    fn add_stream(&mut self, key: &StreamKey, now: i64) -> u32 {
        self.streams.insert(Stream::new(key.clone(), &self.rules, now))
    }

    fn remove(&mut self, slot: u32) -> Option<(Stream<T>, Amount)> {
        let held = self.streams.take(slot)?;
        self.buffered -= held.held();
        let amount = self.account.as_mut().map(|account| account.forget(slot));
        Some((held, amount.unwrap_or_default()))
    }

    fn forget_streams(&mut self, mut which: impl FnMut(&Stream<T>) -> bool) {
        for slot in (0_u32..).take(self.streams.slots()) {
            if let Some(held) = self.streams.get(slot)
                && which(held)
            {
                self.remove(slot);
            }
        }
        self.compact();
    }

    /// Returns true if a deadline's entry is the current one of its stream.
    fn counts(&self, deadline: i64, slot: u32) -> bool {
        self.streams.get(slot).is_some_and(|held| held.scheduled == deadline)
    }

    fn schedule(&mut self, slot: u32, deadline: i64) {
        // Stale entries are removed before they outnumber the others by much.
        if self.deadlines.len() > self.streams.len().saturating_mul(4).saturating_add(64) {
            let mut deadlines = std::mem::take(&mut self.deadlines);
            deadlines.retain(|Reverse((deadline, slot))| self.counts(*deadline, *slot));
            self.deadlines = deadlines;
        }
        self.deadlines.push(Reverse((deadline, slot)));
    }
}

fn account(policy: &AlignPolicy) -> Option<Box<Account>> {
    policy.bounds.is_any().then(|| Box::new(Account::new(&policy.bounds)))
}
