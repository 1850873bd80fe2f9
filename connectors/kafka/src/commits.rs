//! Commits as librdkafka's lists.

use std::panic::{AssertUnwindSafe, catch_unwind};

use lockstep_engine::position::Commit;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList, TopicPartitionListElem};

/// Makes the list of commits. `topics` are by input; the list leaves out a commit of an input without a topic.
pub(super) fn commit_list(
    topics: &[String],
    commits: impl IntoIterator<Item = Commit>,
) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for commit in commits {
        let Some(topic) = topics.get(commit.partition.input.index()) else { continue };
        let mut element = list.add_partition(topic, commit.partition.partition);
        // Only a negative offset is refused, and the offset of a record that was read is never negative.
        if element.set_offset(Offset::Offset(commit.next.0)).is_ok() {
            element.set_metadata(commit.metadata);
        }
    }
    list
}

/// The metadata of a commit; empty if it is not UTF-8, at which rdkafka panics.
pub(super) fn metadata(element: &TopicPartitionListElem<'_>) -> String {
    catch_unwind(AssertUnwindSafe(|| element.metadata().to_owned())).unwrap_or_default()
}
