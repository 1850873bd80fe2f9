//! Messages to the ingest stage.

use lockstep_engine::ingest::source::SourceEvent;

/// A message to the ingest stage.
pub enum IngestMessage {
    /// An event of the source.
    Source(SourceEvent),
    /// The end of the input: ingest passes it on to all shards.
    Stop,
}
