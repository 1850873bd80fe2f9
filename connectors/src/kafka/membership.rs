//! As which member, of which generation of its group, a process holds its partitions.
//!
//! A transaction that commits positions names both, and the broker refuses it when the group has moved on: a process
//! that was thought dead cannot commit what another has taken over. So what is named is the generation
//! that gave the partitions, and never a later one.

use std::sync::Arc;

use parking_lot::Mutex;
use rdkafka::consumer::ConsumerGroupMetadata;

/// Told by the source, asked by the sink.
#[derive(Default)]
pub struct Membership(Mutex<State>);

#[derive(Default)]
struct State {
    member: Option<Arc<ConsumerGroupMetadata>>,
    is_over: bool,
}

impl Membership {
    /// Partitions have been given to this member.
    pub(super) fn joined(&self, member: Option<ConsumerGroupMetadata>) {
        let mut state = self.0.lock();
        if !state.is_over {
            state.member = member.map(Arc::new);
        }
    }

    /// They have been let go.
    pub(super) fn left(&self) {
        self.0.lock().member = None;
    }

    /// They have been let go before all that is under way of them was given up: nothing may be committed any more, or it
    /// would be in the name of what is held next.
    pub(super) fn end(&self) {
        *self.0.lock() = State { member: None, is_over: true };
    }

    /// As whom positions are to be committed; nobody while no partitions are held.
    pub(super) fn current(&self) -> Option<Arc<ConsumerGroupMetadata>> {
        self.0.lock().member.clone()
    }
}
