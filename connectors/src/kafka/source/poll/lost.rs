//! What the broker deleted before it was read.

use std::time::Instant;

use lockstep_engine::ingest::source::SourceEvent;
use lockstep_engine::position::NextOffset;
use rdkafka::consumer::Consumer;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::{Poller, REQUEST, RETRY};

impl Poller {
    /// Partitions whose next offset the broker does not have go on at the earliest that it has.
    pub(super) fn find_what_is_left(&mut self) {
        if Instant::now() < self.look_again {
            return;
        }
        let lost: Vec<usize> =
            self.partitions.iter().enumerate().filter(|(_, p)| p.out_of_range).map(|(i, _)| i).collect();
        let mut found = false;
        for index in lost {
            let Some((topic, id, next)) = self.partitions.get(index).map(|p| (p.topic.clone(), p.id, p.next))
            else {
                continue;
            };
            let (low, high) = match self.consumer.fetch_watermarks(&topic, id.partition, REQUEST) {
                Ok(marks) => marks,
                Err(error) => {
                    self.look_again = Instant::now() + RETRY;
                    self.trouble(&format!("asking for the offsets of {topic}: {error}"));
                    continue;
                }
            };
            if high < next.0 {
                self.stopped = true;
                self.held.push_back(SourceEvent::Failed(format!(
                    "partition {} of {topic} ends at offset {high}, but this group has read up to {}: the topic \
                     has been deleted and made again, or has lost its end. Take another group name \
                     (kafka.group), or reset the group's offsets with kafka-consumer-groups.sh",
                    id.partition, next.0
                )));
                return;
            }
            let to = NextOffset(low.max(next.0));
            if to > next {
                self.held.push_back(SourceEvent::DataLoss { partition: id, from: next, to });
            }
            if let Some(partition) = self.partitions.get_mut(index) {
                partition.next = to;
                partition.out_of_range = false;
            }
            found = true;
        }
        if found {
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
            self.trouble(&format!("reading on after data loss: {error}"));
        }
    }
}
