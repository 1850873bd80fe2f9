//! Results, from the complete job to the ledger.
//!
//! A complete job waits for the earlier jobs of its stream. The delivery guarantee sends its result. The sink reports each delivery,
//! and the guarantee decides whether the record has ended. Then the ledger learns the outcome of each sample. The guarantee takes the
//! offsets to commit from the ledger.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use lockstep_engine::fault::{Fault, Reason, StageKind};
use lockstep_engine::infer::job::Job;
use lockstep_engine::position::Position;
use lockstep_engine::publish::Settled;
use lockstep_engine::publish::sink::Delivery;
use lockstep_engine::sample::Sample;
use lockstep_engine::telemetry;
use lockstep_engine::time::Timestamp;

use super::Publish;
use super::pending::{Delivered, Outbound, is_ours};
use crate::message::PublishMessage;
use crate::stage_actor::Outbox;

impl Publish {
    /// Takes a job that has been through all steps, and completes it after all earlier jobs of its stream.
    pub(super) fn finished(&mut self, job: Arc<Job>, now: Timestamp) {
        let stream = job.bundle.stream.clone();
        for job in self.order.finish(&stream, job.id, job) {
            self.complete(job, now);
        }
    }

    fn complete(&mut self, job: Arc<Job>, now: Timestamp) {
        if !is_ours(&job, |partition, assignment| self.ledger.holds(partition, assignment)) {
            // The process that owns the partitions now reads the records again.
            return self.abandoned();
        }
        self.stream_state.note(&job);
        self.records.begin(&job);
        let failure = match job.failure() {
            Some(failure) => (failure.fault.clone(), failure.culprit),
            None => match self.records.result(&job) {
                Ok((record, timing)) => {
                    return self.guarantee.send(record, Outbound::Result { job, timing, sent_at: now });
                }
                Err(why) => (Fault::new(StageKind::Publish, Reason::ModelFailed, why), None),
            },
        };
        self.failed(&job, &failure.0, failure.1);
    }

    /// Handles what the sink has reported since the last call.
    pub(super) fn deliveries(&mut self, now: Timestamp, out: &mut Outbox<PublishMessage>) {
        let mut reports = std::mem::take(&mut self.reports);
        self.inbox.take(&mut reports);
        for Delivery { token, outcome } in reports.drain(..) {
            match outcome {
                Ok(()) => self.delivered.extend(self.guarantee.acknowledged(token, now)),
                Err(error) => self.refused(token, &error, now, out),
            }
        }
        self.reports = reports;
        let (guarantee, mut context) = self.guarantee();
        if let Err(why) = guarantee.after_reports(now, &mut context) {
            out.fail(why);
        }
        self.settle_delivered();
        // Partitions are released before the next transaction begins: its records must not include theirs.
        self.release_drained(now);
        self.send_waiting();
    }

    /// Sends waiting records as far as they are taken now.
    pub(super) fn send_waiting(&mut self) {
        for _ in 0..self.guarantee.send_waiting(&self.ledger) {
            self.abandoned();
        }
        if !self.guarantee.is_overfull() {
            self.held_credits.clear();
        }
    }

    /// Reports the records that have ended to the ledger.
    pub(super) fn settle_delivered(&mut self) {
        let mut delivered = std::mem::take(&mut self.delivered);
        for delivered in delivered.drain(..) {
            match delivered {
                Delivered::Result { job, timing, publish } => {
                    self.latencies.add(&timing, publish);
                    self.observer.published(&job, &timing, publish);
                    self.in_flight.fetch_sub(1, Ordering::Relaxed);
                    self.status.results.fetch_add(1, Ordering::Relaxed);
                    // A repeated result only marks the bundle as final: the first one decided the outcomes of its samples.
                    let repeated = job.bundle.is_repeated;
                    for sample in job.bundle.parts.iter().flat_map(|part| &part.samples) {
                        self.settle(sample, if repeated { Settled::Dropped } else { Settled::Published });
                    }
                }
                Delivered::Poison { job, fault } => self.failed(&job, &fault, None),
                Delivered::DeadLetter { position, assignment } => self.ledger.end(position, assignment),
                Delivered::State => {}
            }
        }
        self.delivered = delivered;
    }

    fn failed(&mut self, job: &Job, fault: &Fault, culprit: Option<Position>) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        let because = |sample: &Sample| match culprit {
            Some(culprit) if culprit != sample.position() => {
                let name = self.name(culprit);
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
            self.settle(&sample, Settled::Failed(sample.clone(), fault));
        }
    }

    /// Counts a bundle in flight that was abandoned.
    fn abandoned(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        telemetry::bundle_abandoned();
    }
}
