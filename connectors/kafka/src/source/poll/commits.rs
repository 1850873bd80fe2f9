//! The offsets to commit, and the consequence of a commit that fails.
//!
//! A stream that ends or falls silent has no later offsets to make up for a failed commit. So a failed commit is repeated until
//! it succeeds, or until the partitions belong to another member.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use lockstep_engine::position::{Commit, PartitionId};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::timing::RETRY;

/// The time after which an unanswered commit is reported as a condition.
const ANSWERED_WITHIN: Duration = Duration::from_secs(3);

/// Offsets on their way to the brokers. One commit is pending at a time.
#[derive(Default)]
pub(super) struct Commits {
    waiting: BTreeMap<PartitionId, Commit>,
    /// The commit that has not been answered.
    pending: Option<BTreeMap<PartitionId, Commit>>,
    /// The time at which it was sent.
    sent_at: Option<Instant>,
    /// The time before which a failed commit is not repeated.
    not_before: Option<Instant>,
}

/// The consequence of a failed commit.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum CommitFailure {
    /// The commit is repeated.
    Passing,
    /// The partitions belong to another member, which reads the records again.
    NotOurs,
    /// A repeat would fail again.
    Lasting,
}

impl Commits {
    pub(super) fn add(&mut self, commits: impl IntoIterator<Item = (PartitionId, Commit)>) {
        self.waiting.extend(commits);
    }

    /// Returns the next commit, of the partitions for which `is_owned` is true.
    pub(super) fn next(
        &mut self,
        now: Instant,
        is_owned: impl Fn(&PartitionId) -> bool,
    ) -> Option<Vec<Commit>> {
        if self.pending.is_some() || self.not_before.is_some_and(|time| now < time) {
            return None;
        }
        self.not_before = None;
        self.waiting.retain(|id, _| is_owned(id));
        self.pending = Some(std::mem::take(&mut self.waiting)).filter(|pending| !pending.is_empty());
        self.sent_at = Some(now);
        self.pending.as_ref().map(|pending| pending.values().cloned().collect())
    }

    /// Returns true if the pending commit has been unanswered for long.
    pub(super) fn is_unanswered(&self, now: Instant) -> bool {
        let long_ago = |sent_at| now.duration_since(sent_at) >= ANSWERED_WITHIN;
        self.pending.is_some() && self.sent_at.is_some_and(long_ago)
    }

    /// Takes the answer to the pending commit.
    pub(super) fn answered(
        &mut self,
        outcome: Result<(), &KafkaError>,
        now: Instant,
    ) -> Option<CommitFailure> {
        let failed = self.pending.take().unwrap_or_default();
        let failure = failure(outcome.err()?);
        if failure == CommitFailure::Passing {
            for (id, commit) in failed {
                self.waiting.entry(id).or_insert(commit);
            }
            self.not_before = Some(now + RETRY);
        }
        Some(failure)
    }

    /// Drops the offsets of partitions that go to another member: they would be stale if the partitions came back.
    pub(super) fn forget(&mut self, gone: &[PartitionId]) {
        for commits in [Some(&mut self.waiting), self.pending.as_mut()].into_iter().flatten() {
            commits.retain(|id, _| !gone.contains(id));
        }
    }

    /// Returns true if no offset waits and no commit is pending.
    pub(super) fn is_done(&self) -> bool {
        self.waiting.is_empty() && self.pending.is_none()
    }
}

pub(super) fn failure(error: &KafkaError) -> CommitFailure {
    match error.rdkafka_error_code() {
        Some(
            RDKafkaErrorCode::IllegalGeneration
            | RDKafkaErrorCode::UnknownMemberId
            | RDKafkaErrorCode::AssignmentLost
            | RDKafkaErrorCode::FencedMemberEpoch
            | RDKafkaErrorCode::NoOffset,
        ) => CommitFailure::NotOurs,
        Some(
            RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::GroupAuthorizationFailed
            | RDKafkaErrorCode::OffsetMetadataTooLarge
            | RDKafkaErrorCode::InvalidCommitOffsetSize
            | RDKafkaErrorCode::FencedInstanceId
            | RDKafkaErrorCode::Fatal,
        ) => CommitFailure::Lasting,
        _ => CommitFailure::Passing,
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

    fn next_offsets(commits: &mut Commits, now: Instant) -> Vec<(i32, i64)> {
        let next = commits.next(now, |_| true).unwrap_or_default();
        next.iter().map(|commit| (commit.partition.partition, commit.next.0)).collect()
    }

    fn error(code: RDKafkaErrorCode) -> KafkaError {
        KafkaError::ConsumerCommit(code)
    }

    #[test]
    fn failed_commits_are_repeated_unless_there_are_later_ones() {
        let (mut commits, now) = (Commits::default(), Instant::now());
        commits.add([to(0, 5), to(1, 7)]);
        assert_eq!(next_offsets(&mut commits, now), [(0, 5), (1, 7)]);
        commits.add([to(1, 9)]);
        assert_eq!(next_offsets(&mut commits, now), [], "one at a time");
        let loading = error(RDKafkaErrorCode::CoordinatorLoadInProgress);
        assert_eq!(commits.answered(Err(&loading), now), Some(CommitFailure::Passing));
        assert!(!commits.is_done());
        assert_eq!(next_offsets(&mut commits, now), [], "not at once");
        let later = now + RETRY + Duration::from_millis(1);
        assert_eq!(next_offsets(&mut commits, later), [(0, 5), (1, 9)]);
        assert_eq!(commits.answered(Ok(()), later), None);
        assert!(commits.is_done());
    }

    #[test]
    fn commits_of_another_member_are_not_repeated() {
        let (mut commits, now) = (Commits::default(), Instant::now());
        commits.add([to(0, 5)]);
        assert_eq!(next_offsets(&mut commits, now), [(0, 5)]);
        let gone = error(RDKafkaErrorCode::UnknownMemberId);
        assert_eq!(commits.answered(Err(&gone), now), Some(CommitFailure::NotOurs));
        assert!(commits.is_done());
        commits.add([to(0, 5)]);
        assert_eq!(next_offsets(&mut commits, now), [(0, 5)]);
        let deleted = error(RDKafkaErrorCode::UnknownTopicOrPartition);
        assert_eq!(commits.answered(Err(&deleted), now), Some(CommitFailure::Lasting));
        assert!(commits.is_done(), "it would fail again");
        commits.add([to(0, 5)]);
        assert_eq!(next_offsets(&mut commits, now), [(0, 5)]);
        commits.forget(&[partition(0)]);
        assert!(!commits.is_done(), "the commit is still pending");
        let loading = error(RDKafkaErrorCode::CoordinatorLoadInProgress);
        assert_eq!(commits.answered(Err(&loading), now), Some(CommitFailure::Passing));
        assert!(commits.is_done(), "the partition has gone to another member");
        let now = now + RETRY + Duration::from_millis(1);
        commits.add([to(0, 6), to(1, 7)]);
        let next = commits.next(now, |id| *id == partition(1)).expect("one is left");
        assert_eq!(next.len(), 1);
        assert_eq!(next[0].partition, partition(1));
    }
}
