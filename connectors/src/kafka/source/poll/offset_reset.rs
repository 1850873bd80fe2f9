//! What the broker deleted before it was read.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use lockstep_engine::ingest::source::SourceEvent;
use lockstep_engine::position::{NextOffset, PartitionId};
use rdkafka::consumer::Consumer;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::offset_query::OffsetQuery;
use super::{Poller, REQUEST, RETRY};
use crate::kafka::{diagnosis, watermarks};

/// Which offsets the broker has of partitions.
pub(super) type Left = Vec<(PartitionId, Range<i64>)>;

impl Poller {
    /// Partitions whose next offset the broker does not have go on at the earliest that it has.
    pub(super) fn find_what_is_left(&mut self) {
        let Some(lookup) = &self.left else { return self.ask_what_is_left() };
        let Some(answer) = lookup.answer() else { return };
        self.left = None;
        match answer {
            Ok(found) => {
                self.standing.begins();
                self.read_what_is_left(found);
            }
            Err(error) => {
                self.look_again = Instant::now() + RETRY;
                self.standing.cannot_begin(error);
            }
        }
    }

    fn ask_what_is_left(&mut self) {
        if Instant::now() < self.look_again {
            return;
        }
        let lost: Vec<(PartitionId, Arc<str>)> =
            self.partitions.iter().filter(|p| p.out_of_range).map(|p| (p.id, p.topic.clone())).collect();
        if lost.is_empty() {
            return;
        }
        let consumer = self.consumer.clone();
        self.left = Some(OffsetQuery::start("kafka-offsets", &self.wake, move || {
            let partitions: Vec<(&str, i32)> =
                lost.iter().map(|(id, topic)| (&**topic, id.partition)).collect();
            let ranges = watermarks::ranges(&consumer, &partitions, REQUEST);
            let asking = "asking which offsets partitions have";
            let ranges = ranges.map_err(|error| diagnosis::of_error(asking, &error))?;
            Ok(lost.iter().map(|(id, _)| *id).zip(ranges).collect())
        }));
    }

    fn read_what_is_left(&mut self, found: Left) {
        let mut any = false;
        for (id, range) in found {
            // It may have gone, or gone and come back, since it was asked about.
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

    /// Starts reading of all partitions again, each where it stands. A seek would not do: librdkafka has
    /// stopped a partition that is out of range (`FETCH_NONE`), and refuses to seek there.
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
            self.standing.cannot_begin(diagnosis::of_error("reading on after data loss", &error));
        }
    }
}
