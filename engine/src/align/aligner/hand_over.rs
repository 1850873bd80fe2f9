//! The hand-over of streams, unchanged, from one aligner to another.

use super::super::account::Amount;
use super::super::bounds::Bounds;
use super::super::held::Held;
use super::super::policy::AlignPolicy;
use super::super::stream::Stream;
use super::super::view::NEVER;
use super::Aligner;
use crate::position::PartitionId;
use crate::sample::StreamKey;
use crate::time::Timestamp;

use std::sync::Arc;

/// The whole state of a stream, on its way to another aligner: its samples, the clocks of its inputs, the open bundles with
/// their revisions, and the next deadline.
#[derive(Debug)]
pub struct Handover<T> {
    stream: Box<Stream<T>>,
    /// The amount that counts against bounds, if there are any.
    amount: Amount,
    /// The clock of the aligner that gives it away.
    now: i64,
}

impl<T: Held + Clone> Handover<T> {
    /// The key of the stream.
    pub fn stream(&self) -> &StreamKey {
        &self.stream.key
    }

    /// The partitions that its samples came from.
    pub fn partitions(&self) -> impl Iterator<Item = PartitionId> {
        self.stream.partitions()
    }

    /// The number of its samples that are held.
    pub fn buffered(&self) -> usize {
        self.stream.held()
    }
}

/// The aligner that was to adopt the stream knows it already: its samples went to both.
#[derive(Debug, thiserror::Error)]
#[error("stream {}: handed over to a shard that has it already", .0.stream.key)]
pub struct NotAdopted<T>(pub Handover<T>);

impl<T: Held + Clone> Aligner<T> {
    /// Gives a stream away, if it is known: another aligner [adopts](Self::adopt) it. Its policy must be the same, except
    /// for the bounds over all streams. This aligner forgets the stream.
    pub fn hand_over(&mut self, stream: &StreamKey) -> Option<Handover<T>> {
        let slot = self.streams.find(stream)?;
        let now = self.now;
        let (stream, amount) = self.remove(slot)?;
        self.compact();
        Some(Handover { stream: Box::new(stream), amount, now })
    }

    /// Returns true if a stream is known.
    pub fn knows(&self, stream: &StreamKey) -> bool {
        self.streams.find(stream).is_some()
    }

    /// The known streams.
    pub fn keys(&self) -> impl Iterator<Item = &StreamKey> {
        self.streams.iter().map(|held| &held.key)
    }

    /// Takes over a stream that another aligner has handed over, as if it had always been here. The next [`Self::tick`]
    /// catches up on its deadlines. More may be held than [`Bounds`] allow, until the next
    /// [`push`](Self::push).
    ///
    /// # Errors
    /// The stream, if it is known here already.
    pub fn adopt(&mut self, handover: Handover<T>) -> Result<(), NotAdopted<T>> {
        if self.knows(handover.stream()) {
            return Err(NotAdopted(handover));
        }
        let Handover { stream, amount, now } = handover;
        self.advance_clock(Timestamp::from_nanos(now));
        for (latest, of_stream) in self.latest.iter_mut().zip(stream.latest()) {
            *latest = (*latest).max(of_stream);
        }
        self.buffered += stream.held();
        let deadline = stream.scheduled;
        let slot = self.streams.insert(*stream);
        if let Some(account) = &mut self.account {
            account.adopt(slot, amount);
        }
        if deadline < NEVER {
            self.schedule(slot, deadline);
        }
        Ok(())
    }

    /// Sets the bounds of all its streams together, after other aligners have taken or given up a share: see
    /// [`Bounds::share_of`]. The bounds of a single stream do not change. Bounds over all are neither added nor removed.
    pub fn bound_all(&mut self, bounds: &Bounds) {
        if let Some(account) = &mut self.account {
            account.bound_all(bounds);
        }
        let bounds = Bounds { items: bounds.items, bytes: bounds.bytes, ..self.policy.bounds };
        self.policy = Arc::new(AlignPolicy { bounds, ..(*self.policy).clone() });
    }
}

#[cfg(test)]
#[path = "hand_over_tests.rs"]
mod tests;
