//! The publish actor: results in order, dead letters, late records; the ledger; and commits.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use lockstep_engine::budget::Budget;
use lockstep_engine::infer::job::Job;
use lockstep_engine::infer::step::Step;
use lockstep_engine::ingest::InputSpec;
use lockstep_engine::ingest::source::{Pause, SourceControl};
use lockstep_engine::pipeline::DeliverySpec;
use lockstep_engine::position::{InputId, Position};
use lockstep_engine::publish::result::ResultMaker;
use lockstep_engine::publish::sink::{Sink, Transactions};
use lockstep_engine::publish::{InOrder, Ledger};
use lockstep_engine::sample::Sample;
use lockstep_engine::telemetry::samples::Drops;
use lockstep_engine::telemetry::{self, Latencies};
use lockstep_engine::time::Timestamp;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::autoscaler::Load;
use crate::mailbox::Credit;
use crate::observer::Observer;
use crate::stage_actor::{Outbox, Stage};
use crate::status::Status;

mod dead_letter;
mod draining;
mod inbox;
mod left_out_log;
mod message;
mod metadata_pressure;
mod outcomes;
mod outgoing;
mod pending;
mod send_queue;
mod stream_state;
mod transaction_buffer;

use dead_letter::DeadLetter;
use draining::Draining;
pub use inbox::Inbox;
use left_out_log::LeftOutLog;
pub use message::{Aligned, Faulty, PublishMessage, Revocation, Unread};
use metadata_pressure::PressureMonitor;
use outgoing::Outgoing;
use pending::Delivered;
use stream_state::StreamStateLog;
use transaction_buffer::{Measure, TransactionBuffer};

/// The share of the byte budget that the records of one transaction may take, which are kept until it counts.
const HELD: u64 = 4;

/// What the publish actor is made of.
pub struct PublishParts {
    /// The inputs of the pipeline.
    pub inputs: Arc<[InputSpec]>,
    /// Makes results.
    pub maker: ResultMaker,
    /// The topic of dead letters.
    pub dead_letters: Arc<str>,
    /// The topic of late, evicted and shed samples; none to drop them.
    pub late: Option<Arc<str>>,
    /// The topic of what streams carry on; none where nothing is kept of it.
    pub state: Option<Arc<str>>,
    /// The steps of the pipeline.
    pub steps: Arc<[Step]>,
    /// Where records go.
    pub sink: Box<dyn Sink>,
    /// Its transactions, where results go in such.
    pub transactions: Option<Box<dyn Transactions>>,
    /// What is promised of results.
    pub delivery: DeliverySpec,
    /// How much may wait to be sent, in bytes.
    pub send_queue: usize,
    /// The byte budget, against which counts what is kept of a transaction.
    pub budget: Budget,
    /// How much waits to be read.
    pub load: Load,
    /// Where the sink tells what became of them.
    pub inbox: Arc<Inbox>,
    /// The source, once it has started.
    pub control: Arc<Mutex<Option<Arc<dyn SourceControl>>>>,
    /// Who watches.
    pub observer: Box<dyn Observer>,
    /// How often positions are committed.
    pub commit_every: Duration,
    /// Told once all is said and acknowledged.
    pub done: oneshot::Sender<()>,
    /// The pipeline's health.
    pub status: Arc<Status>,
}

/// The publish actor's room.
pub struct Publish {
    inputs: Arc<[InputSpec]>,
    maker: ResultMaker,
    outgoing: Outgoing,
    /// Stage for what has come to its end, kept from one time to the next.
    delivered: Vec<Delivered>,
    ledger: Ledger<Arc<Sample>>,
    crowd: PressureMonitor,
    order: InOrder<Arc<Job>>,
    stream_state: Option<StreamStateLog>,
    draining: Vec<Draining>,
    /// Places in the link that stay taken, as too much waits to be sent.
    held_up: Vec<Credit>,
    revoke_within: Duration,
    control: Arc<Mutex<Option<Arc<dyn SourceControl>>>>,
    observer: Box<dyn Observer>,
    /// Of samples that came late, came twice or had to make room, what has not been logged yet.
    tally: LeftOutLog,
    drops: Drops,
    in_flight: Arc<AtomicUsize>,
    /// Of results whose metrics have not been told yet.
    latencies: Latencies,
    commit_every: Duration,
    next_commit: Timestamp,
    /// Sync actors that will say more; none before the stop has come to one.
    shards_left: Option<usize>,
    done: Option<oneshot::Sender<()>>,
    status: Arc<Status>,
    listening: bool,
}

impl Publish {
    /// A publish room.
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
            crowd: PressureMonitor::default(),
            order: InOrder::default(),
            stream_state: parts.state.map(|topic| StreamStateLog::new(topic, &parts.steps)),
            draining: Vec::new(),
            held_up: Vec::new(),
            revoke_within: parts.delivery.revoke_within,
            control: parts.control,
            observer: parts.observer,
            tally: LeftOutLog::default(),
            drops,
            in_flight: parts.status.count_bundles(),
            latencies: Latencies::default(),
            commit_every: parts.commit_every,
            next_commit: Timestamp::MIN,
            shards_left: None,
            done: Some(parts.done),
            status: parts.status,
            listening: false,
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
        // Before anything is sent in the next: of what is let go now others will tell.
        self.let_go(now);
        self.send_waiting();
        self.outgoing.forget_counted();
    }

    /// Sends what waits, as far as that is possible now.
    fn send_waiting(&mut self) {
        let holds = |partition, assignment| self.ledger.holds(partition, assignment);
        for _ in 0..self.outgoing.send_waiting(holds) {
            self.abandoned();
        }
        if !self.outgoing.is_overfull() {
            self.held_up.clear();
        }
    }

    /// Says so once all has come to its end and is committed.
    fn finish(&mut self, now: Timestamp, out: &mut Outbox<PublishMessage>) {
        if self.shards_left != Some(0) || !self.order.is_empty() {
            return;
        }
        if !self.outgoing.is_transactional() {
            self.send_carried();
        }
        let uncommitted = self.outgoing.is_transactional() && self.ledger.has_moved();
        if self.outgoing.is_empty() && !self.carries() && !uncommitted {
            telemetry::published(&mut self.latencies);
            self.tally.tell(&self.inputs);
            // Nobody listens any more only when the stop was cut short.
            let _ = self.done.take().map(|done| done.send(()));
        } else {
            self.outgoing.end_soon();
            self.end_transaction(now, out);
        }
    }

    /// Ends the transaction under way if it is time.
    fn end_transaction(&mut self, now: Timestamp, out: &mut Outbox<PublishMessage>) {
        if self.outgoing.is_due(now) {
            let carries = self.carries();
            self.send_carried();
            self.outgoing.close(carries);
        }
        if let Err(why) = self.outgoing.step(now, &mut self.ledger) {
            out.fail(why);
        }
    }

    /// Whether there is something that streams carry on and that has not been sent.
    fn carries(&self) -> bool {
        self.stream_state.as_ref().is_some_and(|stream_state| !stream_state.is_empty())
    }

    /// Sends what streams carry on after the results that have been sent.
    fn send_carried(&mut self) {
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
                "too much has ended out of order for the metadata of a commit (delivery.metadata_limit): these \
                 partitions are committed once it fits"
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
                self.send_carried();
                self.commit();
            }
            telemetry::published(&mut self.latencies);
            self.tally.tell(&self.inputs);
            // Deliveries say that there is room, unless a limit of the user's own counts otherwise.
            self.send_waiting();
        }
        if self.outgoing.again_at().is_some_and(|at| now >= at) {
            let mut ended = self.outgoing.again(&self.maker);
            self.ended(&mut ended);
        }
        self.let_go(now);
        self.end_transaction(now, out);
        if let Some(paused) = self.crowd.decide(&mut self.ledger, now)
            && let Some(control) = &*self.control.lock()
        {
            control.set_paused(Pause::Map, paused);
        }
        if !self.listening {
            self.listening = true;
            let inbox = self.outgoing.inbox();
            out.later(async move {
                inbox.arrived().await;
                PublishMessage::Deliveries
            });
        }
    }
}

fn input_name(inputs: &[InputSpec], input: InputId) -> &str {
    inputs.get(input.index()).map_or("?", |input| input.name.as_str())
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
                self.listening = false;
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
            self.held_up.extend(credit.take());
        }
    }

    fn tick(&mut self, now: Timestamp, _waiting: u64, out: &mut Outbox<PublishMessage>) {
        self.do_due(now, out);
        self.finish(now, out);
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        let draining = self.draining.iter().filter_map(|draining| draining.until);
        let others = [self.outgoing.again_at(), self.outgoing.due(), self.crowd.next_turn()]
            .into_iter()
            .flatten()
            .chain(draining);
        Some(others.fold(self.next_commit, Timestamp::min))
    }
}
