//! Where partitions end, and how many there are: what the client has heard of both anyway.

use lockstep_engine::ingest::source::{End, SourceEvent};
use lockstep_engine::position::PartitionId;

use super::Poller;
use crate::kafka::statistics::Statistics;

impl Poller {
    pub(super) fn tell_ends(&mut self, statistics: &Statistics) {
        let of = |partition: &super::Partition| {
            let end = statistics.end(&partition.topic, partition.id.partition, partition.next)?;
            Some((partition.id, end))
        };
        let ends: Vec<(PartitionId, End)> = self.partitions.iter().filter_map(of).collect();
        // Of a topic that none of its partitions is read of here the client knows nothing.
        let counts = self.join.topics.iter().map(|topic| statistics.partitions(topic));
        if let Some(counts) = counts.collect::<Option<Vec<i32>>>().filter(|counts| *counts != self.counts) {
            self.counts.clone_from(&counts);
            self.held.push_back(SourceEvent::Partitions(counts));
        }
        // Behind what is held, since that is counted as read. Under load there may never be room at once, and it is
        // then that the lag matters; but only the latest does.
        self.held.retain(|event| !matches!(event, SourceEvent::Ends(_)));
        if !ends.is_empty() {
            self.held.push_back(SourceEvent::Ends(ends));
        }
    }
}
