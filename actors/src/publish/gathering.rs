//! What is sent in a transaction, until that has ended.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lockstep_engine::publish::sink::{OutRecord, Transactions};
use lockstep_engine::publish::transaction::{Ask, Then};
use lockstep_engine::publish::{Ledger, Transaction};
use lockstep_engine::sample::Sample;
use lockstep_engine::telemetry;
use lockstep_engine::time::Timestamp;

use super::inbox::Inbox;
use super::pending::Pending;

/// How much goes into a transaction, and waits for one.
#[derive(Clone, Copy)]
pub(super) struct Measure {
    /// How long one gathers at most.
    pub(super) every: Duration,
    /// How many bytes of samples one holds before it ends all the same: they are kept until it counts, and nothing can be
    /// read for them meanwhile.
    pub(super) most_held: u64,
    /// While one ends, how many bytes of records may wait for the next before nothing more is taken in.
    pub(super) most_waiting: usize,
}

/// The transaction under way.
pub(super) struct Gathering {
    client: Box<dyn Transactions>,
    pub(super) transaction: Transaction,
    /// What was delivered in this transaction, or not: to be sent again, should it not count.
    pub(super) kept: Vec<Pending>,
    /// What is for the next.
    waiting: VecDeque<(OutRecord, Pending)>,
    /// How many bytes that is.
    waiting_bytes: usize,
    /// How many bytes of samples are in this one.
    held_bytes: u64,
    measure: Measure,
    /// How many have ended that count.
    counted: u64,
}

/// What a transaction leaves when it has ended.
pub(super) struct Left {
    pub(super) then: Then,
    /// What it held.
    pub(super) kept: Vec<Pending>,
    /// What is for the next.
    pub(super) waiting: VecDeque<(OutRecord, Pending)>,
}

impl Gathering {
    pub(super) fn new(client: Box<dyn Transactions>, measure: Measure) -> Self {
        Self {
            client,
            transaction: Transaction::new(measure.every),
            kept: Vec::new(),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            held_bytes: 0,
            measure,
            counted: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.transaction.is_ending() && self.kept.is_empty() && self.waiting.is_empty()
    }

    /// Whether all that was to be sent before a mark counts.
    pub(super) fn has_passed(&self, mark: u64) -> bool {
        self.counted >= mark
    }

    /// Whether so much waits for the next that no more should come.
    pub(super) fn is_overfull(&self) -> bool {
        self.waiting_bytes >= self.measure.most_waiting
    }

    /// How many transactions count once one does that can hold all that was to be sent until now.
    pub(super) fn mark(&self) -> u64 {
        self.counted + 1 + u64::from(self.transaction.is_sealed())
    }

    /// Keeps for the next transaction what cannot be in this one.
    pub(super) fn admit(&mut self, record: OutRecord, pending: Pending) -> Option<(OutRecord, Pending)> {
        if self.transaction.is_open() {
            self.held_bytes += pending.what.held();
            if self.held_bytes >= self.measure.most_held {
                self.transaction.end_soon();
            }
            return Some((record, pending));
        }
        self.waiting_bytes += record.weight();
        self.waiting.push_back((record, pending));
        None
    }

    /// Ends it if it is time, with the positions that may be committed.
    ///
    /// # Errors
    /// When a position cannot be among them.
    pub(super) fn step(
        &mut self,
        now: Timestamp,
        under_way: bool,
        ledger: &mut Ledger<Arc<Sample>>,
        inbox: &Arc<Inbox>,
    ) -> Result<(), String> {
        let worth = !self.kept.is_empty() || ledger.has_moved();
        let Some(ask) = self.transaction.step(now, worth, under_way) else { return Ok(()) };
        let mut commits = if ask == Ask::Commit { ledger.committable() } else { Vec::new() };
        if commits.is_empty() && ask == Ask::Commit {
            // A transaction without positions would not tell the broker whose it is.
            commits = ledger.positions();
        }
        if ledger.withheld().is_some_and(|withheld| !withheld.is_empty()) {
            // Without its position what it led to would be done again.
            return Err(
                "too much has ended out of order for the metadata of a commit (delivery.metadata_limit)"
                    .into(),
            );
        }
        let (inbox, since) = (inbox.clone(), Instant::now());
        let then = move |ended| {
            telemetry::transaction(ask, &ended, since.elapsed());
            inbox.put_ended(ended);
        };
        self.client.end(ask.with(commits), Box::new(then));
        Ok(())
    }

    /// What it leaves, if it has ended.
    pub(super) fn ended(&mut self, now: Timestamp, inbox: &Inbox) -> Option<Left> {
        let ended = inbox.take_ended()?;
        // The first only begins.
        let was_one = self.transaction.is_ending();
        let then = self.transaction.ended(ended, now);
        self.counted += u64::from(was_one && then == Then::GoOn);
        (self.waiting_bytes, self.held_bytes) = (0, 0);
        Some(Left { then, kept: std::mem::take(&mut self.kept), waiting: std::mem::take(&mut self.waiting) })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use lockstep_engine::completion::Progress;
    use lockstep_engine::position::{InputId, NextOffset, Offset, PartitionId, Position};
    use lockstep_engine::publish::sink::{Ended, Ending};

    use super::super::pending::Outbound;
    use super::*;

    /// Does what it is asked at once.
    struct AtOnce;

    impl Transactions for AtOnce {
        fn end(&mut self, _how: Ending, then: Box<dyn FnOnce(Ended) + Send>) {
            then(Ended::AsAsked);
        }
    }

    fn record() -> OutRecord {
        OutRecord {
            topic: "state".into(),
            partition: None,
            key: None,
            payload: vec![0; 1000].into(),
            headers: Vec::new(),
            timestamp: None,
        }
    }

    fn measure(most_waiting: usize) -> Measure {
        Measure { every: Duration::ZERO, most_held: u64::MAX, most_waiting }
    }

    #[test]
    fn a_transaction_that_holds_much_ends_before_it_is_due() {
        let every = Duration::from_secs(3600);
        let measure = Measure { every, most_held: 2000, most_waiting: 0 };
        let mut gathering = Gathering::new(Box::new(AtOnce), measure);
        let (mut ledger, inbox) = (Ledger::new(4096), Arc::new(Inbox::default()));
        let begun = Timestamp::from_millis(0);
        gathering.step(begun, false, &mut ledger, &inbox).unwrap();
        gathering.ended(begun, &inbox).unwrap();
        let record = record();
        let partition = PartitionId { input: InputId(0), partition: 0 };
        for is_due in [false, true] {
            let what = Outbound::Carried { record: Box::new(record.clone()), partition, assignment: 1 };
            assert!(gathering.admit(record.clone(), Pending { what, told: false }).is_some());
            assert_eq!(gathering.transaction.is_due(Timestamp::from_millis(1)), is_due);
        }
    }

    #[test]
    fn what_waits_for_the_next_transaction_is_not_passed_with_the_one_before_it() {
        let mut gathering = Gathering::new(Box::new(AtOnce), measure(0));
        let (mut ledger, inbox) = (Ledger::new(4096), Arc::new(Inbox::default()));
        let partition = PartitionId { input: InputId(0), partition: 0 };
        ledger.assign(partition, NextOffset(0), &Progress::default(), 1);
        let step = |gathering: &mut Gathering, ledger: &mut Ledger<_>, now, under_way| {
            gathering.step(Timestamp::from_millis(now), under_way, ledger, &inbox).unwrap();
            gathering.ended(Timestamp::from_millis(now), &inbox).is_some()
        };
        assert!(step(&mut gathering, &mut ledger, 0, false), "the first has begun");
        for offset in 0..2 {
            ledger.open(Position { partition, offset: Offset(offset) }, 1);
        }
        // The first record has ended, and of what was sent for it not all has been told of yet.
        ledger.end(Position { partition, offset: Offset(0) }, 1);
        assert!(!step(&mut gathering, &mut ledger, 1, true));
        let mark = gathering.mark();
        assert!(step(&mut gathering, &mut ledger, 2, false) && !gathering.has_passed(mark));
        ledger.end(Position { partition, offset: Offset(1) }, 1);
        assert!(step(&mut gathering, &mut ledger, 3, false) && gathering.has_passed(mark));
    }

    #[test]
    fn while_a_transaction_ends_so_many_bytes_wait_and_no_more_until_the_next_takes_them() {
        let record = record();
        let mut gathering = Gathering::new(Box::new(AtOnce), measure(2 * record.weight()));
        let inbox = Arc::new(Inbox::default());
        let partition = PartitionId { input: InputId(0), partition: 0 };
        let what = || Outbound::Carried { record: Box::new(record.clone()), partition, assignment: 1 };
        let admit = |gathering: &mut Gathering| {
            gathering.admit(record.clone(), Pending { what: what(), told: false })
        };
        assert!(admit(&mut gathering).is_none() && !gathering.is_overfull(), "none has begun");
        assert!(admit(&mut gathering).is_none() && gathering.is_overfull());
        let mut ledger = Ledger::new(4096);
        gathering.step(Timestamp::from_millis(0), false, &mut ledger, &inbox).unwrap();
        let left = gathering.ended(Timestamp::from_millis(0), &inbox).unwrap();
        assert_eq!(left.waiting.len(), 2);
        assert!(admit(&mut gathering).is_some() && !gathering.is_overfull());
    }

    #[test]
    fn a_transaction_is_counted_when_it_has_ended_and_not_when_the_first_begins() {
        let mut gathering = Gathering::new(Box::new(AtOnce), measure(0));
        let (mut ledger, inbox) = (Ledger::new(4096), Arc::new(Inbox::default()));
        let partition = PartitionId { input: InputId(0), partition: 0 };
        let position = Position { partition, offset: Offset(0) };
        ledger.assign(partition, NextOffset(0), &Progress::default(), 1);
        ledger.open(position, 1);
        for counted in [0, 1] {
            gathering.step(Timestamp::from_millis(counted), false, &mut ledger, &inbox).unwrap();
            assert!(gathering.ended(Timestamp::from_millis(counted), &inbox).is_some());
            assert_eq!(gathering.counted, counted.cast_unsigned());
            ledger.end(position, 1);
        }
    }
}
