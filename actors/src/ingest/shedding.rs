//! Samples that are put aside unread: how they end, and what is still told of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use lockstep_engine::ingest::InputSpec;
use lockstep_engine::ingest::shed::{Shed, Shedder};
use lockstep_engine::position::PartitionId;
use lockstep_engine::sample::{Sample, StreamKey};
use lockstep_engine::time::Timestamp;

use super::{IngestMessage, Shards};
use crate::mailbox::Mailbox;
use crate::publish::{PublishMessage, Unread};
use crate::stage_actor::Outbox;

/// What is shed of each partition that is ours, of inputs that shed at all.
#[derive(Default)]
pub(super) struct Shedding(BTreeMap<PartitionId, Shedder>);

impl Shedding {
    /// A partition of an input is ours.
    pub(super) fn assign(&mut self, partition: PartitionId, input: Option<&InputSpec>) {
        if let Some(policy) = input.and_then(|input| input.shed.as_ref()) {
            self.0.insert(partition, Shedder::new(policy.rule.clone()));
        }
    }

    /// A partition is no longer ours.
    pub(super) fn revoke(&mut self, partition: PartitionId) {
        self.0.remove(&partition);
    }

    /// So many records of a partition are still to be read.
    pub(super) fn lag(&mut self, partition: PartitionId, records: i64) {
        if let Some(shedder) = self.0.get_mut(&partition) {
            shedder.lag(records);
        }
    }

    /// Whether a sample that arrives now, in wall time, is shed.
    pub(super) fn decide(&mut self, partition: PartitionId, sample: &Sample, now: Timestamp) -> Option<Shed> {
        self.0.get_mut(&partition)?.decide(&sample.stream, sample.event_time, now)
    }
}

/// What was put aside of records that came together.
#[derive(Default)]
pub(super) struct Aside {
    ended: Vec<Unread>,
    /// By stream the latest, unless one that is kept came after it.
    latest: BTreeMap<StreamKey, Arc<Sample>>,
}

impl Aside {
    /// Puts a sample aside. It has ended by that, or goes to the topic of late samples, with its age.
    pub(super) fn put(&mut self, sample: Sample, why: Shed, input: &InputSpec, now: Timestamp) {
        let sample = Arc::new(sample);
        let is_reported = input.shed.as_ref().is_some_and(|policy| policy.report);
        let age = u64::try_from(now.nanos_since(sample.event_time)).unwrap_or(0);
        self.ended.push(Unread {
            position: sample.position(),
            assignment: sample.assignment,
            why,
            report: is_reported.then(|| (sample.clone(), age)),
        });
        let latest = self.latest.entry(sample.stream.clone()).or_insert_with(|| sample.clone());
        if latest.event_time <= sample.event_time {
            *latest = sample;
        }
    }

    /// A sample is kept, which tells more of its stream than those before it that were not.
    pub(super) fn kept(&mut self, sample: &Sample) {
        if self.latest.get(&sample.stream).is_some_and(|shed| shed.event_time <= sample.event_time) {
            self.latest.remove(&sample.stream);
        }
    }

    /// Tells how they ended, and the sync actors how far their streams have come: nobody waits for what was shed. After
    /// those that were kept, or they would be late.
    pub(super) fn tell(
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
