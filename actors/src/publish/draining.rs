//! Partitions that go to another process: what is under way of them ends first, if that does not take too long.

use std::sync::Arc;
use std::time::Duration;

use lockstep_engine::ingest::source::Acknowledge;
use lockstep_engine::time::Timestamp;

use super::outgoing::Mark;
use super::{Publish, Revocation};

/// Partitions that are being let go.
pub(super) struct Draining {
    revocation: Arc<Revocation>,
    /// By every sync actor that has told of it; dropped once they are let go.
    acknowledge: Vec<Arc<Acknowledge>>,
    /// How long what is under way of them may take to end; none until all sync actors have told.
    pub(super) until: Option<Timestamp>,
    /// Behind the last bundle of them, since all sync actors have told.
    last_bundle: Option<u64>,
    /// Behind the last of what is sent for them, since all those bundles have gone.
    last_sent: Option<Mark>,
}

impl Publish {
    pub(super) fn revoked(&mut self, revocation: Arc<Revocation>, acknowledge: Arc<Acknowledge>) {
        let place = match self.draining.iter().position(|it| Arc::ptr_eq(&it.revocation, &revocation)) {
            Some(place) => place,
            None => {
                self.draining.push(Draining {
                    revocation,
                    acknowledge: Vec::new(),
                    until: None,
                    last_bundle: None,
                    last_sent: None,
                });
                self.draining.len() - 1
            }
        };
        let Some(draining) = self.draining.get_mut(place) else { return };
        draining.acknowledge.push(acknowledge);
        if draining.acknowledge.len() >= draining.revocation.shards {
            // What others have taken over already is theirs: there is nothing to wait for.
            let within = if draining.revocation.lost { Duration::ZERO } else { self.revoke_within };
            draining.until = Some(draining.revocation.told_at.after(within));
            draining.last_bundle = Some(self.order.mark());
        }
    }

    /// Lets partitions go of which nothing is under way any more, or for which it takes too long. What comes of other
    /// partitions meanwhile is not waited for.
    pub(super) fn let_go(&mut self, now: Timestamp) {
        for mut draining in std::mem::take(&mut self.draining) {
            if draining.last_sent.is_none()
                && draining.last_bundle.is_some_and(|mark| self.order.has_passed(mark))
            {
                if !self.outgoing.is_transactional() {
                    self.send_carried();
                }
                draining.last_sent = Some(self.outgoing.mark());
            }
            let is_settled = draining.last_sent.is_some_and(|mark| {
                let nothing_to_commit =
                    self.outgoing.is_empty() && !self.carries() && !self.ledger.has_moved();
                self.outgoing.has_passed(mark) || self.outgoing.is_transactional() && nothing_to_commit
            });
            let is_late = draining.until.is_some_and(|until| now >= until);
            if !is_settled && !is_late {
                if draining.last_sent.is_some() {
                    self.outgoing.end_soon();
                }
                self.draining.push(draining);
                continue;
            }
            if !self.outgoing.is_transactional() {
                self.commit();
            } else if !is_settled {
                // Its positions can no longer be committed with what was sent in it.
                self.outgoing.doom("its partitions have been let go");
            }
            for (partition, assignment) in &draining.revocation.partitions {
                self.ledger.revoke(*partition, *assignment);
            }
            draining.acknowledge.clear();
        }
    }
}
