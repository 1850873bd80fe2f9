//! Queries to the brokers on a thread of their own: the poll thread must not wait, because it goes on reading partitions meanwhile.

use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};

use lockstep_engine::condition::Cause;
use lockstep_engine::position::PartitionId;

use crate::source::context::Wake;

/// The offsets that the broker has of partitions.
pub(super) type AvailableOffsets = Vec<(PartitionId, Range<i64>)>;

/// A query that may not be answered yet.
pub(super) struct OffsetQuery<T>(Receiver<Result<T, Cause>>);

impl<T: Send + 'static> OffsetQuery<T> {
    /// Sends the query. Its answer wakes the poll thread.
    pub(super) fn start(
        thread: &str,
        wake: &Arc<Wake>,
        ask: impl FnOnce() -> Result<T, Cause> + Send + 'static,
    ) -> Self {
        let (answer, receiver) = sync_channel(1);
        let (wake, answered) = (wake.clone(), answer.clone());
        let run = move || {
            let _abandoned = answered.try_send(ask());
            wake.wake();
        };
        if let Err(error) = std::thread::Builder::new().name(thread.into()).spawn(run) {
            let _abandoned = answer.try_send(Err(Cause::passing(format!("no thread: {error}"), "")));
        }
        Self(receiver)
    }

    /// Takes the answer if it has arrived.
    pub(super) fn answer(&self) -> Option<Result<T, Cause>> {
        match self.0.try_recv() {
            Ok(answer) => Some(answer),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => {
                Some(Err(Cause::passing("the thread of the query has ended", "")))
            }
        }
    }
}
