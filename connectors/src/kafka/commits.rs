//! Commits in librdkafka's form.

use std::panic::{AssertUnwindSafe, catch_unwind};

use lockstep_engine::position::Commit;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList, TopicPartitionListElem};

/// The list of some commits. `topics` are by input; a commit of an input without one is left out.
pub(super) fn commit_list(
    topics: &[String],
    commits: impl IntoIterator<Item = Commit>,
) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for commit in commits {
        let Some(topic) = topics.get(commit.partition.input.index()) else { continue };
        let mut element = list.add_partition(topic, commit.partition.partition);
        // Offsets are of records that were read, so none is negative, which is all that is refused here.
        if element.set_offset(Offset::Offset(commit.next.0)).is_ok() {
            element.set_metadata(commit.metadata);
        }
    }
    list
}

/// What a commit carries beside the offset; nothing if that is no text, over which rdkafka panics.
pub(super) fn metadata(element: &TopicPartitionListElem<'_>) -> String {
    catch_unwind(AssertUnwindSafe(|| element.metadata().to_owned())).unwrap_or_default()
}
