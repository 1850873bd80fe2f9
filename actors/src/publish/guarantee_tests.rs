#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::VecDeque;
use std::time::Duration;

use lockstep_engine::budget::Budget;
use lockstep_engine::completion::Progress;
use lockstep_engine::fault::{Fault, Reason, StageKind};
use lockstep_engine::ingest::source::{Pause, SourceControl};
use lockstep_engine::position::{InputId, NextOffset, Offset, PartitionId, Position};
use lockstep_engine::publish::result::ResultMaker;
use lockstep_engine::publish::side_output::Keeps;
use lockstep_engine::publish::sink::{
    DeliveryError, Ended, Ending, Full, OutRecord, Refusal, Sink, Transactions,
};
use lockstep_engine::publish::stream_tracks::StreamTracks;
use lockstep_engine::sample::Record;
use parking_lot::Mutex;

use super::*;
use crate::load::Load;
use crate::publish::at_least_once::AtLeastOnce;
use crate::publish::dead_letter::DeadLetter;
use crate::publish::inbox::Inbox;
use crate::publish::pending::Dead;
use crate::publish::transactional::{TransactionLimits, Transactional};

/// A sink that takes `capacity` records at a time and keeps them.
#[derive(Clone, Default)]
struct Taken {
    capacity: Arc<Mutex<usize>>,
    numbers: Arc<Mutex<VecDeque<u64>>>,
    payloads: Arc<Mutex<Vec<u8>>>,
}

impl Sink for Taken {
    fn send(&mut self, record: &OutRecord, token: u64) -> Result<(), Full> {
        let mut capacity = self.capacity.lock();
        *capacity = capacity.checked_sub(1).ok_or(Full)?;
        self.numbers.lock().push_back(token);
        self.payloads.lock().push(record.payload[0]);
        Ok(())
    }

    fn flush(&mut self, _within: Duration) -> Result<(), usize> {
        Ok(())
    }
}

/// A client that aborts the first commits and records the ends of all.
#[derive(Clone, Default)]
struct Client {
    aborts: Arc<Mutex<usize>>,
    ends: Arc<Mutex<Vec<&'static str>>>,
    /// The offsets of all commits.
    offsets: Arc<Mutex<Vec<i64>>>,
}

impl Transactions for Client {
    fn end(&mut self, how: Ending, then: Box<dyn FnOnce(Ended) + Send>) {
        let mut aborts = self.aborts.lock();
        let ended = match how {
            Ending::None => Ended::AsAsked,
            Ending::Commit(_) if *aborts > 0 => {
                *aborts -= 1;
                self.ends.lock().push("aborted");
                Ended::Aborted("told to".into())
            }
            Ending::Commit(commits) => {
                self.ends.lock().push("committed");
                self.offsets.lock().extend(commits.iter().map(|commit| commit.next.0));
                Ended::AsAsked
            }
            Ending::Abort => {
                self.ends.lock().push("doomed");
                Ended::AsAsked
            }
        };
        then(ended);
    }
}

/// A source that keeps the offsets of commits.
#[derive(Default)]
struct Committed(Mutex<Vec<i64>>);

impl SourceControl for Committed {
    fn set_paused(&self, _why: Pause, _paused: Vec<PartitionId>) {}

    fn commit(&self, commits: Vec<Commit>) {
        self.0.lock().extend(commits.iter().map(|commit| commit.next.0));
    }

    fn stop(&self) {}

    fn close(&self, _commits: Vec<Commit>, _within: Duration) -> Result<(), String> {
        Ok(())
    }
}

const PARTITION: PartitionId = PartitionId { input: InputId(0), partition: 0 };

/// A guarantee with what it works with. Three records are in the ledger.
struct World<G> {
    guarantee: G,
    sink: Taken,
    client: Client,
    source: Arc<Committed>,
    ledger: Ledger<Arc<Sample>>,
    stream_state: StreamStateLog,
    records: RecordMaker,
    delivered: Vec<Delivered>,
    millis: u64,
}

impl<G: DeliveryGuarantee> World<G> {
    fn new(capacity: usize, guarantee: impl FnOnce(Taken, Client, Arc<Committed>) -> G) -> Self {
        let (sink, client, source) = (Taken::default(), Client::default(), Arc::new(Committed::default()));
        *sink.capacity.lock() = capacity;
        let mut ledger = Ledger::new(4096);
        ledger.assign(PARTITION, NextOffset(0), &Progress::default(), 1);
        for offset in 0..3 {
            ledger.open(Position { partition: PARTITION, offset: Offset(offset) }, 1);
        }
        let results = ResultMaker::new("p", "results", Vec::new(), None, &[], Vec::new());
        Self {
            guarantee: guarantee(sink.clone(), client.clone(), source.clone()),
            sink,
            client,
            source,
            ledger,
            stream_state: StreamStateLog::new(None, &[]),
            records: RecordMaker::new(results, StreamTracks::new(&[]), "dead".into(), None),
            delivered: Vec::new(),
            millis: 0,
        }
    }

    fn with<T>(&mut self, act: impl FnOnce(&mut G, &mut PublishContext<'_>) -> T) -> T {
        let mut context = PublishContext {
            ledger: &mut self.ledger,
            stream_state: &mut self.stream_state,
            records: &self.records,
            delivered: &mut self.delivered,
        };
        act(&mut self.guarantee, &mut context)
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_millis(i64::try_from(self.millis).unwrap())
    }

    fn send(&mut self, payload: u8) {
        self.guarantee.send(record(payload), of(0));
    }

    fn sent(&self) -> Vec<u8> {
        self.sink.payloads.lock().clone()
    }

    fn send_waiting(&mut self) -> usize {
        self.guarantee.send_waiting(&self.ledger)
    }

    /// Ends a record in the ledger.
    fn end(&mut self, offset: i64) {
        self.ledger.end(Position { partition: PARTITION, offset: Offset(offset) }, 1);
    }

    /// Reports the first `count` records as delivered. Returns the number that has ended.
    fn deliver(&mut self, count: usize) -> usize {
        let numbers: Vec<u64> = self.sink.numbers.lock().drain(..count).collect();
        *self.sink.capacity.lock() += count;
        let now = self.now();
        numbers.into_iter().filter(|number| self.guarantee.acknowledged(*number, now).is_some()).count()
    }

    fn refuse(&mut self, refusal: Refusal) -> Option<Pending> {
        let number = self.sink.numbers.lock().pop_front().unwrap();
        let error = DeliveryError { message: "no".into(), refusal };
        self.guarantee.refused(number, &error, self.now())
    }

    /// A millisecond later, does what is due and what the stage does after reports.
    fn step(&mut self) {
        self.millis += 1;
        let now = self.now();
        self.with(|guarantee, context| {
            guarantee.do_due(now, context).unwrap();
            guarantee.after_reports(now, context).unwrap();
        });
        self.send_waiting();
    }

    fn mark(&mut self) -> CommitMark {
        self.with(|guarantee, context| guarantee.mark(context))
    }

    fn drain(&mut self, mark: CommitMark) -> bool {
        self.with(|guarantee, context| guarantee.drain(mark, context))
    }

    fn is_finished(&mut self) -> bool {
        let now = self.now();
        self.with(|guarantee, context| guarantee.finish(now, context).unwrap())
    }
}

fn at_least_once(capacity: usize) -> World<AtLeastOnce> {
    World::new(capacity, |sink, _, source| {
        let control = Arc::new(Mutex::new(Some(source as Arc<dyn SourceControl>)));
        AtLeastOnce::new(Box::new(sink), control, Duration::from_millis(100))
    })
}

/// Returns the exactly-once guarantee before its first transaction, with this byte budget.
fn transactional(capacity: usize, most_waiting: usize, budget: u64) -> World<Transactional> {
    World::new(capacity, |sink, client, _| {
        let (inbox, load) = (Arc::new(Inbox::default()), Load::new(Duration::from_secs(5)));
        let limits = TransactionLimits { every: Duration::ZERO, most_waiting };
        Transactional::new(Box::new(sink), Box::new(client), inbox, limits, &Budget::new(budget), load)
    })
}

fn record(payload: u8) -> OutRecord {
    OutRecord {
        topic: "state".into(),
        partition: None,
        key: None,
        payload: vec![payload; 1000].into(),
        headers: Vec::new(),
        timestamp: None,
    }
}

fn of(partition: i32) -> Outbound {
    Outbound::State { partition: PartitionId { input: InputId(0), partition }, assignment: 1 }
}

fn dead(payload: u8) -> (OutRecord, Outbound) {
    let record = Record {
        position: Position { partition: PARTITION, offset: Offset(0) },
        key: None,
        payload: vec![payload].into(),
        headers: Vec::new(),
        timestamp: None,
        polled_at: Timestamp::MIN,
        read_at: Timestamp::MIN,
    };
    let dead = Dead {
        dead_letter: DeadLetter::Record(record, 1, Budget::new(0).reserve(0)),
        topic: "in".into(),
        fault: Fault::new(StageKind::Publish, Reason::ResultRefused, "no"),
        keeps: Keeps::All,
    };
    let made = OutRecord { topic: "dead".into(), payload: vec![payload].into(), ..self::record(payload) };
    (made, Outbound::Dead(Box::new(dead)))
}

const PLENTY: u64 = 1 << 40;

#[test]
fn at_least_once_sends_waiting_records_in_their_order() {
    let mut world = at_least_once(2);
    for payload in 0..5 {
        world.send(payload);
        assert_eq!(world.guarantee.is_overfull(), payload >= 2);
    }
    // The sink has capacity again, but the new record must wait for its turn.
    *world.sink.capacity.lock() += 1;
    world.send(5);
    let (mark, mut ended) = (world.mark(), 0);
    while world.guarantee.is_overfull() {
        ended += world.deliver(1);
        assert_eq!(world.send_waiting(), 0);
    }
    assert!(!world.drain(mark) && !world.is_finished());
    let left = world.sink.numbers.lock().len();
    ended += world.deliver(left);
    assert_eq!((ended, world.drain(mark), world.is_finished()), (6, true, true));
    assert_eq!(world.sent(), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn at_least_once_drops_waiting_records_of_revoked_partitions() {
    let mut world = at_least_once(0);
    for payload in 0..4 {
        world.guarantee.send(record(payload), of(i32::from(payload) % 2));
    }
    let mark = world.mark();
    *world.sink.capacity.lock() = 4;
    // The ledger holds partition 0 only. None of the others is a result.
    assert_eq!(world.send_waiting(), 0);
    assert_eq!(world.sent(), [0, 2]);
    assert_eq!(world.deliver(2), 2);
    assert!(world.is_finished() && world.drain(mark));
}

#[test]
fn at_least_once_commits_ended_records_each_period() {
    let mut world = at_least_once(9);
    world.step();
    world.source.0.lock().clear();
    world.end(0);
    world.millis = 99;
    world.step();
    assert!(world.source.0.lock().is_empty(), "the period is not over");
    world.step();
    assert_eq!(*world.source.0.lock(), [1]);
    world.end(1);
    world.with(|guarantee, context| guarantee.release(true, context));
    assert_eq!(*world.source.0.lock(), [1, 2]);
    let last = world.guarantee.last_commits(&mut world.ledger);
    assert_eq!(last.first().map(|commit| commit.next.0), Some(2));
}

#[test]
fn at_least_once_sends_a_refused_record_again_after_a_while() {
    let mut world = at_least_once(2);
    world.send(0);
    let mark = world.mark();
    assert!(world.refuse(Refusal::Passing).is_none());
    world.step();
    assert_eq!((world.sent(), world.drain(mark), world.is_finished()), (vec![0], false, false));
    world.millis = 1_000;
    world.step();
    assert_eq!((world.sent(), world.deliver(1)), (vec![0, 0], 1));
    assert!(world.drain(mark) && world.is_finished());
}

#[test]
fn mark_waits_for_what_is_sent_again_behind_a_refused_batch() {
    let mut world = at_least_once(2);
    world.send(0);
    world.send(1);
    let mark = world.mark();
    assert!(world.refuse(Refusal::Passing).is_none());
    // The sink does not take it, and then the batch before it is refused.
    world.millis = 2_000;
    world.step();
    assert!(world.refuse(Refusal::Batch).is_none());
    world.step();
    *world.sink.capacity.lock() = 2;
    world.send_waiting();
    assert_eq!(world.sent(), [0, 1, 1, 0]);
    for is_drained in [false, true] {
        world.deliver(1);
        assert_eq!(world.drain(mark), is_drained);
    }
}

#[test]
fn refused_record_that_no_repetition_delivers_is_given_back() {
    for refusal in [Refusal::Poison, Refusal::Unsent, Refusal::Fatal] {
        let mut world = at_least_once(1);
        world.send(0);
        assert!(world.refuse(refusal).is_some());
        let mut world = transactional(1, usize::MAX, PLENTY);
        world.step();
        world.send(0);
        assert!(world.refuse(refusal).is_some());
        world.end(0);
        world.step();
        world.step();
        // What was not queued is not in the transaction.
        let ended = if refusal == Refusal::Unsent { "committed" } else { "doomed" };
        assert_eq!(world.client.ends.lock().first(), Some(&ended), "{refusal:?}");
    }
}

#[test]
fn transactional_limits_waiting_bytes_while_a_transaction_ends() {
    let mut world = transactional(10, 2 * record(0).weight(), PLENTY);
    for (payload, overfull) in [(0, false), (1, false), (2, true)] {
        world.send(payload);
        assert_eq!(world.guarantee.is_overfull(), overfull, "no transaction has begun");
    }
    world.step();
    assert!(!world.guarantee.is_overfull() && world.sent().len() == 3);
    let mark = world.mark();
    assert_eq!(world.deliver(3), 3);
    let now = world.now();
    world.with(|guarantee, context| guarantee.do_due(now, context).unwrap());
    world.send(3);
    assert_eq!(world.sent().len(), 3, "the transaction ends");
    world.with(|guarantee, context| guarantee.after_reports(now, context).unwrap());
    let next = world.mark();
    assert!(world.drain(mark) && !world.drain(next));
    world.send_waiting();
    assert_eq!(world.sent(), [0, 1, 2, 3]);
}

#[test]
fn transactional_commits_the_offsets_of_acknowledged_records() {
    let mut world = transactional(10, usize::MAX, PLENTY);
    world.step();
    world.send(0);
    assert_eq!(world.deliver(1), 1);
    world.end(0);
    let mark = world.mark();
    assert!(!world.drain(mark) && !world.is_finished());
    world.step();
    assert!(world.drain(mark));
    assert_eq!(*world.client.offsets.lock(), [1]);
    assert!(world.is_finished() && world.source.0.lock().is_empty(), "the source commits nothing");
    assert!(world.guarantee.last_commits(&mut world.ledger).is_empty());
}

#[test]
fn transactional_ends_a_large_transaction_early() {
    let mut world = transactional(10, usize::MAX, 4 * 2000);
    world.step();
    world.guarantee = {
        let (inbox, load) = (Arc::new(Inbox::default()), Load::new(Duration::from_secs(5)));
        let limits = TransactionLimits { every: Duration::from_secs(3600), most_waiting: usize::MAX };
        let (sink, client) = (Box::new(world.sink.clone()), Box::new(world.client.clone()));
        Transactional::new(sink, client, inbox, limits, &Budget::new(4 * 2000), load)
    };
    world.step();
    for commits in [0, 1] {
        world.send(0);
        world.deliver(1);
        world.step();
        assert_eq!(world.client.ends.lock().len(), commits);
    }
}

#[test]
fn release_before_the_drain_dooms_the_transaction() {
    for (is_drained, ended) in [(true, "committed"), (false, "doomed")] {
        let mut world = transactional(10, usize::MAX, PLENTY);
        world.step();
        world.send(0);
        world.deliver(1);
        world.with(|guarantee, context| guarantee.release(is_drained, context));
        world.step();
        assert_eq!(*world.client.ends.lock(), [ended]);
    }
}

#[test]
fn aborted_transaction_is_repeated_and_reported_once() {
    let mut world = transactional(2, usize::MAX, PLENTY);
    *world.client.aborts.lock() = 1;
    world.step();
    for payload in 0..2 {
        world.send(payload);
    }
    // The deliveries come in another order than the records.
    world.sink.numbers.lock().make_contiguous().reverse();
    assert_eq!(world.deliver(2), 2);
    *world.sink.capacity.lock() = 1;
    world.send(2);
    // The third record's delivery is outstanding: it is part of the first transaction, too.
    assert_eq!(world.deliver(1), 1);
    world.step();
    assert_eq!(*world.client.ends.lock(), ["aborted"]);
    world.send(3);
    assert_eq!(world.sent(), [0, 1, 2, 0], "the sink takes one");
    for sent in [5, 6] {
        assert_eq!(world.deliver(1), 0, "they were reported before");
        world.step();
        assert_eq!(world.sent().len(), sent, "the transaction lacks some of them");
    }
    assert_eq!(world.deliver(1), 0);
    world.step();
    assert_eq!(world.sent(), [0, 1, 2, 0, 1, 2, 3]);
    assert_eq!(*world.client.ends.lock(), ["aborted", "committed"]);
}

#[test]
fn aborted_transaction_need_not_be_the_next_as_a_whole() {
    let mut world = transactional(2, usize::MAX, PLENTY);
    world.step();
    for payload in 0..2 {
        let (record, what) = dead(payload);
        world.guarantee.send(record, what);
    }
    assert_eq!(world.deliver(1), 1);
    // The second record has timed out.
    assert!(world.refuse(Refusal::Passing).is_none());
    *world.sink.capacity.lock() = 1;
    world.step();
    assert_eq!(world.deliver(1), 0, "the first was reported before");
    world.step();
    assert_eq!(*world.client.ends.lock(), ["doomed", "committed"], "without the second");
    assert_eq!(world.sent(), [0, 1, 0, 1]);
}

#[test]
fn transaction_closes_with_stream_state_and_takes_no_more() {
    let mut world = transactional(10, usize::MAX, PLENTY);
    world.step();
    *world.sink.capacity.lock() = 1;
    for payload in 0..2 {
        world.send(payload);
    }
    world.stream_state = StreamStateLog::with_state("state".into(), PARTITION, 1);
    world.step();
    assert!(world.stream_state.is_empty() && world.guarantee.next_deadline().is_none());
    world.send(3);
    // The sink has capacity for the records behind the state, too.
    *world.sink.capacity.lock() = 9;
    world.send_waiting();
    assert_eq!(world.sent().len(), 3, "the state is the last record of the transaction");
    assert_eq!(world.deliver(3), 3);
    world.step();
    assert_eq!(*world.client.ends.lock(), ["committed"]);
    assert_eq!((world.sent().len(), world.sent().last()), (4, Some(&3)));
}

#[test]
fn aborted_offsets_are_committed_by_the_next_transaction() {
    let mut world = transactional(10, usize::MAX, PLENTY);
    let other = Position { partition: PartitionId { partition: 1, ..PARTITION }, offset: Offset(0) };
    world.ledger.assign(other.partition, NextOffset(0), &Progress::default(), 1);
    world.ledger.open(other, 1);
    *world.client.aborts.lock() = 1;
    world.step();
    world.send(0);
    assert_eq!(world.deliver(1), 1);
    world.end(0);
    world.step();
    assert_eq!(*world.client.ends.lock(), ["aborted"]);
    world.deliver(1);
    world.ledger.end(other, 1);
    world.step();
    assert_eq!(*world.client.offsets.lock(), [1, 1], "of both partitions");
}

#[test]
fn transaction_without_new_offsets_commits_the_present_ones() {
    let mut world = transactional(10, usize::MAX, PLENTY);
    world.step();
    world.step();
    assert_eq!(*world.client.offsets.lock(), [0]);
    world.send(0);
    assert_eq!(world.deliver(1), 1);
    world.step();
    assert_eq!(*world.client.offsets.lock(), [0, 0], "the broker fences by them");
}

#[test]
fn aborts_because_of_poison_have_no_limit_and_others_have() {
    let mut world = transactional(1, usize::MAX, PLENTY);
    world.step();
    for _ in 0..30 {
        *world.sink.capacity.lock() = 1;
        world.send(0);
        assert!(world.refuse(Refusal::Poison).is_some());
        world.step();
    }
    assert_eq!(*world.client.ends.lock(), ["doomed"; 30]);
    world.send(0);
    let fails = (0..30).any(|_| {
        *world.sink.capacity.lock() = 1;
        world.send_waiting();
        assert!(world.refuse(Refusal::Passing).is_none());
        world.millis += 1;
        let now = world.now();
        world.with(|guarantee, context| {
            guarantee.do_due(now, context).unwrap();
            guarantee.after_reports(now, context).is_err()
        })
    });
    assert!(fails, "a record that never arrives fails the pipeline in the end");
}
