//! The adapter through which the source sends events to the ingest actor.

use lockstep_engine::ingest::source::{SourceEvent, SourceSink};

use crate::mailbox::{Mailbox, Refused};
use crate::message::IngestMessage;

/// The adapter through which the source sends events to the ingest actor.
pub struct Intake(pub Mailbox<IngestMessage>);

impl SourceSink for Intake {
    fn offer(&mut self, event: SourceEvent) -> Result<(), SourceEvent> {
        match self.0.try_send(IngestMessage::Source(event)) {
            Err(Refused::Full(IngestMessage::Source(event))) => Err(event),
            // The ingest actor has ended, and the source is about to be stopped.
            _ => Ok(()),
        }
    }
}
