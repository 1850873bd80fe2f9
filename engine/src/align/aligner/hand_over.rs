//! Streams that go from one aligner to another, as they are.

use super::super::account::Amount;
use super::super::bounds::Bounds;
use super::super::held::Held;
use super::super::policy::AlignPolicy;
use super::super::stream::{NEVER, Stream};
use super::Aligner;
use crate::position::PartitionId;
use crate::sample::StreamKey;
use crate::time::Timestamp;

use std::sync::Arc;

/// All that an aligner knows of a stream, on its way to another: what it holds, how far its inputs have come, what was told
/// of bundles that are open, and when the clock has to be asked next.
#[derive(Debug)]
pub struct Handover<T> {
    stream: Box<Stream<T>>,
    /// What counts against bounds, if there are any.
    amount: Amount,
    /// The giver's clock.
    now: i64,
}

impl<T: Held + Clone> Handover<T> {
    /// Whose it is.
    pub fn stream(&self) -> &StreamKey {
        &self.stream.key
    }

    /// The partitions that its samples came from.
    pub fn partitions(&self) -> impl Iterator<Item = PartitionId> {
        self.stream.partitions()
    }

    /// How many samples are held of it.
    pub fn buffered(&self) -> usize {
        self.stream.held()
    }
}

/// The stream is known to the aligner that was to adopt it: its samples went to both.
#[derive(Debug, thiserror::Error)]
#[error("stream {} was handed over to a shard that has it already", .0.stream.key)]
pub struct NotAdopted<T>(pub Handover<T>);

impl<T: Held + Clone> Aligner<T> {
    /// Gives a stream away, if it knows it: to [`Self::adopt`] by another aligner with the same policy, its bounds over all
    /// streams excepted. Here it is as if it had never been heard of.
    pub fn hand_over(&mut self, stream: &StreamKey) -> Option<Handover<T>> {
        let slot = self.streams.find(stream)?;
        let now = self.now;
        let (stream, amount) = self.remove(slot)?;
        self.compact();
        Some(Handover { stream: Box::new(stream), amount, now })
    }

    /// Whether it knows a stream.
    pub fn knows(&self, stream: &StreamKey) -> bool {
        self.streams.find(stream).is_some()
    }

    /// The streams that it knows.
    pub fn keys(&self) -> impl Iterator<Item = &StreamKey> {
        self.streams.iter().map(|held| &held.key)
    }

    /// Goes on with a stream that another has handed over as if it had always been here. What was due there and not
    /// done is done with the next [`Self::tick`]. More may be held than [`Bounds`] allow, until the next
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

    /// From here on all its streams together are bound by these, as other aligners have the rest: see
    /// [`Bounds::share_of`]. The bounds of a stream stay as they are, and so does whether there are any over all.
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
