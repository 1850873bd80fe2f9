//! Stream state for the changelog. The log notes the state as bundles end; publish sends the latest of each stream before it
//! commits positions.

use std::sync::Arc;

use lockstep_engine::infer::changelog::{StoredState, key};
use lockstep_engine::infer::job::{Job, StepOutcome};
use lockstep_engine::infer::step::Step;
use lockstep_engine::infer::unit::UnitId;
use lockstep_engine::position::PartitionId;
use lockstep_engine::publish::sink::OutRecord;
use lockstep_engine::sample::StreamKey;
use lockstep_engine::tensor::Tensor;
use rustc_hash::FxHashMap;

use super::pending::Outbound;

/// Stream state that has not been sent.
pub(super) struct StreamStateLog {
    topic: Arc<str>,
    /// The units of the stateful steps: the places of the steps, their keys, and their outputs that are state.
    units: Vec<(usize, UnitId, Vec<usize>)>,
    /// The latest state by place in `units` and stream.
    noted: FxHashMap<(usize, StreamKey), Noted>,
}

struct Noted {
    carried: StoredState,
    partition: PartitionId,
    assignment: u32,
}

impl StreamStateLog {
    /// Creates a log for the stateful steps. Without a topic it notes nothing.
    pub(super) fn new(topic: Option<Arc<str>>, steps: &[Step]) -> Self {
        let outputs = |step: &Step| -> Vec<usize> {
            step.unit.model.signature.state_pairs().into_iter().map(|(_, output)| output).collect()
        };
        let Some(topic) = topic else {
            return Self { topic: "".into(), units: Vec::new(), noted: FxHashMap::default() };
        };
        let steps = steps.iter().enumerate().filter(|(_, step)| step.is_stateful());
        let units = steps.map(|(index, step)| (index, step.unit_id(), outputs(step))).collect();
        Self { topic, units, noted: FxHashMap::default() }
    }

    /// Creates a log with the state of one stream.
    #[cfg(test)]
    pub(super) fn with_state(topic: Arc<str>, partition: PartitionId, assignment: u32) -> Self {
        let carried = StoredState { event_time: lockstep_engine::time::Timestamp::MIN, rows: Vec::new() };
        let noted = [((0, "stream".into()), Noted { carried, partition, assignment })];
        Self { topic, units: Vec::new(), noted: noted.into_iter().collect() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.noted.is_empty()
    }

    /// Notes the state after a bundle that has been through all steps, after all earlier bundles of its stream.
    pub(super) fn note(&mut self, job: &Job) {
        let bundle = &job.bundle;
        let Some(sample) = bundle.parts.iter().flat_map(|part| &part.samples).next() else { return };
        for (place, (step, _, outputs)) in self.units.iter().enumerate() {
            let Some(StepOutcome::Done { output, .. }) = job.at(*step).map(|report| &report.outcome) else {
                continue;
            };
            let rows: Option<Vec<Tensor>> = outputs.iter().map(|place| output.get(*place).cloned()).collect();
            let Some(rows) = rows else { continue };
            let noted = Noted {
                carried: StoredState { event_time: bundle.event_time, rows },
                partition: sample.position().partition,
                assignment: sample.assignment,
            };
            self.noted.insert((place, bundle.stream.clone()), noted);
        }
    }

    /// Takes the state to send, of partitions that this process still owns.
    pub(super) fn take(&mut self, holds: impl Fn(PartitionId, u32) -> bool) -> Vec<(OutRecord, Outbound)> {
        let noted = std::mem::take(&mut self.noted).into_iter();
        let ours = noted.filter(|(_, noted)| holds(noted.partition, noted.assignment));
        let outbound = ours.map(|((place, stream), Noted { carried, partition, assignment })| {
            let unit = self.units.get(place).map(|(_, unit, _)| unit);
            let record = OutRecord {
                topic: self.topic.clone(),
                // The partition's next owner looks here, whichever partitioner placed the stream.
                partition: Some(partition.partition),
                key: unit.map(|unit| key(unit, &stream)),
                payload: carried.encode(),
                headers: Vec::new(),
                // The time of sending and not the event time: the broker deletes by this timestamp.
                timestamp: None,
            };
            (record, Outbound::State { partition, assignment })
        });
        outbound.collect()
    }
}
