//! Reports the ends and the numbers of partitions, which the statistics of the client contain.

use lockstep_engine::ingest::source::{PartitionEnd, SourceEvent};
use lockstep_engine::position::PartitionId;

use super::{AssignedPartition, Poller};
use crate::statistics::ClientStatistics;

impl Poller {
    pub(super) fn report_ends(&mut self, statistics: &ClientStatistics) {
        let of = |partition: &AssignedPartition| {
            let end = statistics.end(&partition.topic, partition.id.partition, partition.next)?;
            Some((partition.id, end))
        };
        let ends: Vec<(PartitionId, PartitionEnd)> = self.partitions.iter().filter_map(of).collect();
        // The client knows nothing of a topic of which it reads no partition.
        let counts = self.join.topics.iter().map(|topic| statistics.partitions(topic));
        if let Some(counts) = counts.collect::<Option<Vec<i32>>>().filter(|counts| *counts != self.counts) {
            self.counts.clone_from(&counts);
            self.held.push_back(SourceEvent::Partitions(counts));
        }
        // Behind the held events, whose records count as read. Under load the pipeline may never take all of them at once, and the
        // lag matters most then. Only the latest ends matter.
        self.held.retain(|event| !matches!(event, SourceEvent::Ends(_)));
        if !ends.is_empty() {
            self.held.push_back(SourceEvent::Ends(ends));
        }
    }
}
