//! What is to be committed, and what becomes of a commit that did not succeed.
//!
//! Nothing may come after the last positions of a stream that ends or falls silent: they are committed again until they
//! are, unless they are no longer this member's to commit.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use lockstep_engine::condition::Cause;
use lockstep_engine::position::{Commit, PartitionId};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::{Poller, RETRY};
use crate::kafka::commits::commit_list;
use crate::kafka::diagnosis;

/// After so long without an answer a commit counts as one that cannot be made.
const ANSWERED_WITHIN: Duration = Duration::from_secs(3);

/// Positions on their way to the brokers. One request is under way at a time.
#[derive(Default)]
pub(super) struct Commits {
    waiting: BTreeMap<PartitionId, Commit>,
    /// What was asked for and has not been answered.
    under_way: Option<BTreeMap<PartitionId, Commit>>,
    /// When it was asked for.
    asked_at: Option<Instant>,
    /// When what has failed is tried again.
    not_before: Option<Instant>,
}

/// What a commit that did not succeed means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// It is made again.
    Passing,
    /// The positions are no longer this member's: whoever has the partitions now reads them again.
    NotOurs,
    /// It would fail again.
    Lasting,
}

impl Commits {
    pub(super) fn add(&mut self, commits: impl IntoIterator<Item = (PartitionId, Commit)>) {
        self.waiting.extend(commits);
    }

    /// What to ask for now, of the partitions of which `is_owned` says that they are this member's.
    fn next(&mut self, now: Instant, is_owned: impl Fn(&PartitionId) -> bool) -> Option<Vec<Commit>> {
        if self.under_way.is_some() || self.not_before.is_some_and(|time| now < time) {
            return None;
        }
        self.not_before = None;
        self.waiting.retain(|id, _| is_owned(id));
        self.under_way = Some(std::mem::take(&mut self.waiting)).filter(|asked| !asked.is_empty());
        self.asked_at = Some(now);
        self.under_way.as_ref().map(|asked| asked.values().cloned().collect())
    }

    /// Whether what was asked for has not been answered for long.
    pub(super) fn is_unanswered(&self, now: Instant) -> bool {
        let long_ago = |asked_at| now.duration_since(asked_at) >= ANSWERED_WITHIN;
        self.under_way.is_some() && self.asked_at.is_some_and(long_ago)
    }

    /// Takes the answer to what was asked for.
    fn answered(&mut self, outcome: Result<(), &KafkaError>, now: Instant) -> Option<Failure> {
        let asked = self.under_way.take().unwrap_or_default();
        let failure = failure(outcome.err()?);
        if failure == Failure::Passing {
            for (id, commit) in asked {
                self.waiting.entry(id).or_insert(commit);
            }
            self.not_before = Some(now + RETRY);
        }
        Some(failure)
    }

    /// What waits of partitions that go to another member would be of before when they come back.
    pub(super) fn forget(&mut self, gone: &[PartitionId]) {
        for commits in [Some(&mut self.waiting), self.under_way.as_mut()].into_iter().flatten() {
            commits.retain(|id, _| !gone.contains(id));
        }
    }

    /// Whether nothing waits and nothing is under way.
    pub(super) fn is_done(&self) -> bool {
        self.waiting.is_empty() && self.under_way.is_none()
    }
}

fn failure(error: &KafkaError) -> Failure {
    match error.rdkafka_error_code() {
        Some(
            RDKafkaErrorCode::IllegalGeneration
            | RDKafkaErrorCode::UnknownMemberId
            | RDKafkaErrorCode::AssignmentLost
            | RDKafkaErrorCode::FencedMemberEpoch
            | RDKafkaErrorCode::NoOffset,
        ) => Failure::NotOurs,
        Some(
            RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::GroupAuthorizationFailed
            | RDKafkaErrorCode::OffsetMetadataTooLarge
            | RDKafkaErrorCode::InvalidCommitOffsetSize
            | RDKafkaErrorCode::FencedInstanceId
            | RDKafkaErrorCode::Fatal,
        ) => Failure::Lasting,
        _ => Failure::Passing,
    }
}

/// Whether a commit that fails so is part of how a group changes.
fn is_of_a_rebalance(error: &KafkaError) -> bool {
    let code = error.rdkafka_error_code();
    failure(error) == Failure::NotOurs
        || matches!(code, Some(RDKafkaErrorCode::RebalanceInProgress | RDKafkaErrorCode::StaleMemberEpoch))
}

/// Why positions cannot be committed.
fn commit_cause(error: &KafkaError, group: &str) -> Cause {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::GroupAuthorizationFailed) => {
            diagnosis::lacks("READ", &format!("group {group}"))
        }
        _ => diagnosis::of_error("positions cannot be committed", error),
    }
}

impl Poller {
    /// Hears of the commit under way, and makes the next if there is one to make. Says why the one that was answered
    /// did not succeed.
    pub(super) fn commit(&mut self) -> Option<(Failure, KafkaError)> {
        let now = Instant::now();
        let answer = self.notices.lock().committed.take();
        let failed = answer.and_then(|outcome| {
            let failure = self.commits.answered(outcome.as_ref().copied(), now);
            if outcome.is_ok() {
                self.standing.commits();
            }
            Some((failure?, outcome.err()?))
        });
        if let Some((_, error)) = &failed {
            tracing::debug!(%error, "a commit did not succeed");
            if !is_of_a_rebalance(error) {
                self.standing.cannot_commit(commit_cause(error, &self.join.spec.group));
            }
        }
        // A partition that has gone to another member is that member's to commit.
        if let Some(list) = self.commits.next(now, |id| self.owned.contains(id))
            && !self.committer.commit(commit_list(&self.join.topics, list))
        {
            self.fail("cannot commit positions: the thread of commits has ended".into());
        }
        failed
    }
}

#[cfg(test)]
mod tests {
    use lockstep_engine::position::{InputId, NextOffset};

    use super::*;

    fn partition(number: i32) -> PartitionId {
        PartitionId { input: InputId(0), partition: number }
    }

    fn to(number: i32, next: i64) -> (PartitionId, Commit) {
        let partition = partition(number);
        (partition, Commit { partition, next: NextOffset(next), metadata: String::new() })
    }

    fn asked(commits: &mut Commits, now: Instant) -> Vec<(i32, i64)> {
        let next = commits.next(now, |_| true).unwrap_or_default();
        next.iter().map(|commit| (commit.partition.partition, commit.next.0)).collect()
    }

    fn error(code: RDKafkaErrorCode) -> KafkaError {
        KafkaError::ConsumerCommit(code)
    }

    #[test]
    fn positions_that_could_not_be_committed_are_committed_again_unless_there_are_later_ones() {
        let (mut commits, now) = (Commits::default(), Instant::now());
        commits.add([to(0, 5), to(1, 7)]);
        assert_eq!(asked(&mut commits, now), [(0, 5), (1, 7)]);
        commits.add([to(1, 9)]);
        assert_eq!(asked(&mut commits, now), [], "one at a time");
        let loading = error(RDKafkaErrorCode::CoordinatorLoadInProgress);
        assert_eq!(commits.answered(Err(&loading), now), Some(Failure::Passing));
        assert!(!commits.is_done());
        assert_eq!(asked(&mut commits, now), [], "not at once");
        let later = now + RETRY + Duration::from_millis(1);
        assert_eq!(asked(&mut commits, later), [(0, 5), (1, 9)]);
        assert_eq!(commits.answered(Ok(()), later), None);
        assert!(commits.is_done());
    }

    #[test]
    fn what_another_member_has_now_is_not_committed_again() {
        let (mut commits, now) = (Commits::default(), Instant::now());
        commits.add([to(0, 5)]);
        assert_eq!(asked(&mut commits, now), [(0, 5)]);
        let gone = error(RDKafkaErrorCode::UnknownMemberId);
        assert_eq!(commits.answered(Err(&gone), now), Some(Failure::NotOurs));
        assert!(commits.is_done());
        commits.add([to(0, 5)]);
        assert_eq!(asked(&mut commits, now), [(0, 5)]);
        let deleted = error(RDKafkaErrorCode::UnknownTopicOrPartition);
        assert_eq!(commits.answered(Err(&deleted), now), Some(Failure::Lasting));
        assert!(commits.is_done(), "it would fail again");
        commits.add([to(0, 5)]);
        assert_eq!(asked(&mut commits, now), [(0, 5)]);
        commits.forget(&[partition(0)]);
        assert!(!commits.is_done(), "it is to be answered");
        let loading = error(RDKafkaErrorCode::CoordinatorLoadInProgress);
        assert_eq!(commits.answered(Err(&loading), now), Some(Failure::Passing));
        assert!(commits.is_done(), "it has gone to another meanwhile");
        let now = now + RETRY + Duration::from_millis(1);
        commits.add([to(0, 6), to(1, 7)]);
        let next = commits.next(now, |id| *id == partition(1)).expect("one is left");
        assert_eq!(next.len(), 1);
        assert_eq!(next[0].partition, partition(1));
    }
}
