//! A question to the brokers, on a thread of its own: the poll thread must not wait, as partitions that stay are read
//! meanwhile.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};

use lockstep_engine::condition::Cause;

use crate::kafka::source::context::Wake;

/// What has been asked for and is not known yet.
pub(super) struct OffsetQuery<T>(Receiver<Result<T, Cause>>);

impl<T: Send + 'static> OffsetQuery<T> {
    /// Asks. The poll thread is woken by the answer.
    pub(super) fn start(
        thread: &str,
        wake: &Arc<Wake>,
        ask: impl FnOnce() -> Result<T, Cause> + Send + 'static,
    ) -> Self {
        let (answer, answered) = sync_channel(1);
        let (wake, asked) = (wake.clone(), answer.clone());
        let run = move || {
            let _nobody_waits = asked.try_send(ask());
            wake.wake();
        };
        if let Err(error) = std::thread::Builder::new().name(thread.into()).spawn(run) {
            let _nobody_waits = answer.try_send(Err(Cause::passing(format!("no thread: {error}"), "")));
        }
        Self(answered)
    }

    /// The answer, once, when it is there.
    pub(super) fn answer(&self) -> Option<Result<T, Cause>> {
        match self.0.try_recv() {
            Ok(answer) => Some(answer),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => {
                Some(Err(Cause::passing("the thread that asked has ended", "")))
            }
        }
    }
}
