//! The membership under which a process owns its partitions: its member id, and the generation of its group.
//!
//! A transaction that commits offsets names both, and the broker refuses it after a newer generation. So a process that the group
//! has given up cannot commit offsets of partitions that another process owns. The transaction names the generation that assigned
//! the partitions, and never a later one.

use std::sync::Arc;

use parking_lot::Mutex;
use rdkafka::consumer::ConsumerGroupMetadata;

/// The membership of now. The source writes it and the sink reads it.
#[derive(Default)]
pub struct Membership(Mutex<MemberState>);

#[derive(Default)]
struct MemberState {
    member: Option<Arc<ConsumerGroupMetadata>>,
    is_over: bool,
}

impl Membership {
    /// Sets the member to which the group has assigned partitions.
    pub(super) fn joined(&self, member: Option<ConsumerGroupMetadata>) {
        let mut state = self.0.lock();
        if !state.is_over {
            state.member = member.map(Arc::new);
        }
    }

    /// Clears the member after it has released all partitions.
    pub(super) fn left(&self) {
        self.0.lock().member = None;
    }

    /// Ends the membership for good. The member has released partitions of which records are still in flight: a later commit would
    /// name the next generation.
    pub(super) fn end(&self) {
        *self.0.lock() = MemberState { member: None, is_over: true };
    }

    /// The member as which transactions commit offsets; none while it owns no partitions.
    pub(super) fn current(&self) -> Option<Arc<ConsumerGroupMetadata>> {
        self.0.lock().member.clone()
    }
}
