#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::VecDeque;

use lockstep_engine::budget::Budget;
use lockstep_engine::fault::{Reason, StageKind};
use lockstep_engine::position::{InputId, Offset, Position};
use lockstep_engine::publish::result::ResultMaker;
use lockstep_engine::publish::sink::{DeliveryError, Ended, Ending, Full, Refusal, Transactions};
use lockstep_engine::sample::Record;
use parking_lot::Mutex;

use super::super::transaction_buffer::Measure;
use super::*;
use crate::load::Load;

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

impl Taken {
    /// Reports the first `count` records as delivered.
    fn deliver(&self, count: usize, inbox: &Inbox) {
        for token in self.numbers.lock().drain(..count) {
            inbox.put(Delivery { token, outcome: Ok(()) });
            *self.capacity.lock() += 1;
        }
    }
}

struct Client;

impl Transactions for Client {
    fn end(&mut self, _how: Ending, then: Box<dyn FnOnce(Ended) + Send>) {
        then(Ended::AsAsked);
    }
}

fn transaction_buffer(client: Box<dyn Transactions>, measure: Measure) -> TransactionBuffer {
    TransactionBuffer::new(client, measure, &Budget::new(0), Load::new(Duration::from_secs(5)))
}

fn outgoing(sink: &Taken, most_waiting: Option<usize>) -> (Outgoing, Arc<Inbox>) {
    let inbox = Arc::new(Inbox::default());
    let measure = Measure { every: Duration::ZERO, most_held: u64::MAX };
    let transaction_buffer = most_waiting.map(|most| (transaction_buffer(Box::new(Client), measure), most));
    (Outgoing::new(("dead".into(), None), Box::new(sink.clone()), inbox.clone(), transaction_buffer), inbox)
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

fn deliveries(outgoing: &mut Outgoing) -> usize {
    let mut ended = Vec::new();
    outgoing.deliveries(Timestamp::MIN, &mut ended, &mut Outbox::new());
    ended.len()
}

#[test]
fn outgoing_sends_waiting_records_in_their_order() {
    let sink = Taken::default();
    *sink.capacity.lock() = 2;
    let (mut outgoing, inbox) = outgoing(&sink, None);
    for payload in 0..5 {
        outgoing.send(record(payload), of(0));
        assert_eq!(outgoing.is_overfull(), payload >= 2);
    }
    // The sink has capacity again, but the new record must wait for its turn.
    *sink.capacity.lock() += 1;
    outgoing.send(record(5), of(0));
    let mark = outgoing.mark();
    let mut ended = 0;
    while outgoing.is_overfull() {
        sink.deliver(1, &inbox);
        ended += deliveries(&mut outgoing);
        assert_eq!(outgoing.send_waiting(|_, _| true), 0);
    }
    assert!(!outgoing.has_passed(mark));
    let left = sink.numbers.lock().len();
    sink.deliver(left, &inbox);
    ended += deliveries(&mut outgoing);
    assert_eq!((ended, outgoing.is_empty(), outgoing.has_passed(mark)), (6, true, true));
    assert_eq!(*sink.payloads.lock(), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn outgoing_drops_waiting_records_of_revoked_partitions() {
    let sink = Taken::default();
    let (mut outgoing, inbox) = outgoing(&sink, None);
    for payload in 0..4 {
        outgoing.send(record(payload), of(i32::from(payload) % 2));
    }
    let mark = outgoing.mark();
    *sink.capacity.lock() = 4;
    // None of them is a result.
    assert_eq!(outgoing.send_waiting(|partition, _| partition.partition == 0), 0);
    assert_eq!(*sink.payloads.lock(), [0, 2]);
    sink.deliver(2, &inbox);
    assert_eq!(deliveries(&mut outgoing), 2);
    assert!(outgoing.is_empty() && outgoing.has_passed(mark));
}

#[test]
fn outgoing_limits_waiting_bytes_while_a_transaction_ends() {
    let sink = Taken::default();
    *sink.capacity.lock() = 10;
    let (mut outgoing, inbox) = outgoing(&sink, Some(2 * record(0).weight()));
    let mut ledger = Ledger::new(4096);
    let mut step = |outgoing: &mut Outgoing, at| {
        outgoing.step(Timestamp::from_millis(at), &mut ledger).unwrap();
    };
    for (payload, overfull) in [(0, false), (1, false), (2, true)] {
        outgoing.send(record(payload), of(0));
        assert_eq!(outgoing.is_overfull(), overfull, "no transaction has begun");
    }
    let out = &mut Outbox::new();
    step(&mut outgoing, 0);
    assert_eq!(outgoing.transaction_ended(Timestamp::from_millis(0), out), Some(true));
    outgoing.send_waiting(|_, _| true);
    assert!(!outgoing.is_overfull() && sink.payloads.lock().len() == 3);
    let mark = outgoing.mark();

    sink.deliver(3, &inbox);
    assert_eq!(deliveries(&mut outgoing), 3);
    step(&mut outgoing, 1);
    outgoing.send(record(3), of(0));
    assert_eq!(sink.payloads.lock().len(), 3, "the transaction ends");
    assert_eq!(outgoing.transaction_ended(Timestamp::from_millis(1), out), Some(true));
    assert!(outgoing.has_passed(mark) && !outgoing.has_passed(outgoing.mark()));
    outgoing.send_waiting(|_, _| true);
    assert_eq!(*sink.payloads.lock(), [0, 1, 2, 3]);
}

/// A client that aborts the first transaction and records the ends of all.
#[derive(Clone, Default)]
struct AbortsOne(Arc<Mutex<Vec<&'static str>>>);

impl Transactions for AbortsOne {
    fn end(&mut self, how: Ending, then: Box<dyn FnOnce(Ended) + Send>) {
        let mut ends = self.0.lock();
        let ended = match how {
            Ending::Commit(_) if ends.is_empty() => {
                ends.push("aborted");
                Ended::Aborted("told to".into())
            }
            Ending::Commit(_) => {
                ends.push("committed");
                Ended::AsAsked
            }
            _ => Ended::AsAsked,
        };
        drop(ends);
        then(ended);
    }
}

#[test]
fn aborted_transaction_is_repeated_and_reported_once() {
    let (sink, client) = (Taken::default(), AbortsOne::default());
    *sink.capacity.lock() = 2;
    let inbox = Arc::new(Inbox::default());
    let measure = Measure { every: Duration::ZERO, most_held: u64::MAX };
    let transaction_buffer = transaction_buffer(Box::new(client.clone()), measure);
    let mut outgoing = Outgoing::new(
        ("dead".into(), None),
        Box::new(sink.clone()),
        inbox.clone(),
        Some((transaction_buffer, usize::MAX)),
    );
    let (out, mut ledger, mut millis) = (&mut Outbox::new(), Ledger::new(4096), 0);
    let mut step = |outgoing: &mut Outgoing| {
        millis += 1;
        let now = Timestamp::from_millis(millis);
        if outgoing.is_due(now) {
            outgoing.close(false);
        }
        outgoing.step(now, &mut ledger).unwrap();
        let counts = outgoing.transaction_ended(now, out);
        outgoing.send_waiting(|_, _| true);
        counts
    };
    assert_eq!(step(&mut outgoing), Some(true), "the first transaction has begun");
    for payload in 0..2 {
        outgoing.send(record(payload), of(0));
    }
    // The deliveries come in another order than the records.
    sink.numbers.lock().make_contiguous().reverse();
    sink.deliver(2, &inbox);
    assert_eq!(deliveries(&mut outgoing), 2);
    *sink.capacity.lock() = 1;
    outgoing.send(record(2), of(0));
    // The third record's delivery is outstanding: it is part of the first transaction, too.
    sink.deliver(1, &inbox);
    assert_eq!(deliveries(&mut outgoing), 1);
    assert_eq!(step(&mut outgoing), Some(false));
    outgoing.send(record(3), of(0));
    assert_eq!(*sink.payloads.lock(), [0, 1, 2, 0], "the sink takes one");
    for sent in [5, 6] {
        sink.deliver(1, &inbox);
        assert_eq!(deliveries(&mut outgoing), 0, "they were reported before");
        assert_eq!(step(&mut outgoing), None, "the transaction lacks some of them");
        assert_eq!(sink.payloads.lock().len(), sent);
    }
    sink.deliver(1, &inbox);
    assert_eq!(deliveries(&mut outgoing), 0);
    assert_eq!(step(&mut outgoing), Some(true));
    assert_eq!(*sink.payloads.lock(), [0, 1, 2, 0, 1, 2, 3]);
    assert_eq!(*client.0.lock(), ["aborted", "committed"]);
}

#[test]
fn aborted_transaction_need_not_be_the_next_as_a_whole() {
    let sink = Taken::default();
    *sink.capacity.lock() = 2;
    let (mut outgoing, inbox) = outgoing(&sink, Some(usize::MAX));
    let (out, mut ledger, mut millis) = (&mut Outbox::new(), Ledger::new(4096), 0);
    let mut step = |outgoing: &mut Outgoing| {
        millis += 1;
        let now = Timestamp::from_millis(millis);
        if outgoing.is_due(now) {
            outgoing.close(false);
        }
        outgoing.step(now, &mut ledger).unwrap();
        let counts = outgoing.transaction_ended(now, out);
        outgoing.send_waiting(|_, _| true);
        counts
    };
    assert_eq!(step(&mut outgoing), Some(true), "the first transaction has begun");
    for payload in 0..2 {
        let record = Record {
            position: Position {
                partition: PartitionId { input: InputId(0), partition: 0 },
                offset: Offset(0),
            },
            key: None,
            payload: vec![payload].into(),
            headers: Vec::new(),
            timestamp: None,
            polled_at: Timestamp::MIN,
            read_at: Timestamp::MIN,
        };
        let letter = DeadLetter::Record(record, 1, Budget::new(0).reserve(0));
        outgoing.dead_letter(
            letter,
            "in".into(),
            Fault::new(StageKind::Publish, Reason::ResultRefused, "no"),
        );
    }
    sink.deliver(1, &inbox);
    assert_eq!(deliveries(&mut outgoing), 1);
    // The second record has timed out.
    let token = sink.numbers.lock().pop_front().unwrap();
    let error = DeliveryError { message: "timed out".into(), refusal: Refusal::Passing };
    inbox.put(Delivery { token, outcome: Err(error) });
    assert_eq!(deliveries(&mut outgoing), 0);
    *sink.capacity.lock() = 1;
    assert_eq!(step(&mut outgoing), Some(false));
    sink.deliver(1, &inbox);
    assert_eq!(deliveries(&mut outgoing), 0, "the first was reported before");
    assert_eq!(step(&mut outgoing), Some(true), "it is committed without the second");
    assert_eq!(*sink.payloads.lock(), [0, 1, 0, 1]);
}

#[test]
fn transaction_closes_with_stream_state_and_takes_no_more() {
    let sink = Taken::default();
    *sink.capacity.lock() = 10;
    let (mut outgoing, inbox) = outgoing(&sink, Some(usize::MAX));
    let (out, mut ledger) = (&mut Outbox::new(), Ledger::new(4096));
    outgoing.step(Timestamp::from_millis(0), &mut ledger).unwrap();
    outgoing.transaction_ended(Timestamp::from_millis(0), out);
    *sink.capacity.lock() = 1;
    for payload in 0..3 {
        outgoing.send(record(payload), of(0));
    }
    assert!(outgoing.is_due(Timestamp::from_millis(1)));
    outgoing.close(true);
    assert!(!outgoing.is_due(Timestamp::from_millis(1)) && outgoing.due().is_none());
    outgoing.send(record(3), of(0));
    for sent in 1..4 {
        outgoing.step(Timestamp::from_millis(2), &mut ledger).unwrap();
        assert_eq!(outgoing.transaction_ended(Timestamp::from_millis(2), out), None);
        assert_eq!(sink.payloads.lock().len(), sent);
        if sent == 2 {
            // Capacity for the records behind it, too.
            *sink.capacity.lock() += 1;
        }
        sink.deliver(1, &inbox);
        deliveries(&mut outgoing);
        outgoing.send_waiting(|_, _| true);
    }
    outgoing.step(Timestamp::from_millis(3), &mut ledger).unwrap();
    assert_eq!(outgoing.transaction_ended(Timestamp::from_millis(3), out), Some(true));
    outgoing.send_waiting(|_, _| true);
    assert_eq!(*sink.payloads.lock(), [0, 1, 2, 3]);
}

#[test]
fn mark_waits_for_what_is_sent_again_behind_a_refused_batch() {
    let sink = Taken::default();
    *sink.capacity.lock() = 2;
    let (mut outgoing, inbox) = outgoing(&sink, None);
    let maker = ResultMaker::new("p", "results", Vec::new(), None, &[], Vec::new());
    let refuse = |refusal| {
        let token = sink.numbers.lock().pop_front().unwrap();
        inbox.put(Delivery { token, outcome: Err(DeliveryError { message: "no".into(), refusal }) });
    };
    outgoing.send(record(0), of(0));
    outgoing.send(record(1), of(0));
    let mark = outgoing.mark();
    refuse(Refusal::Passing);
    deliveries(&mut outgoing);
    // The sink does not take it, and then the batch before it is refused.
    assert!(outgoing.again(&maker).is_empty());
    refuse(Refusal::Batch);
    deliveries(&mut outgoing);
    outgoing.take_turns(&maker, &mut Vec::new());
    *sink.capacity.lock() = 2;
    outgoing.send_waiting(|_, _| true);
    assert_eq!(*sink.payloads.lock(), [0, 1, 1, 0]);
    for has_passed in [false, true] {
        sink.deliver(1, &inbox);
        deliveries(&mut outgoing);
        assert_eq!(outgoing.has_passed(mark), has_passed);
    }
}
