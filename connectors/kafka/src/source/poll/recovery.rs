//! Detects a client that does not recover, so that the pipeline replaces it.
//!
//! librdkafka recovers from most failures. In trials, 2.16 recovered from all: a lost coordinator, a group deleted while the
//! process was frozen, brokers that moved. A client has not recovered if it was out of its group for long, and the brokers answer
//! another client of the same group.

use std::time::{Duration, Instant};

/// The time for a client to recover by itself.
pub(super) const RECOVERS_WITHIN: Duration = Duration::from_secs(60);
/// The limit for an answer to the other client.
pub(super) const ANSWERED_WITHIN: Duration = Duration::from_secs(10);

/// The time since which the client is out of its group.
#[derive(Debug, Default)]
pub(super) struct Recovery {
    out_since: Option<Instant>,
}

impl Recovery {
    /// Takes whether the client is in its group now, and returns true if another client is to ask. That happens once in
    /// [`RECOVERS_WITHIN`] while the client is out of its group.
    pub(super) fn look(&mut self, is_well: bool, now: Instant) -> bool {
        if is_well {
            self.out_since = None;
            return false;
        }
        let is_time = now.duration_since(*self.out_since.get_or_insert(now)) >= RECOVERS_WITHIN;
        if is_time {
            self.out_since = Some(now);
        }
        is_time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_client_asks_while_this_one_is_out_of_its_group() {
        let (mut recovery, start) = (Recovery::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(!recovery.look(true, at(0)));
        assert!(!recovery.look(false, at(1)) && !recovery.look(false, at(60)));
        assert!(!recovery.look(true, at(61)), "it has recovered");
        assert!(!recovery.look(false, at(62)));
        assert!(recovery.look(false, at(122)));
        assert!(!recovery.look(false, at(123)) && recovery.look(false, at(182)));
    }
}
