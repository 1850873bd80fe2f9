//! What streams carry on, noted as their bundles end, and sent to the changelog before positions are committed: of each
//! stream only the latest.

use std::sync::Arc;

use lockstep_engine::infer::changelog::{Carried, key};
use lockstep_engine::infer::job::{Job, Outcome};
use lockstep_engine::infer::step::Step;
use lockstep_engine::position::PartitionId;
use lockstep_engine::publish::sink::OutRecord;
use lockstep_engine::sample::StreamKey;
use lockstep_engine::tensor::Tensor;
use rustc_hash::FxHashMap;

use super::pending::Outbound;

/// What has not been sent.
pub(super) struct StreamStateLog {
    topic: Arc<str>,
    /// Of the steps that carry something: their places, their names, and the outputs that are carried.
    steps: Vec<(usize, String, Vec<usize>)>,
    /// By the place in `steps` and the stream.
    noted: FxHashMap<(usize, StreamKey), Noted>,
}

struct Noted {
    carried: Carried,
    partition: PartitionId,
    assignment: u32,
}

impl StreamStateLog {
    pub(super) fn new(topic: Arc<str>, steps: &[Step]) -> Self {
        let outputs = |step: &Step| -> Vec<usize> {
            step.model.signature.state_pairs().into_iter().map(|(_, output)| output).collect()
        };
        let steps = steps.iter().enumerate().filter(|(_, step)| step.is_stateful());
        let steps = steps.map(|(index, step)| (index, step.name.clone(), outputs(step))).collect();
        Self { topic, steps, noted: FxHashMap::default() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.noted.is_empty()
    }

    /// A bundle has been through all steps, and all before it in its stream have.
    pub(super) fn note(&mut self, job: &Job) {
        let bundle = &job.bundle;
        let Some(sample) = bundle.parts.iter().flat_map(|part| &part.samples).next() else { return };
        for (place, (step, _, outputs)) in self.steps.iter().enumerate() {
            let Some(Outcome::Done { output, .. }) = job.at(*step).map(|report| &report.outcome) else {
                continue;
            };
            let rows: Option<Vec<Tensor>> = outputs.iter().map(|place| output.get(*place).cloned()).collect();
            let Some(rows) = rows else { continue };
            let noted = Noted {
                carried: Carried { event_time: bundle.event_time, rows },
                partition: sample.position().partition,
                assignment: sample.assignment,
            };
            self.noted.insert((place, bundle.stream.clone()), noted);
        }
    }

    /// What is to be sent now, of partitions that are still ours.
    pub(super) fn take(&mut self, holds: impl Fn(PartitionId, u32) -> bool) -> Vec<(OutRecord, Outbound)> {
        let noted = std::mem::take(&mut self.noted).into_iter();
        let ours = noted.filter(|(_, noted)| holds(noted.partition, noted.assignment));
        let outbound = ours.map(|((place, stream), Noted { carried, partition, assignment })| {
            let step = self.steps.get(place).map_or("", |(_, name, _)| name);
            let record = OutRecord {
                topic: self.topic.clone(),
                // Where those who take the partition over look for it, whoever chose the stream's partition.
                partition: Some(partition.partition),
                key: Some(key(step, &stream)),
                payload: carried.encode(),
                headers: Vec::new(),
                // Now, and not when it happened: what is old by that is deleted.
                timestamp: None,
            };
            (record, Outbound::Carried { partition, assignment })
        });
        outbound.collect()
    }
}
