//! The outcomes of samples, which shards, models and the broker report and the ledger records.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use lockstep_engine::fault::{Fault, Reason, StageKind};
use lockstep_engine::infer::job::Job;
use lockstep_engine::ingest::wire;
use lockstep_engine::position::Position;
use lockstep_engine::publish::side_output::LeftOut;
use lockstep_engine::publish::{RecordOutcome, Settled};
use lockstep_engine::sample::Sample;
use lockstep_engine::telemetry;
use lockstep_engine::telemetry::samples::DropReason;
use lockstep_engine::time::Timestamp;

use super::Publish;
use super::dead_letter::DeadLetter;
use super::pending::{Delivered, is_ours};
use crate::input_name::input_name;
use crate::message::{Aligned, Unread};

impl Publish {
    fn topic(&self, position: Position) -> String {
        self.inputs.get(position.input().index()).map_or_else(String::new, |input| input.topic.clone())
    }

    fn name(&self, position: Position) -> &str {
        input_name(&self.inputs, position.input())
    }

    pub(super) fn aligned(&mut self, aligned: Aligned) {
        for (stream, id) in aligned.admitted {
            self.order.admit(stream, id);
        }
        for bundle in aligned.dropped {
            for sample in bundle.parts.iter().flat_map(|part| &part.samples) {
                self.settle(sample, Settled::Dropped);
            }
        }
        for (bundle, fault) in aligned.failed {
            for sample in bundle.parts.iter().flat_map(|part| &part.samples) {
                self.settle(sample, Settled::Failed(sample.clone(), fault.clone()));
            }
        }
        for (sample, by_ns) in aligned.late {
            let position = sample.position();
            if self.is_published(position, sample.assignment) {
                continue;
            }
            telemetry::late(self.name(position));
            self.left_out_log.late(position.input(), by_ns);
            self.observer.late(position.input());
            self.left_out(&sample, LeftOut::Late(by_ns));
        }
        for (sample, bound, used) in aligned.evicted {
            let position = sample.position();
            telemetry::evicted(self.name(position), bound);
            self.left_out_log.evicted(position.input(), bound);
            if used > 0 {
                // Its bundles decide when it has ended.
                let verdict = self.ledger.release(position, sample.assignment, used);
                self.verdict(position, verdict);
            } else if !self.is_published(position, sample.assignment) {
                self.observer.dropped(position.input(), wire::EVICTED);
                self.left_out(&sample, LeftOut::Evicted(bound));
            }
        }
        for (sample, fault) in aligned.outliers {
            self.at_fault(DeadLetter::Sample(sample), fault);
        }
        for sample in aligned.duplicates {
            if !self.is_published(sample.position(), sample.assignment) {
                self.drop_sample(sample.position(), DropReason::Duplicate);
                self.left_out_log.duplicate(sample.input());
                self.ledger.end(sample.position(), sample.assignment);
            }
        }
        for (position, assignment, used) in aligned.released {
            let verdict = self.ledger.release(position, assignment, used);
            self.verdict(position, verdict);
        }
    }

    /// Ends samples that ingest shed. Samples to report end once their record in the late topic is acknowledged.
    pub(super) fn shed(&mut self, unread: Vec<Unread>) {
        for Unread { position, assignment, why, report } in unread {
            if self.is_published(position, assignment) {
                continue;
            }
            telemetry::shed(self.name(position), why);
            self.observer.dropped(position.input(), why.as_str());
            match report {
                Some((sample, age_ns)) => self.left_out(&sample, LeftOut::Shed(why, age_ns)),
                None => self.ledger.end(position, assignment),
            }
        }
    }

    /// Returns true if a record outside of all bundles is in a published result, which can be after a restart. The record ends
    /// then without a further outcome.
    fn is_published(&mut self, position: Position, assignment: u32) -> bool {
        let is_published = self.ledger.end_if_published(position, assignment);
        if is_published {
            self.observer.used(position.input());
        }
        is_published
    }

    /// Dead-letters a record that is faulty by itself.
    pub(super) fn at_fault(&mut self, dead_letter: DeadLetter, fault: Fault) {
        if !self.is_published(dead_letter.record().position, dead_letter.assignment()) {
            self.dead_letter(dead_letter, fault);
        }
    }

    /// Sends a sample that is in no bundle to the late topic; without such a topic the sample ends.
    fn left_out(&mut self, sample: &Arc<Sample>, why: LeftOut) {
        let position = sample.position();
        let topic = self.topic(position);
        if !self.outgoing.left_out(sample.clone(), topic, why) {
            self.ledger.end(position, sample.assignment);
        }
    }

    fn drop_sample(&mut self, position: Position, reason: DropReason) {
        self.drops.add(position.input().index(), reason);
        self.observer.dropped(position.input(), reason.as_str());
    }

    fn settle(&mut self, sample: &Sample, how: Settled<Arc<Sample>>) {
        let verdict = self.ledger.settle(sample.position(), sample.assignment, how);
        self.verdict(sample.position(), verdict);
    }

    fn verdict(&mut self, position: Position, verdict: Option<RecordOutcome<Arc<Sample>>>) {
        match verdict {
            None => {}
            Some(RecordOutcome::Published) => self.observer.used(position.input()),
            Some(RecordOutcome::Dropped { used }) => {
                let reason = if used { DropReason::BundleDropped } else { DropReason::Unused };
                self.drop_sample(position, reason);
            }
            Some(RecordOutcome::DeadLetter(sample, fault)) => {
                self.dead_letter(DeadLetter::Sample(sample), fault);
            }
        }
    }

    fn dead_letter(&mut self, dead_letter: DeadLetter, fault: Fault) {
        let position = dead_letter.record().position;
        telemetry::dead_lettered(fault.stage, fault.reason);
        self.observer.dead_lettered(position.input(), &fault);
        let topic = self.topic(position);
        tracing::warn!(topic, %position, %fault, "dead letter");
        self.outgoing.dead_letter(dead_letter, topic, fault);
    }

    /// Counts a bundle in flight that was abandoned.
    pub(super) fn abandoned(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        telemetry::bundle_abandoned();
    }

    /// Completes a job that has been through all steps, after all earlier jobs of its stream.
    pub(super) fn complete(&mut self, job: Arc<Job>, now: Timestamp) {
        if !is_ours(&job, |partition, assignment| self.ledger.holds(partition, assignment)) {
            // The process that owns the partitions now reads the records again.
            return self.abandoned();
        }
        if let Some(stream_state) = &mut self.stream_state {
            stream_state.note(&job);
        }
        let failure = match job.failure() {
            Some(failure) => (failure.fault.clone(), failure.culprit),
            None => match self.maker.make(&job) {
                Ok((record, timing)) => {
                    self.outgoing.result(job, record, timing, now);
                    return;
                }
                Err(why) => (Fault::new(StageKind::Publish, Reason::ModelFailed, why), None),
            },
        };
        self.failed(&job, &failure.0, failure.1);
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

    pub(super) fn ended(&mut self, ended: &mut Vec<Delivered>) {
        for ended in ended.drain(..) {
            match ended {
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
    }
}
