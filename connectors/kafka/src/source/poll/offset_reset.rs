//! Offset reset after data loss: the broker has deleted records before the poll thread read them.

use std::sync::Arc;
use std::time::Instant;

use lockstep_engine::ingest::source::SourceEvent;
use lockstep_engine::position::{NextOffset, PartitionId};
use rdkafka::consumer::Consumer;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::Poller;
use super::offset_query::{AvailableOffsets, OffsetQuery};
use super::timing::{REQUEST, RETRY};
use crate::{diagnosis, watermarks};

impl Poller {
    /// Moves partitions whose next offset the broker does not have to the earliest offset that it has.
    pub(super) fn reset_offsets(&mut self) {
        let Some(query) = &self.available else { return self.query_available() };
        let Some(answer) = query.answer() else { return };
        self.available = None;
        match answer {
            Ok(found) => {
                self.conditions.begins();
                self.reset_to(found);
            }
            Err(error) => {
                self.look_again = Instant::now() + RETRY;
                self.conditions.cannot_begin(error);
            }
        }
    }

    fn query_available(&mut self) {
        if Instant::now() < self.look_again {
            return;
        }
        let lost: Vec<(PartitionId, Arc<str>)> =
            self.partitions.iter().filter(|p| p.out_of_range).map(|p| (p.id, p.topic.clone())).collect();
        if lost.is_empty() {
            return;
        }
        let consumer = self.consumer.clone();
        self.available = Some(OffsetQuery::start("kafka-offsets", &self.wake, move || {
            let partitions: Vec<(&str, i32)> =
                lost.iter().map(|(id, topic)| (&**topic, id.partition)).collect();
            let ranges = watermarks::ranges(&consumer, &partitions, REQUEST);
            let asking = "asking which offsets partitions have";
            let ranges = ranges.map_err(|error| diagnosis::of_error(asking, &error))?;
            Ok(lost.iter().map(|(id, _)| *id).zip(ranges).collect())
        }));
    }

    fn reset_to(&mut self, found: AvailableOffsets) {
        let mut any = false;
        for (id, range) in found {
            // The partition may have been revoked since the query, or revoked and assigned again.
            let lost = self.partitions.iter_mut().find(|p| p.id == id && p.out_of_range);
            let Some(partition) = lost else { continue };
            let next = partition.next;
            if range.end < next.0 {
                let why = format!(
                    "partition {} of {} ends at offset {}, but this group has read up to {}: the topic has been \
                     deleted and made again, or has lost its end. Take another group name (kafka.group), or \
                     reset the group's offsets with kafka-consumer-groups.sh",
                    id.partition, partition.topic, range.end, next.0
                );
                return self.fail(why);
            }
            let to = NextOffset(range.start.max(next.0));
            partition.next = to;
            partition.out_of_range = false;
            if to > next {
                self.held.push_back(SourceEvent::DataLoss { partition: id, from: next, to });
            }
            any = true;
        }
        if any {
            self.assign_again();
        }
    }

    /// Assigns all partitions again, each at its position. A seek would not do: librdkafka has stopped a partition that is out of
    /// range (`FETCH_NONE`), and refuses to seek there.
    pub(super) fn assign_again(&mut self) {
        let mut assignment = TopicPartitionList::with_capacity(self.partitions.len());
        for p in &self.partitions {
            let _added = assignment.add_partition_offset(&p.topic, p.id.partition, Offset::Offset(p.next.0));
        }
        let assigned = if self.is_incremental {
            let unassigned = self.consumer.incremental_unassign(&assignment);
            unassigned.and_then(|()| self.consumer.incremental_assign(&assignment))
        } else {
            self.consumer.assign(&assignment)
        };
        if let Err(error) = assigned {
            self.conditions.cannot_begin(diagnosis::of_error("reading on after data loss", &error));
        }
    }
}
