//! The publish stage: sends results in order, dead letters and late records, keeps the ledger, and commits offsets.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use lockstep_engine::budget::Budget;
use lockstep_engine::infer::job::Job;
use lockstep_engine::infer::step::Step;
use lockstep_engine::ingest::InputSpec;
use lockstep_engine::ingest::source::{Pause, SourceControl};
use lockstep_engine::pipeline::DeliverySpec;
use lockstep_engine::position::Position;
use lockstep_engine::publish::result::ResultMaker;
use lockstep_engine::publish::sink::{Sink, Transactions};
use lockstep_engine::publish::{InOrder, Ledger};
use lockstep_engine::sample::Sample;
use lockstep_engine::telemetry::samples::Drops;
use lockstep_engine::telemetry::{self, Latencies};
use lockstep_engine::time::Timestamp;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::load::Load;
use crate::mailbox::Credit;
use crate::message::{Faulty, PublishMessage};
use crate::observer::Observer;
use crate::stage_actor::{Outbox, Stage};
use crate::status::Status;

mod dead_letter;
mod draining;
mod inbox;
mod left_out_log;
mod metadata_pressure;
mod outcomes;
mod outgoing;
mod pending;
mod revoke;
mod send_queue;
mod stream_state;
mod transaction_buffer;

use dead_letter::DeadLetter;
use draining::Draining;
pub use inbox::Inbox;
use left_out_log::LeftOutLog;
use metadata_pressure::PressureMonitor;
use outgoing::Outgoing;
use pending::Delivered;
use stream_state::StreamStateLog;
use transaction_buffer::{Measure, TransactionBuffer};

/// The divisor of the byte budget for the records of one transaction, which are kept until it is committed.
const HELD: u64 = 4;

/// The parts of the publish stage.
pub struct PublishParts {
    /// The inputs of the pipeline.
    pub inputs: Arc<[InputSpec]>,
    /// Makes results.
    pub maker: ResultMaker,
    /// The topic of dead letters.
    pub dead_letters: Arc<str>,
    /// The topic of late, evicted and shed samples; none to drop them.
    pub late: Option<Arc<str>>,
    /// The topic of stream state; none if state is not kept.
    pub state: Option<Arc<str>>,
    /// The steps of the pipeline.
    pub steps: Arc<[Step]>,
    /// The sink of all records.
    pub sink: Box<dyn Sink>,
    /// The sink's transactions, if results go in transactions.
    pub transactions: Option<Box<dyn Transactions>>,
    /// The delivery guarantee.
    pub delivery: DeliverySpec,
    /// The most bytes that may wait for the next transaction. Without transactions publish keeps credits as soon as any record
    /// waits for the sink.
    pub send_queue: usize,
    /// The byte budget, against which the kept records of a transaction count.
    pub budget: Budget,
    /// The meter of the load.
    pub load: Load,
    /// The inbox for the sink's deliveries.
    pub inbox: Arc<Inbox>,
    /// The control of the source: none before the source has started, and none again after the pipeline has failed.
    pub control: Arc<Mutex<Option<Arc<dyn SourceControl>>>>,
    /// The observer of outcomes.
    pub observer: Box<dyn Observer>,
    /// The period of commits.
    pub commit_every: Duration,
    /// Signals that every record has ended and is acknowledged.
    pub done: oneshot::Sender<()>,
    /// The pipeline's health.
    pub status: Arc<Status>,
}

/// The publish stage.
pub struct Publish {
    inputs: Arc<[InputSpec]>,
    maker: ResultMaker,
    outgoing: Outgoing,
    /// Reused memory for delivered records.
    delivered: Vec<Delivered>,
    ledger: Ledger<Arc<Sample>>,
    pressure: PressureMonitor,
    order: InOrder<Arc<Job>>,
    stream_state: Option<StreamStateLog>,
    draining: Vec<Draining>,
    /// Credits that publish keeps while too much waits to be sent.
    held_credits: Vec<Credit>,
    revoke_within: Duration,
    control: Arc<Mutex<Option<Arc<dyn SourceControl>>>>,
    observer: Box<dyn Observer>,
    /// Late, duplicate and evicted samples that are not logged yet.
    left_out_log: LeftOutLog,
    drops: Drops,
    in_flight: Arc<AtomicUsize>,
    /// Latencies of results that are not yet in the metrics.
    latencies: Latencies,
    commit_every: Duration,
    next_commit: Timestamp,
    /// The number of shards that have not reported [`PublishMessage::ShardDone`]; none before the first report.
    shards_left: Option<usize>,
    done: Option<oneshot::Sender<()>>,
    status: Arc<Status>,
    /// True while a [`PublishMessage::Deliveries`] is to come.
    is_listening: bool,
}

impl Publish {
    /// Creates the stage.
    pub fn new(parts: PublishParts) -> Self {
        let measure =
            Measure { every: parts.delivery.transaction_every, most_held: parts.budget.limit() / HELD };
        let transaction_buffer = parts.transactions.map(|client| {
            (TransactionBuffer::new(client, measure, &parts.budget, parts.load), parts.send_queue)
        });
        let drops = Drops::new(parts.inputs.iter().map(|input| input.name.clone()).collect());
        Self {
            outgoing: Outgoing::new(
                (parts.dead_letters, parts.late),
                parts.sink,
                parts.inbox,
                transaction_buffer,
            )
            .on_undeliverable(parts.delivery.on_undeliverable),
            delivered: Vec::new(),
            inputs: parts.inputs,
            maker: parts.maker,
            ledger: Ledger::new(parts.delivery.metadata_limit),
            pressure: PressureMonitor::default(),
            order: InOrder::default(),
            stream_state: parts.state.map(|topic| StreamStateLog::new(topic, &parts.steps)),
            draining: Vec::new(),
            held_credits: Vec::new(),
            revoke_within: parts.delivery.revoke_within,
            control: parts.control,
            observer: parts.observer,
            left_out_log: LeftOutLog::default(),
            drops,
            in_flight: parts.status.count_bundles(),
            latencies: Latencies::default(),
            commit_every: parts.commit_every,
            next_commit: Timestamp::MIN,
            shards_left: None,
            done: Some(parts.done),
            status: parts.status,
            is_listening: false,
        }
    }

    fn deliveries(&mut self, now: Timestamp, out: &mut Outbox<PublishMessage>) {
        let mut ended = std::mem::take(&mut self.delivered);
        self.outgoing.deliveries(now, &mut ended, out);
        self.outgoing.take_turns(&self.maker, &mut ended);
        self.ended(&mut ended);
        self.delivered = ended;
        if self.outgoing.transaction_ended(now, out) == Some(false) {
            self.ledger.tell_again();
        }
        // Partitions are released before the next transaction begins: its records must not include theirs.
        self.release_drained(now);
        self.send_waiting();
        self.outgoing.forget_committed();
    }

    /// Sends waiting records as far as the sink takes them now.
    fn send_waiting(&mut self) {
        let holds = |partition, assignment| self.ledger.holds(partition, assignment);
        for _ in 0..self.outgoing.send_waiting(holds) {
            self.abandoned();
        }
        if !self.outgoing.is_overfull() {
            self.held_credits.clear();
        }
    }

    /// Signals the end once every record has ended and is committed.
    fn finish(&mut self, now: Timestamp, out: &mut Outbox<PublishMessage>) {
        if self.shards_left != Some(0) || !self.order.is_empty() {
            return;
        }
        if !self.outgoing.is_transactional() {
            self.send_stream_state();
        }
        let uncommitted = self.outgoing.is_transactional() && self.ledger.has_moved();
        if self.outgoing.is_empty() && !self.has_stream_state() && !uncommitted {
            telemetry::published(&mut self.latencies);
            self.left_out_log.log(&self.inputs);
            // The receiver is gone only if the stop was cut short.
            let _ = self.done.take().map(|done| done.send(()));
        } else {
            self.outgoing.end_soon();
            self.end_transaction(now, out);
        }
    }

    /// Ends the open transaction if it is due.
    fn end_transaction(&mut self, now: Timestamp, out: &mut Outbox<PublishMessage>) {
        if self.outgoing.is_due(now) {
            let carries = self.has_stream_state();
            self.send_stream_state();
            self.outgoing.close(carries);
        }
        if let Err(why) = self.outgoing.step(now, &mut self.ledger) {
            out.fail(why);
        }
    }

    /// Returns true if stream state waits to be sent.
    fn has_stream_state(&self) -> bool {
        self.stream_state.as_ref().is_some_and(|stream_state| !stream_state.is_empty())
    }

    /// Sends the stream state that belongs to the results sent so far.
    fn send_stream_state(&mut self) {
        let Some(stream_state) = &mut self.stream_state else { return };
        for (record, what) in
            stream_state.take(|partition, assignment| self.ledger.holds(partition, assignment))
        {
            self.outgoing.send(record, what);
        }
    }

    fn commit(&mut self) {
        let commits = self.ledger.committable();
        if let Some(withheld) = self.ledger.withheld().filter(|withheld| !withheld.is_empty()) {
            tracing::error!(
                ?withheld,
                "commit withheld: too many records ended out of order for the metadata (delivery.metadata_limit)"
            );
        }
        if !commits.is_empty()
            && let Some(control) = &*self.control.lock()
        {
            control.commit(commits);
        }
    }

    fn do_due(&mut self, now: Timestamp, out: &mut Outbox<PublishMessage>) {
        if now >= self.next_commit {
            self.next_commit = now.after(self.commit_every);
            if !self.outgoing.is_transactional() {
                self.send_stream_state();
                self.commit();
            }
            telemetry::published(&mut self.latencies);
            self.left_out_log.log(&self.inputs);
            // A delivery signals free space. But if a limit that the operator set for librdkafka is the tighter one, librdkafka
            // may free the space only after the delivery, without a signal.
            self.send_waiting();
        }
        if self.outgoing.again_at().is_some_and(|at| now >= at) {
            let mut ended = self.outgoing.again(&self.maker);
            self.ended(&mut ended);
        }
        self.release_drained(now);
        self.end_transaction(now, out);
        if let Some(paused) = self.pressure.decide(&mut self.ledger, now)
            && let Some(control) = &*self.control.lock()
        {
            control.set_paused(Pause::Map, paused);
        }
        if !self.is_listening {
            self.is_listening = true;
            let inbox = self.outgoing.inbox();
            out.later(async move {
                inbox.arrived().await;
                PublishMessage::Deliveries
            });
        }
    }
}

impl Stage for Publish {
    type Message = PublishMessage;

    fn handle(
        &mut self,
        message: PublishMessage,
        credit: &mut Option<Credit>,
        now: Timestamp,
        out: &mut Outbox<PublishMessage>,
    ) {
        match message {
            PublishMessage::Assigned(partitions) => {
                for (partition, start, progress, assignment) in partitions {
                    self.ledger.assign(partition, start, &progress, assignment);
                }
            }
            PublishMessage::Opened { partition, assignment, offsets } => {
                for offset in offsets {
                    self.ledger.open(Position { partition, offset }, assignment);
                }
            }
            PublishMessage::Faults(assignment, faults) => {
                for Faulty { record, reservation, fault } in faults {
                    self.at_fault(DeadLetter::Record(record, assignment, reservation), fault);
                }
            }
            PublishMessage::Aligned(aligned) => self.aligned(aligned),
            PublishMessage::Shed(unread) => self.shed(unread),
            PublishMessage::Finished(jobs) => {
                for job in jobs {
                    let stream = job.bundle.stream.clone();
                    for job in self.order.finish(&stream, job.id, job) {
                        self.complete(job, now);
                    }
                }
            }
            PublishMessage::Revoked(revocation, done) => self.revoked(revocation, done),
            PublishMessage::ShardDone { of } => {
                self.shards_left = Some(self.shards_left.unwrap_or(of).saturating_sub(1));
            }
            PublishMessage::Deliveries => {
                self.is_listening = false;
                self.deliveries(now, out);
            }
            PublishMessage::Positions(answer) => {
                let last =
                    if self.outgoing.is_transactional() { Vec::new() } else { self.ledger.positions() };
                let _ = answer.send(last);
            }
        }
        self.do_due(now, out);
        self.finish(now, out);
        if self.outgoing.is_overfull() {
            self.held_credits.extend(credit.take());
        }
    }

    fn tick(&mut self, now: Timestamp, _waiting: u64, out: &mut Outbox<PublishMessage>) {
        self.do_due(now, out);
        self.finish(now, out);
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        let draining = self.draining.iter().filter_map(|draining| draining.until);
        let others = [self.outgoing.again_at(), self.outgoing.due(), self.pressure.next_turn()]
            .into_iter()
            .flatten()
            .chain(draining);
        Some(others.fold(self.next_commit, Timestamp::min))
    }
}
