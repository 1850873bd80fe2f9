//! The outcomes of samples outside of results, and of all samples once the ledger has decided them.

use std::sync::Arc;

use lockstep_engine::fault::Fault;
use lockstep_engine::ingest::wire;
use lockstep_engine::position::Position;
use lockstep_engine::publish::side_output::{Keeps, LeftOut};
use lockstep_engine::publish::{RecordOutcome, Settled};
use lockstep_engine::sample::Sample;
use lockstep_engine::telemetry;
use lockstep_engine::telemetry::samples::DropReason;

use super::Publish;
use super::dead_letter::DeadLetter;
use super::pending::{Dead, Outbound};
use crate::input_name::input_name;
use crate::message::{
    AdmittedBundle, Aligned, EvictedSample, FailedBundle, FaultySample, LateSample, ReleasedRecord,
    ShedReport, Unread,
};

impl Publish {
    fn topic(&self, position: Position) -> String {
        self.inputs.get(position.input().index()).map_or_else(String::new, |input| input.topic.clone())
    }

    pub(super) fn name(&self, position: Position) -> &str {
        input_name(&self.inputs, position.input())
    }

    pub(super) fn aligned(&mut self, aligned: Aligned) {
        for AdmittedBundle { stream, id } in aligned.admitted {
            self.order.admit(stream, id);
        }
        for bundle in aligned.dropped {
            for sample in bundle.parts.iter().flat_map(|part| &part.samples) {
                self.settle(sample, Settled::Dropped);
            }
        }
        for FailedBundle { bundle, fault } in aligned.failed {
            for sample in bundle.parts.iter().flat_map(|part| &part.samples) {
                self.settle(sample, Settled::Failed(sample.clone(), fault.clone()));
            }
        }
        for LateSample { sample, by_ns } in aligned.late {
            let position = sample.position();
            if self.is_published(position, sample.assignment) {
                continue;
            }
            telemetry::late(self.name(position));
            self.left_out_log.late(position.input(), by_ns);
            self.observer.late(position.input());
            self.left_out(&sample, LeftOut::Late(by_ns));
        }
        for EvictedSample { sample, bound, used } in aligned.evicted {
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
        for FaultySample { sample, fault } in aligned.outliers {
            self.at_fault(DeadLetter::Sample(sample), fault);
        }
        for sample in aligned.duplicates {
            if !self.is_published(sample.position(), sample.assignment) {
                self.drop_sample(sample.position(), DropReason::Duplicate);
                self.left_out_log.duplicate(sample.input());
                self.ledger.end(sample.position(), sample.assignment);
            }
        }
        for ReleasedRecord { position, assignment, used } in aligned.released {
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
                Some(ShedReport { sample, age_ns }) => self.left_out(&sample, LeftOut::Shed(why, age_ns)),
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
        if !self.records.keeps_late() {
            return self.ledger.end(position, sample.assignment);
        }
        let (topic, keeps) = (self.topic(position), Keeps::All);
        let record = self.records.left_out(sample, &topic, why, keeps);
        self.guarantee.send(record, Outbound::LeftOut { sample: sample.clone(), topic, why, keeps });
    }

    fn drop_sample(&mut self, position: Position, reason: DropReason) {
        self.drops.add(position.input().index(), reason);
        self.observer.dropped(position.input(), reason.as_str());
    }

    pub(super) fn settle(&mut self, sample: &Sample, how: Settled<Arc<Sample>>) {
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
        self.send_dead(Dead { dead_letter, topic, fault, keeps: Keeps::All });
    }

    pub(super) fn send_dead(&mut self, dead: Dead) {
        self.guarantee.send(self.records.dead(&dead), Outbound::Dead(Box::new(dead)));
    }
}
