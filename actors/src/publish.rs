//! The publish actor: results in order, dead letters, late records; the ledger; and commits.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use lockstep_engine::fault::{Fault, Reason, Stage};
use lockstep_engine::infer::job::Job;
use lockstep_engine::ingest::InputSpec;
use lockstep_engine::ingest::source::SourceControl;
use lockstep_engine::ingest::wire;
use lockstep_engine::position::Position;
use lockstep_engine::publish::letters::LeftOut;
use lockstep_engine::publish::result::ResultMaker;
use lockstep_engine::publish::sink::Sink;
use lockstep_engine::publish::{InOrder, Ledger, Settled, Verdict};
use lockstep_engine::sample::Sample;
use lockstep_engine::telemetry::{self, Latencies};
use lockstep_engine::time::Timestamp;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::link::Permit;
use crate::observer::Observer;
use crate::shell::{Outbox, Room};
use crate::status::Status;

mod letter;
mod message;
mod outgoing;

use letter::Letter;
pub use message::{Aligned, Assignments, Faulty, PublishMessage};
pub use outgoing::Inbox;
use outgoing::Outgoing;

/// What the publish actor is made of.
pub struct PublishParts {
    /// The inputs of the pipeline.
    pub inputs: Arc<[InputSpec]>,
    /// Makes results.
    pub maker: ResultMaker,
    /// The topic of dead letters.
    pub dead_letters: Arc<str>,
    /// The topic of late and evicted samples; none to drop them.
    pub late: Option<Arc<str>>,
    /// Where records go.
    pub sink: Box<dyn Sink>,
    /// Where the sink tells what became of them.
    pub inbox: Arc<Inbox>,
    /// The source, once it has started.
    pub control: Arc<Mutex<Option<Arc<dyn SourceControl>>>>,
    /// Who watches.
    pub observer: Box<dyn Observer>,
    /// How often positions are committed.
    pub commit_every: Duration,
    /// How many sync actors there are.
    pub shards: usize,
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
    ledger: Ledger<Arc<Sample>>,
    order: InOrder<Arc<Job>>,
    /// Revocations that not all sync actors have told of yet, each with how many have.
    revoking: Vec<(Assignments, usize)>,
    control: Arc<Mutex<Option<Arc<dyn SourceControl>>>>,
    observer: Box<dyn Observer>,
    /// Of results whose metrics have not been told yet.
    latencies: Latencies,
    commit_every: Duration,
    next_commit: Timestamp,
    shards: usize,
    shards_done: usize,
    done: Option<oneshot::Sender<()>>,
    status: Arc<Status>,
    listening: bool,
}

impl Publish {
    /// A publish room.
    pub fn new(parts: PublishParts) -> Self {
        Self {
            outgoing: Outgoing::new(parts.dead_letters, parts.late, parts.sink, parts.inbox),
            inputs: parts.inputs,
            maker: parts.maker,
            ledger: Ledger::default(),
            order: InOrder::default(),
            revoking: Vec::new(),
            control: parts.control,
            observer: parts.observer,
            latencies: Latencies::default(),
            commit_every: parts.commit_every,
            next_commit: Timestamp::MIN,
            shards: parts.shards,
            shards_done: 0,
            done: Some(parts.done),
            status: parts.status,
            listening: false,
        }
    }

    fn topic(&self, position: Position) -> String {
        self.inputs.get(position.input().index()).map_or_else(String::new, |input| input.topic.clone())
    }

    fn name(&self, position: Position) -> &str {
        self.inputs.get(position.input().index()).map_or("?", |input| input.name.as_str())
    }

    fn aligned(&mut self, aligned: Aligned, out: &mut Outbox<PublishMessage>) {
        for (stream, id) in aligned.admitted {
            self.order.admit(stream, id);
        }
        for bundle in aligned.dropped {
            for sample in bundle.parts.iter().flat_map(|part| &part.samples) {
                self.settle(sample, Settled::Dropped, out);
            }
        }
        for (bundle, fault) in aligned.failed {
            for sample in bundle.parts.iter().flat_map(|part| &part.samples) {
                self.settle(sample, Settled::Failed(sample.clone(), fault.clone()), out);
            }
        }
        for (sample, by_ns) in aligned.late {
            let position = sample.position();
            telemetry::late(self.name(position));
            self.observer.late(position.input());
            self.left_out(&sample, LeftOut::Late(by_ns), out);
        }
        for (sample, bound, used) in aligned.evicted {
            let position = sample.position();
            telemetry::evicted(self.name(position), bound);
            if used > 0 {
                // It has its results, or will have: they say when it has ended.
                let verdict = self.ledger.release(position, sample.assignment, used);
                self.verdict(position, verdict, out);
            } else {
                self.observer.dropped(position.input(), wire::EVICTED);
                self.left_out(&sample, LeftOut::Evicted(bound), out);
            }
        }
        for (sample, fault) in aligned.astray {
            self.dead_letter(Letter::Sample(sample), fault, out);
        }
        for sample in aligned.duplicates {
            self.drop_sample(sample.position(), "duplicate");
            self.ledger.end(sample.position(), sample.assignment);
        }
        for (position, assignment, used) in aligned.released {
            let verdict = self.ledger.release(position, assignment, used);
            self.verdict(position, verdict, out);
        }
    }

    /// Sends a sample that took no part to the late topic; without one it has ended.
    fn left_out(&mut self, sample: &Arc<Sample>, why: LeftOut, out: &mut Outbox<PublishMessage>) {
        let position = sample.position();
        let topic = self.topic(position);
        if !self.outgoing.left_out(sample.clone(), topic, why, out) {
            self.ledger.end(position, sample.assignment);
        }
    }

    fn drop_sample(&mut self, position: Position, reason: &'static str) {
        telemetry::dropped(self.name(position), reason);
        self.observer.dropped(position.input(), reason);
    }

    fn settle(&mut self, sample: &Sample, how: Settled<Arc<Sample>>, out: &mut Outbox<PublishMessage>) {
        let verdict = self.ledger.settle(sample.position(), sample.assignment, how);
        self.verdict(sample.position(), verdict, out);
    }

    fn verdict(
        &mut self,
        position: Position,
        verdict: Option<Verdict<Arc<Sample>>>,
        out: &mut Outbox<PublishMessage>,
    ) {
        match verdict {
            None => {}
            Some(Verdict::Published) => self.observer.used(position.input()),
            Some(Verdict::Dropped { used }) => {
                self.drop_sample(position, if used { "bundle-dropped" } else { "unused" });
            }
            Some(Verdict::DeadLetter(sample, fault)) => {
                self.dead_letter(Letter::Sample(sample), fault, out);
            }
        }
    }

    fn dead_letter(&mut self, letter: Letter, fault: Fault, out: &mut Outbox<PublishMessage>) {
        let position = letter.record().position;
        telemetry::dead_lettered(fault.stage, fault.reason);
        self.observer.dead_lettered(position.input(), &fault);
        let topic = self.topic(position);
        tracing::warn!(topic, %position, "dead letter: {fault}");
        self.outgoing.dead_letter(letter, topic, fault, out);
    }

    /// A job has been through all steps, and all before it in its stream have.
    fn complete(&mut self, job: Arc<Job>, now: Timestamp, out: &mut Outbox<PublishMessage>) {
        let failure = match job.failure() {
            Some(failure) => (failure.fault.clone(), failure.culprit),
            None => match self.maker.make(&job) {
                Ok((record, timing)) => {
                    self.outgoing.result(job, record, timing, now, out);
                    return;
                }
                Err(why) => (Fault::new(Stage::Publish, Reason::ModelFailed, why), None),
            },
        };
        self.failed(&job, &failure.0, failure.1, out);
    }

    fn failed(
        &mut self,
        job: &Job,
        fault: &Fault,
        culprit: Option<Position>,
        out: &mut Outbox<PublishMessage>,
    ) {
        self.status.bundles_in_flight.fetch_sub(1, Ordering::Relaxed);
        let because = |sample: &Sample| match culprit {
            Some(culprit) if culprit != sample.position() => {
                let name = self.inputs.get(culprit.input().index()).map_or("?", |input| input.name.as_str());
                let message = format!(
                    "the bundle at {} failed because of input {name} {culprit}: {}",
                    job.bundle.event_time, fault.message
                );
                Fault::new(fault.stage, Reason::BundleFailed, message)
            }
            _ => fault.clone(),
        };
        let samples = job.bundle.parts.iter().flat_map(|part| &part.samples);
        let failed: Vec<_> = samples.map(|sample| (sample.clone(), because(sample))).collect();
        for (sample, fault) in failed {
            self.settle(&sample, Settled::Failed(sample.clone(), fault), out);
        }
    }

    fn deliveries(&mut self, now: Timestamp, out: &mut Outbox<PublishMessage>) {
        let ended = self.outgoing.deliveries(now, out);
        self.ended(ended, out);
    }

    fn ended(&mut self, ended: Vec<outgoing::Delivered>, out: &mut Outbox<PublishMessage>) {
        for ended in ended {
            match ended {
                outgoing::Delivered::Result { job, timing, publish } => {
                    self.latencies.add(&timing, publish);
                    self.observer.published(&job, &timing, publish);
                    self.status.bundles_in_flight.fetch_sub(1, Ordering::Relaxed);
                    self.status.results.fetch_add(1, Ordering::Relaxed);
                    // What only says that a bundle is final leaves it to the result before it what became of the samples.
                    let repeated = job.bundle.is_repeated;
                    for sample in job.bundle.parts.iter().flat_map(|part| &part.samples) {
                        self.settle(
                            sample,
                            if repeated { Settled::Dropped } else { Settled::Published },
                            out,
                        );
                    }
                }
                outgoing::Delivered::Poison { job, fault } => self.failed(&job, &fault, None, out),
                outgoing::Delivered::Letter { position, assignment } => self.ledger.end(position, assignment),
            }
        }
    }

    fn revoked(&mut self, partitions: Assignments) {
        let told = match self.revoking.iter().position(|(of, _)| Arc::ptr_eq(of, &partitions)) {
            Some(place) => place,
            None => {
                self.revoking.push((partitions.clone(), 0));
                self.revoking.len() - 1
            }
        };
        self.revoking[told].1 += 1;
        if self.revoking[told].1 < self.shards {
            return;
        }
        self.revoking.swap_remove(told);
        self.commit();
        for (partition, assignment) in &*partitions {
            self.ledger.revoke(*partition, *assignment);
        }
    }

    fn commit(&mut self) {
        let offsets = self.ledger.committable();
        if !offsets.is_empty()
            && let Some(control) = &*self.control.lock()
        {
            control.commit(offsets);
        }
    }
}

impl Room for Publish {
    type Message = PublishMessage;

    fn handle(
        &mut self,
        message: PublishMessage,
        _permit: &mut Option<Permit>,
        now: Timestamp,
        out: &mut Outbox<PublishMessage>,
    ) {
        match message {
            PublishMessage::Assigned(partitions) => {
                for (partition, start, assignment) in partitions {
                    self.ledger.assign(partition, start, assignment);
                }
            }
            PublishMessage::Opened { partition, assignment, offsets } => {
                for offset in offsets {
                    self.ledger.open(Position { partition, offset }, assignment);
                }
            }
            PublishMessage::Faults(assignment, faults) => {
                for Faulty { record, reservation, fault } in faults {
                    self.dead_letter(Letter::Record(record, assignment, reservation), fault, out);
                }
            }
            PublishMessage::Aligned(aligned) => self.aligned(aligned, out),
            PublishMessage::Finished(jobs) => {
                for job in jobs {
                    let stream = job.bundle.stream.clone();
                    for job in self.order.finish(&stream, job.id, job) {
                        self.complete(job, now, out);
                    }
                }
            }
            PublishMessage::Revoked(partitions, done) => {
                self.revoked(partitions);
                drop(done);
            }
            PublishMessage::ShardDone => self.shards_done += 1,
            PublishMessage::Deliveries => {
                self.listening = false;
                self.deliveries(now, out);
            }
            PublishMessage::Positions(answer) => {
                let _ = answer.send(self.ledger.positions());
            }
        }
        if self.shards_done >= self.shards && self.order.is_empty() && self.outgoing.is_empty() {
            telemetry::published(&mut self.latencies);
            // Nobody listens any more only when the stop was cut short.
            let _ = self.done.take().map(|done| done.send(()));
        }
        self.tick(now, out);
    }

    fn tick(&mut self, now: Timestamp, out: &mut Outbox<PublishMessage>) {
        if now >= self.next_commit {
            self.next_commit = now.after(self.commit_every);
            self.commit();
            telemetry::published(&mut self.latencies);
        }
        if self.outgoing.again_at().is_some_and(|at| now >= at) {
            let ended = self.outgoing.again(&self.maker, out);
            self.ended(ended, out);
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

    fn next_deadline(&self) -> Option<Timestamp> {
        Some(self.outgoing.again_at().map_or(self.next_commit, |again| again.min(self.next_commit)))
    }
}
