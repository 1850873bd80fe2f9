//! Partitions that go to another process: what is under way of them ends first, if that does not take too long.

use std::sync::Arc;
use std::time::Duration;

use lockstep_engine::ingest::source::Acknowledge;
use lockstep_engine::time::Timestamp;

use super::{Publish, PublishMessage, Revocation};
use crate::shell::Outbox;

/// Partitions that are being let go.
pub(super) struct Leaving {
    revocation: Arc<Revocation>,
    /// By every sync actor that has told of it; dropped once they are let go.
    acknowledge: Vec<Arc<Acknowledge>>,
    /// How long what is under way of them may take to end; none until all sync actors have told.
    pub(super) until: Option<Timestamp>,
}

impl Publish {
    pub(super) fn revoked(&mut self, revocation: Arc<Revocation>, acknowledge: Arc<Acknowledge>) {
        let place = match self.leaving.iter().position(|it| Arc::ptr_eq(&it.revocation, &revocation)) {
            Some(place) => place,
            None => {
                self.leaving.push(Leaving { revocation, acknowledge: Vec::new(), until: None });
                self.leaving.len() - 1
            }
        };
        let Some(leaving) = self.leaving.get_mut(place) else { return };
        leaving.acknowledge.push(acknowledge);
        if leaving.acknowledge.len() >= self.shards {
            // What others have taken over already is theirs: there is nothing to wait for.
            let within = if leaving.revocation.lost { Duration::ZERO } else { self.revoke_within };
            leaving.until = Some(leaving.revocation.told_at.after(within));
        }
    }

    /// Lets partitions go of which nothing is under way any more, or for which it takes too long.
    pub(super) fn let_go(&mut self, now: Timestamp, out: &mut Outbox<PublishMessage>) {
        if self.leaving.is_empty() {
            return;
        }
        if self.order.is_empty() && !self.outgoing.is_transactional() {
            self.send_carried(out);
        }
        let is_told = self.order.is_empty() && self.outgoing.is_told();
        for mut leaving in std::mem::take(&mut self.leaving) {
            let is_late = leaving.until.is_some_and(|until| now >= until);
            let is_settled = !self.outgoing.is_transactional()
                || (self.outgoing.is_empty() && !self.carries() && !self.ledger.has_moved());
            if !(is_late || leaving.until.is_some() && is_told && is_settled) {
                if leaving.until.is_some() && is_told {
                    self.outgoing.end_soon();
                }
                self.leaving.push(leaving);
                continue;
            }
            if self.outgoing.is_transactional() {
                if !is_settled {
                    // Its positions can no longer be committed with what was sent in it.
                    self.outgoing.doom("its partitions have been let go");
                }
            } else {
                self.commit();
            }
            for (partition, assignment) in &leaving.revocation.partitions {
                self.ledger.revoke(*partition, *assignment);
            }
            leaving.acknowledge.clear();
        }
    }
}
