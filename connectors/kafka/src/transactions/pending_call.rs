//! The call about a transaction that has not returned yet, and a watchdog over calls that never return.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lockstep_engine::publish::sink::Ended;
use parking_lot::Mutex;

/// The limit that librdkafka is given for one call. The thread repeats a call that reaches it.
pub(super) const CALL: Duration = Duration::from_secs(5);

/// A call that has not returned after this time counts as stuck, though it is limited to [`CALL`]. librdkafka has been seen to
/// exceed that limit by as much again.
const STUCK: Duration = Duration::from_secs(20);

pub(super) type OnEnded = Box<dyn FnOnce(Ended) + Send>;

/// The call that the transaction thread makes, as the watchdog sees it.
#[derive(Default)]
pub(super) struct PendingCall {
    /// The start of a call that has not returned.
    pub(super) since: Option<Instant>,
    /// Takes the outcome of the transaction.
    pub(super) on_ended: Option<OnEnded>,
}

/// Watches for a call that never returns, until the transactions are closed or a stuck call is found.
pub(super) fn watch(call: &Mutex<PendingCall>, closed: &AtomicBool) {
    while !closed.load(Ordering::Relaxed) {
        std::thread::park_timeout(Duration::from_millis(500));
        if fail_if_stuck(call) {
            return;
        }
    }
}

/// Reports a stuck call as failed, and returns true if there was one.
fn fail_if_stuck(call: &Mutex<PendingCall>) -> bool {
    let mut pending = call.lock();
    if pending.since.is_none_or(|since| since.elapsed() < STUCK) {
        return false;
    }
    let Some(on_ended) = pending.on_ended.take() else { return false };
    drop(pending);
    let seconds = STUCK.as_secs();
    on_ended(Ended::Failed(format!(
        "librdkafka has not returned from a call about a transaction for {seconds} s"
    )));
    true
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::sync::mpsc::sync_channel;

    use super::*;

    /// The outcome that the watchdog reports of a call that began this long ago.
    fn outcome_of(call: Option<Duration>) -> Option<Ended> {
        let (sender, outcome) = sync_channel(1);
        let pending = PendingCall {
            since: call.and_then(|ago| Instant::now().checked_sub(ago)),
            on_ended: Some(Box::new(move |ended| sender.send(ended).unwrap())),
        };
        fail_if_stuck(&Mutex::new(pending));
        outcome.try_recv().ok()
    }

    #[test]
    fn watchdog_fails_a_call_that_does_not_return() {
        assert!(matches!(outcome_of(Some(STUCK)), Some(Ended::Failed(_))));
        assert!(outcome_of(Some(CALL)).is_none() && outcome_of(None).is_none());
    }
}
