//! Samples that ingest sheds: their outcomes, and the event times that the shards still receive.

use std::collections::BTreeMap;
use std::sync::Arc;

use lockstep_engine::ingest::InputSpec;
use lockstep_engine::ingest::shed::{Shed, Shedder};
use lockstep_engine::position::PartitionId;
use lockstep_engine::sample::{Sample, StreamKey};
use lockstep_engine::time::Timestamp;

use super::shards::Shards;
use crate::mailbox::Mailbox;
use crate::message::{IngestMessage, PublishMessage, ShedReport, Unread};
use crate::stage_actor::Outbox;

/// The shedders of assigned partitions, for inputs that shed.
#[derive(Default)]
pub(super) struct Shedding(BTreeMap<PartitionId, Shedder>);

impl Shedding {
    /// Adds an assigned partition.
    pub(super) fn assign(&mut self, partition: PartitionId, input: Option<&InputSpec>) {
        if let Some(policy) = input.and_then(|input| input.shed.as_ref()) {
            self.0.insert(partition, Shedder::new(policy.rule.clone()));
        }
    }

    /// Removes a revoked partition.
    pub(super) fn revoke(&mut self, partition: PartitionId) {
        self.0.remove(&partition);
    }

    /// Sets the number of records that are still to be read.
    pub(super) fn lag(&mut self, partition: PartitionId, records: i64) {
        if let Some(shedder) = self.0.get_mut(&partition) {
            shedder.lag(records);
        }
    }

    /// Decides on a sample that arrives now, in wall time. Returns the rule that sheds it.
    pub(super) fn decide(&mut self, partition: PartitionId, sample: &Sample, now: Timestamp) -> Option<Shed> {
        self.0.get_mut(&partition)?.decide(&sample.stream, sample.event_time, now)
    }
}

/// The samples that were shed of one chunk of records.
#[derive(Default)]
pub(super) struct ShedSamples {
    ended: Vec<Unread>,
    /// The latest shed sample of each stream, unless a kept one followed.
    latest: BTreeMap<StreamKey, Arc<Sample>>,
}

impl ShedSamples {
    /// Adds a shed sample. It ends at once, or goes to the topic of late samples with its age.
    pub(super) fn put(&mut self, sample: Sample, why: Shed, input: &InputSpec, now: Timestamp) {
        let sample = Arc::new(sample);
        let is_reported = input.shed.as_ref().is_some_and(|policy| policy.report);
        let age_ns = u64::try_from(now.nanos_since(sample.event_time)).unwrap_or(0);
        self.ended.push(Unread {
            position: sample.position(),
            assignment: sample.assignment,
            why,
            report: is_reported.then(|| ShedReport { sample: sample.clone(), age_ns }),
        });
        let latest = self.latest.entry(sample.stream.clone()).or_insert_with(|| sample.clone());
        if latest.event_time <= sample.event_time {
            *latest = sample;
        }
    }

    /// Notes a kept sample. It shows more of its stream's progress than shed samples before it.
    pub(super) fn kept(&mut self, sample: &Sample) {
        if self.latest.get(&sample.stream).is_some_and(|shed| shed.event_time <= sample.event_time) {
            self.latest.remove(&sample.stream);
        }
    }

    /// Sends the outcomes to publish and the streams' progress to the shards, so that no bundle waits for a shed sample. It must
    /// follow the kept samples, or those would be late.
    pub(super) fn send(
        self,
        at: Timestamp,
        publish: &Mailbox<PublishMessage>,
        shards: &Shards,
        out: &mut Outbox<IngestMessage>,
    ) {
        if self.ended.is_empty() {
            return;
        }
        out.send(publish, PublishMessage::Shed(self.ended));
        shards.send(at, self.latest.into_values(), true, out);
    }
}
