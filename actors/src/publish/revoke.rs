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
            let are_bundles_sent = draining.last_bundle.is_some_and(|mark| self.order.has_passed(mark));
            let is_stuck = self.is_stuck;
            let (guarantee, mut context) = self.guarantee();
            if draining.last_sent.is_none() && are_bundles_sent {
                draining.last_sent = Some(guarantee.mark(&mut context));
            }
            let is_drained =
                draining.last_sent.is_some_and(|mark| guarantee.drain(mark, &context)) && !is_stuck;
            let is_late = draining.until.is_some_and(|until| now >= until);
            if !is_drained && !is_late {
                self.draining.push(draining);
                continue;
            }
            guarantee.release(is_drained, &mut context);
            for revoked in &draining.revocation.partitions {
                self.ledger.revoke(revoked.partition, revoked.assignment);
            }
            draining.acknowledge.clear();
        }
    }
}
