//! The align stage: one shard aligns the streams that it owns.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use actix::Arbiter;
use lockstep_engine::align::{AlignPolicy, Aligner, Bundle, ClockMonitor, Event, Stamp};
use lockstep_engine::fault::{Fault, Reason, StageKind};
use lockstep_engine::infer::job::Job;
use lockstep_engine::ingest::clock::IntakeClock;
use lockstep_engine::position::InputId;
use lockstep_engine::sample::Sample;
use lockstep_engine::telemetry::{self, samples::Skews};
use lockstep_engine::time::Timestamp;
use parking_lot::Mutex;

use crate::mailbox::Credit;
use crate::message::{
    AdmittedBundle, AlignMessage, Aligned, EvictedSample, FailedBundle, FaultySample, LateSample,
    PublishMessage, ReleasedRecord,
};
use crate::route::{Onward, Routes};
use crate::stage_actor::{Outbox, Stage};
use crate::status::Status;

use moving::{Giving, Taking};

mod handover;
mod moving;

/// The period of a shard's metrics.
const REPORT_EVERY: Duration = Duration::from_secs(1);
/// The time to the next check of a clock that is held.
const CHECK_AGAIN: Duration = Duration::from_millis(5);

/// The align stage of one shard.
pub struct Align {
    shard: usize,
    aligner: Aligner<Arc<Sample>>,
    monitor: ClockMonitor,
    /// The clock of ingest. Timeouts of samples go by it.
    clock: Arc<Mutex<IntakeClock>>,
    /// The time, by that clock, up to which every sample has arrived here. Later samples may still be on their way.
    known_until: Timestamp,
    /// The time of the next check while that clock is held before a deadline.
    check_again: Timestamp,
    routes: Routes,
    skews: Skews,
    in_flight: Arc<AtomicUsize>,
    ids: Arc<AtomicU64>,
    events: Vec<Event<Arc<Sample>>>,
    next_report: Timestamp,
    giving: Option<Giving>,
    taking: Option<Taking>,
}

impl Align {
    /// Creates the stage of one shard. `clock` is that of ingest, and `ids` numbers the bundles of all shards.
    pub fn new(
        shard: usize,
        policy: Arc<AlignPolicy>,
        clock: Arc<Mutex<IntakeClock>>,
        routes: Routes,
        status: &Status,
        ids: Arc<AtomicU64>,
    ) -> Self {
        let monitor = ClockMonitor::new(&policy);
        let skews = Skews::new(policy.inputs.iter().map(|input| input.name.as_str()));
        let aligner = Aligner::new(policy);
        Self {
            shard,
            aligner,
            monitor,
            clock,
            known_until: Timestamp::MIN,
            check_again: Timestamp::MIN,
            routes,
            skews,
            in_flight: status.count_bundles(),
            ids,
            events: Vec::new(),
            next_report: Timestamp::MIN,
            giving: None,
            taking: None,
        }
    }

    /// Passes the end of the input on.
    fn stop(&mut self, shards: usize, out: &mut Outbox<AlignMessage>) {
        self.routes.flush(out);
        out.send(&self.routes.publish, PublishMessage::ShardDone { of: shards });
    }

    /// Sends the aligner's events: first to the ledger, which must know a bundle before its result arrives, then the bundles
    /// to the steps.
    fn send_events(&mut self, now: Timestamp, out: &mut Outbox<AlignMessage>) {
        let ahead_ns = now.nanos_since(self.known_until);
        let mut aligned = Aligned::default();
        let mut onward = Onward::default();
        let mut emitted = 0;
        for event in self.events.drain(..) {
            match event {
                Event::Bundle(mut bundle) => {
                    emitted += 1;
                    bundle.set_ahead(ahead_ns);
                    measure(&bundle, self.aligner.policy().pivot(), &self.skews);
                    let id = self.ids.fetch_add(1, Ordering::Relaxed);
                    aligned.admitted.push(AdmittedBundle { stream: bundle.stream.clone(), id });
                    let (job, next) = Job::start(id, *bundle, &self.routes.graph, now);
                    onward.add(&job, &next);
                }
                Event::Dropped { mut bundle, .. } => {
                    bundle.set_ahead(ahead_ns);
                    telemetry::bundles_closed("dropped", 1);
                    aligned.dropped.push(*bundle);
                }
                Event::DeadLetter { mut bundle, missing } => {
                    bundle.set_ahead(ahead_ns);
                    telemetry::bundles_closed("dead-lettered", 1);
                    let name = self.aligner.policy().input_name(missing);
                    let why = bundle.incomplete.iter().find(|it| it.input == missing);
                    let message = format!(
                        "input {name} lacks samples for the bundle at {}: {}",
                        bundle.event_time,
                        why.map_or("missing", |it| it.lack.as_str())
                    );
                    let fault = Fault::new(StageKind::Align, Reason::InputMissing, message);
                    aligned.failed.push(FailedBundle { bundle: *bundle, fault });
                }
                Event::Late { item, by_ns } => aligned.late.push(LateSample { sample: item, by_ns }),
                Event::Duplicate(item) => aligned.duplicates.push(item),
                Event::Evicted { item, bound, used } => {
                    aligned.evicted.push(EvictedSample { sample: item, bound, used });
                }
                Event::TimestampOutlier(item) => {
                    let message = format!(
                        "the event time {} is far from those of the stream's records before and after it (epoch_after)",
                        item.event_time
                    );
                    let fault = Fault::new(StageKind::Align, Reason::TimestampOutlier, message);
                    aligned.outliers.push(FaultySample { sample: item, fault });
                }
                Event::Epoch { stream, input, from, to } => {
                    let name = self.aligner.policy().input_name(input);
                    telemetry::epoch(name);
                    tracing::warn!(%stream, input = name, %from, %to, "source clock stepped, stream begins anew");
                }
                Event::Released { item, used } => {
                    let (position, assignment) = (item.position(), item.assignment);
                    aligned.released.push(ReleasedRecord { position, assignment, used });
                }
            }
        }
        if emitted > 0 {
            telemetry::bundles_closed("emitted", emitted);
            self.in_flight.fetch_add(emitted, Ordering::Relaxed);
        }
        if !aligned.is_empty() {
            out.send(&self.routes.publish, PublishMessage::Aligned(aligned));
        }
        onward.send(&self.routes, out);
        if now >= self.next_report {
            self.next_report = now.after(REPORT_EVERY);
            telemetry::alignment(self.shard, self.aligner.streams(), self.aligner.buffered());
            self.report_clocks(now);
        }
    }

    /// Advances the aligner to this time, by the clock of ingest.
    fn advance_to(&mut self, at: Timestamp) {
        self.known_until = self.known_until.max(at);
        self.aligner.tick(self.known_until, &mut self.events);
    }

    /// Returns the next deadline by the runtime's clock, unless the clock of ingest is held before it.
    fn due(&self) -> Option<Timestamp> {
        self.aligner.next_deadline().map(|due| self.clock.lock().wall(due))
    }

    fn report_clocks(&mut self, now: Timestamp) {
        for reading in self.monitor.report(now) {
            let name = self.aligner.policy().input_name(reading.input);
            telemetry::clock(self.shard, name, reading.quantity, reading.value);
        }
    }
}

fn measure(bundle: &Bundle<Arc<Sample>>, pivot: Option<InputId>, skews: &Skews) {
    for (input, part) in bundle.parts.iter().enumerate() {
        if let Some(skew) = part.skew_ns.filter(|_| pivot.is_none_or(|pivot| input != pivot.index())) {
            skews.record(input, skew);
        }
    }
}

impl Stage for Align {
    type Message = AlignMessage;

    fn handle(
        &mut self,
        message: AlignMessage,
        _credit: &mut Option<Credit>,
        now: Timestamp,
        out: &mut Outbox<AlignMessage>,
    ) {
        match message {
            AlignMessage::Samples { at, mut samples } => {
                // Deadlines before the arrival of these samples come first, so that a late input does not count as in time.
                self.advance_to(at);
                for sample in &samples {
                    let (stamp, read_at) = (Stamp::from(&**sample), sample.record.read_at);
                    self.monitor.observe(&sample.stream, sample.input(), stamp, read_at);
                }
                if let Some(taking) = &mut self.taking {
                    samples = taking.keep(samples, false, &self.aligner);
                }
                self.aligner.push_all(samples, self.known_until, &mut self.events);
                self.send_events(now, out);
            }
            AlignMessage::Ended { at, mut samples } => {
                if let Some(taking) = &mut self.taking {
                    samples = taking.keep(samples, true, &self.aligner);
                }
                self.advance_to(at);
                for sample in samples {
                    let stamp = Stamp::from(&*sample);
                    self.aligner.observe(
                        &sample.stream,
                        sample.input(),
                        stamp,
                        self.known_until,
                        &mut self.events,
                    );
                }
                self.send_events(now, out);
            }
            AlignMessage::Revoked(revocation, done) => {
                if let Some(taking) = &mut self.taking {
                    taking.revoke(revocation.partitions.iter().map(|revoked| revoked.partition));
                }
                self.aligner.forget_partitions(|partition| {
                    revocation.partitions.iter().any(|revoked| revoked.partition == partition)
                });
                out.send(&self.routes.publish, PublishMessage::Revoked(revocation, done));
            }
            AlignMessage::Expect(moving) => {
                if moving.resize.to < moving.resize.from {
                    self.aligner.bound_all(&moving.bounds.share_of(moving.resize.to));
                }
                self.taking = Some(Taking::new(moving));
            }
            AlignMessage::HandOver(moving) => self.hand_over(moving, now, out),
            AlignMessage::Adopt { giver, streams, is_all } => self.adopt(giver, streams, is_all, now, out),
            AlignMessage::Leave => {
                telemetry::alignment(self.shard, 0, 0);
                Arbiter::current().stop();
            }
            AlignMessage::Stop(shards) => match &mut self.taking {
                Some(taking) => taking.stop(shards),
                None => self.stop(shards, out),
            },
            AlignMessage::End(shards) => {
                self.aligner.finish(self.known_until, &mut self.events);
                self.send_events(now, out);
                self.stop(shards, out);
            }
        }
    }

    fn tick(&mut self, now: Timestamp, waiting: u64, out: &mut Outbox<AlignMessage>) {
        // Pending messages bring their own time with them.
        if waiting == 0 || self.known_until == Timestamp::MIN {
            let at = self.clock.lock().at(now);
            self.advance_to(at);
            self.send_events(now, out);
        }
        self.give(now, out);
        let is_due = self.due().is_some_and(|due| due <= now);
        self.check_again = if is_due { now.after(CHECK_AGAIN) } else { Timestamp::MIN };
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        // A giver hands over its next streams at once, after the messages that arrived meanwhile.
        if self.giving.is_some() {
            return Some(Timestamp::MIN);
        }
        self.due().map(|due| due.max(self.check_again))
    }
}
