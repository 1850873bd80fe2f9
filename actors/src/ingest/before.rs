//! What was done before a partition came here.

use lockstep_engine::completion::Progress;
use lockstep_engine::ingest::InputSpec;
use lockstep_engine::ingest::source::Assigned;

/// What the last commit of a partition says of records that are read again: which have ended, and which are
/// published.
pub(super) fn known_before(inputs: &[InputSpec], assigned: &Assigned) -> Progress {
    let Some(commit) = &assigned.committed else { return Progress::default() };
    Progress::decode(commit.next, &commit.metadata).unwrap_or_else(|error| {
        let id = assigned.partition;
        let topic = inputs.get(id.input.index()).map_or("?", |input| input.topic.as_str());
        tracing::warn!(
            topic,
            partition = id.partition,
            offset = commit.next.0,
            "the metadata of the committed position is ignored, so some records may be processed twice: {error}"
        );
        Progress::default()
    })
}
