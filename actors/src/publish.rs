//! The publish stage: sends results in order, dead letters and late records, keeps the ledger, and commits offsets.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use lockstep_engine::budget::Budget;
use lockstep_engine::infer::job::Job;
use lockstep_engine::infer::step::Step;
use lockstep_engine::ingest::InputSpec;
use lockstep_engine::ingest::source::{Pause, SourceControl};
use lockstep_engine::pipeline::{DeliverySpec, OnUndeliverable};
use lockstep_engine::position::Position;
use lockstep_engine::publish::result::ResultMaker;
use lockstep_engine::publish::sink::{Delivery, GuaranteedSink};
use lockstep_engine::publish::stream_tracks::StreamTracks;
use lockstep_engine::publish::{InOrder, Ledger};
use lockstep_engine::sample::Sample;
use lockstep_engine::telemetry::samples::Drops;
use lockstep_engine::telemetry::{self, Latencies};
use lockstep_engine::time::Timestamp;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::load::Load;
use crate::mailbox::Credit;
use crate::message::{Faulty, PartitionAssignment, PublishMessage};
use crate::observer::Observer;
use crate::stage_actor::{Outbox, Stage};
use crate::status::Status;

mod at_least_once;
mod dead_letter;
mod draining;
mod guarantee;
mod inbox;
mod left_out_log;
mod metadata_pressure;
mod outcomes;
mod pending;
mod record_maker;
mod refused;
mod results;
mod revoke;
mod send_queue;
mod sender;
mod stream_state;
mod transactional;

use at_least_once::AtLeastOnce;
use dead_letter::DeadLetter;
use draining::Draining;
use guarantee::{DeliveryGuarantee, PublishContext};
pub use inbox::Inbox;
use left_out_log::LeftOutLog;
use metadata_pressure::PressureMonitor;
use pending::Delivered;
use record_maker::RecordMaker;
use stream_state::StreamStateLog;
use transactional::{TransactionLimits, Transactional};

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
    pub sink: GuaranteedSink,
    /// The settings of the delivery.
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
    order: InOrder<Arc<Job>>,
    records: RecordMaker,
    guarantee: Box<dyn DeliveryGuarantee>,
    inbox: Arc<Inbox>,
    /// Reused memory for the deliveries of the inbox.
    reports: Vec<Delivery>,
    /// Records that have ended and are not in the ledger yet.
    delivered: Vec<Delivered>,
    ledger: Ledger<Arc<Sample>>,
    pressure: PressureMonitor,
    stream_state: StreamStateLog,
    on_undeliverable: OnUndeliverable,
    /// True once a record can never end. The pipeline ends with an error then.
    is_stuck: bool,
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
    /// The period of metrics and log lines about records that have ended.
    report_every: Duration,
    next_report: Timestamp,
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
        let drops = Drops::new(parts.inputs.iter().map(|input| input.name.clone()).collect());
        let guarantee: Box<dyn DeliveryGuarantee> = match parts.sink {
            GuaranteedSink::AtLeastOnce(sink) => {
                Box::new(AtLeastOnce::new(sink, parts.control.clone(), parts.commit_every))
            }
            GuaranteedSink::Transactional(sink, client) => {
                let (inbox, load) = (parts.inbox.clone(), parts.load);
                let limits = TransactionLimits {
                    every: parts.delivery.transaction_every,
                    most_waiting: parts.send_queue,
                };
                Box::new(Transactional::new(sink, client, inbox, limits, &parts.budget, load))
            }
        };
        Self {
            inputs: parts.inputs,
            order: InOrder::default(),
            records: RecordMaker::new(
                parts.maker,
                StreamTracks::new(&parts.steps),
                parts.dead_letters,
                parts.late,
            ),
            guarantee,
            inbox: parts.inbox,
            reports: Vec::new(),
            delivered: Vec::new(),
            ledger: Ledger::new(parts.delivery.metadata_limit),
            pressure: PressureMonitor::default(),
            stream_state: StreamStateLog::new(parts.state, &parts.steps),
            on_undeliverable: parts.delivery.on_undeliverable,
            is_stuck: false,
            draining: Vec::new(),
            held_credits: Vec::new(),
            revoke_within: parts.delivery.revoke_within,
            control: parts.control,
            observer: parts.observer,
            left_out_log: LeftOutLog::default(),
            drops,
            in_flight: parts.status.count_bundles(),
            latencies: Latencies::default(),
            report_every: parts.commit_every,
            next_report: Timestamp::MIN,
            shards_left: None,
            done: Some(parts.done),
            status: parts.status,
            is_listening: false,
        }
    }

    /// Returns the guarantee, and what it works with.
    fn guarantee(&mut self) -> (&mut dyn DeliveryGuarantee, PublishContext<'_>) {
        let context = PublishContext {
            ledger: &mut self.ledger,
            stream_state: &mut self.stream_state,
            records: &self.records,
            delivered: &mut self.delivered,
        };
        (&mut *self.guarantee, context)
    }

    /// Signals the end once every record has ended and is committed.
    fn finish(&mut self, now: Timestamp, out: &mut Outbox<PublishMessage>) {
        if self.shards_left != Some(0) || !self.order.is_empty() {
            return;
        }
        let (guarantee, mut context) = self.guarantee();
        match guarantee.finish(now, &mut context) {
            Ok(true) if !self.is_stuck => {
                telemetry::published(&mut self.latencies);
                self.left_out_log.log(&self.inputs);
                // The receiver is gone only if the stop was cut short.
                let _ = self.done.take().map(|done| done.send(()));
            }
            Ok(_) => {}
            Err(why) => out.fail(why),
        }
    }

    fn do_due(&mut self, now: Timestamp, out: &mut Outbox<PublishMessage>) {
        if now >= self.next_report {
            self.next_report = now.after(self.report_every);
            telemetry::published(&mut self.latencies);
            self.left_out_log.log(&self.inputs);
            // A delivery signals free space. But if a limit that the operator set for librdkafka is the tighter one, librdkafka
            // may free the space only after the delivery, without a signal.
            self.send_waiting();
        }
        self.release_drained(now);
        let (guarantee, mut context) = self.guarantee();
        if let Err(why) = guarantee.do_due(now, &mut context) {
            out.fail(why);
        }
        self.settle_delivered();
        if let Some(paused) = self.pressure.decide(&mut self.ledger, now)
            && let Some(control) = &*self.control.lock()
        {
            control.set_paused(Pause::Map, paused);
        }
        if !self.is_listening {
            self.is_listening = true;
            let inbox = self.inbox.clone();
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
                for PartitionAssignment { partition, start, progress, assignment } in partitions {
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
                    self.finished(job, now);
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
                let _ = answer.send(self.guarantee.last_commits(&mut self.ledger));
            }
        }
        self.do_due(now, out);
        self.finish(now, out);
        if self.guarantee.is_overfull() {
            self.held_credits.extend(credit.take());
        }
    }

    fn tick(&mut self, now: Timestamp, _waiting: u64, out: &mut Outbox<PublishMessage>) {
        self.do_due(now, out);
        self.finish(now, out);
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        let draining = self.draining.iter().filter_map(|draining| draining.until);
        let others =
            [self.guarantee.next_deadline(), self.pressure.next_turn()].into_iter().flatten().chain(draining);
        Some(others.fold(self.next_report, Timestamp::min))
    }
}
