//! The source's way into the ingest actor.

use lockstep_engine::ingest::source::{SourceEvent, SourceSink};

use super::IngestMessage;
use crate::mailbox::{Mailbox, Refused};

/// The source's way into the ingest actor.
pub struct Intake(pub Mailbox<IngestMessage>);

impl SourceSink for Intake {
    fn offer(&mut self, event: SourceEvent) -> Result<(), SourceEvent> {
        match self.0.try_send(IngestMessage::Source(event)) {
            Err(Refused::Full(IngestMessage::Source(event))) => Err(event),
            // An ingest actor that is gone takes no more, and the source is about to be told to stop.
            _ => Ok(()),
        }
    }
}
