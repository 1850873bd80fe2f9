//! The adapter through which the source sends events to the ingest actor.

use lockstep_engine::ingest::source::{SourceEvent, SourceSink};

use crate::mailbox::{Mailbox, Refused};
use crate::message::IngestMessage;
use crate::preload::Preload;

/// The adapter through which the source sends events to the ingest actor.
pub struct Intake {
    /// The mailbox of the ingest actor.
    pub ingest: Mailbox<IngestMessage>,
    /// Asks for the models that the records will need.
    pub preload: Preload,
}

impl SourceSink for Intake {
    fn offer(&mut self, event: SourceEvent) -> Result<(), SourceEvent> {
        if let SourceEvent::Records { partition, .. } = &event {
            self.preload.read(partition.input);
        }
        match self.ingest.try_send(IngestMessage::Source(event)) {
            Err(Refused::Full(IngestMessage::Source(event))) => Err(event),
            // The ingest actor has ended, and the source is about to be stopped.
            _ => Ok(()),
        }
    }
}
