//! The poll thread's commits: takes the answer to the last one, and hands the next to the commit thread.

use std::time::Instant;

use lockstep_engine::condition::Cause;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::Poller;
use super::commits::{CommitFailure, failure};
use crate::commits::commit_list;
use crate::diagnosis;

/// Returns true if a rebalance is the cause of the failure.
fn is_of_a_rebalance(error: &KafkaError) -> bool {
    let code = error.rdkafka_error_code();
    failure(error) == CommitFailure::NotOurs
        || matches!(code, Some(RDKafkaErrorCode::RebalanceInProgress | RDKafkaErrorCode::StaleMemberEpoch))
}

/// The cause of a failed commit.
fn commit_cause(error: &KafkaError, group: &str) -> Cause {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::GroupAuthorizationFailed) => {
            diagnosis::lacks("READ", &format!("group {group}"))
        }
        _ => diagnosis::of_error("offsets cannot be committed", error),
    }
}

impl Poller {
    /// Takes the answer to the pending commit, and sends the next. Returns the error of an answered commit that failed.
    pub(super) fn commit(&mut self) -> Option<(CommitFailure, KafkaError)> {
        let now = Instant::now();
        let answer = self.notices.lock().committed.take();
        let failed = answer.and_then(|outcome| {
            let failure = self.commits.answered(outcome.as_ref().copied(), now);
            if outcome.is_ok() {
                self.conditions.commits();
            }
            Some((failure?, outcome.err()?))
        });
        if let Some((_, error)) = &failed {
            tracing::debug!(%error, "a commit failed");
            if !is_of_a_rebalance(error) {
                self.conditions.cannot_commit(commit_cause(error, &self.join.spec.group));
            }
        }
        // Another member commits the partitions that it owns now.
        if let Some(list) = self.commits.next(now, |id| self.owned.contains(id))
            && !self.committer.commit(commit_list(&self.join.topics, list))
        {
            self.fail("cannot commit offsets: the thread of commits has ended".into());
        }
        failed
    }
}
