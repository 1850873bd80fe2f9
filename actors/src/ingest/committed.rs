//! The progress that a partition's last commit holds.

use lockstep_engine::completion::Progress;
use lockstep_engine::ingest::InputSpec;
use lockstep_engine::ingest::source::Assigned;

/// Returns the progress in the metadata of a partition's last commit: the records after the offset that have ended, and those
/// that are published.
pub(super) fn committed_progress(inputs: &[InputSpec], assigned: &Assigned) -> Progress {
    let Some(commit) = &assigned.committed else { return Progress::default() };
    Progress::decode(commit.next, &commit.metadata).unwrap_or_else(|error| {
        let id = assigned.partition;
        let topic = inputs.get(id.input.index()).map_or("?", |input| input.topic.as_str());
        tracing::warn!(
            topic,
            partition = id.partition,
            offset = commit.next.0,
            error = %error,
            "commit metadata ignored, some records may be processed twice"
        );
        Progress::default()
    })
}
