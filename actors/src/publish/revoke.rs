//! Revocation: publish drains revoked partitions, if that does not take too long, and then releases them.

use std::sync::Arc;
use std::time::Duration;

use lockstep_engine::ingest::source::Acknowledge;
use lockstep_engine::time::Timestamp;

use super::Publish;
use super::draining::Draining;
use crate::message::Revocation;

impl Publish {
    /// Begins to drain the partitions once every shard has reported their revocation.
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
            // Lost partitions may belong to another process already, so draining them makes no sense.
            let within = if draining.revocation.lost { Duration::ZERO } else { self.revoke_within };
            draining.until = Some(draining.revocation.reported_at.after(within));
            draining.last_bundle = Some(self.order.mark());
        }
    }

    /// Releases partitions that are drained or whose deadline has passed. It does not wait for records of other partitions.
    pub(super) fn release_drained(&mut self, now: Timestamp) {
        for mut draining in std::mem::take(&mut self.draining) {
            if draining.last_sent.is_none()
                && draining.last_bundle.is_some_and(|mark| self.order.has_passed(mark))
            {
                if !self.outgoing.is_transactional() {
                    self.send_stream_state();
                }
                draining.last_sent = Some(self.outgoing.mark());
            }
            let is_settled = draining.last_sent.is_some_and(|mark| {
                let nothing_to_commit =
                    self.outgoing.is_empty() && !self.has_stream_state() && !self.ledger.has_moved();
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
                // The positions of these partitions can no longer be committed with the transaction's results.
                self.outgoing.doom("its partitions were revoked");
            }
            for (partition, assignment) in &draining.revocation.partitions {
                self.ledger.revoke(*partition, *assignment);
            }
            draining.acknowledge.clear();
        }
    }
}
