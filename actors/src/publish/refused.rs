//! Records that the broker refuses for good.

use lockstep_engine::fault::{Fault, Reason, StageKind};
use lockstep_engine::pipeline::OnUndeliverable;
use lockstep_engine::position::Position;
use lockstep_engine::publish::side_output::Keeps;
use lockstep_engine::publish::sink::{DeliveryError, Refusal};
use lockstep_engine::telemetry;
use lockstep_engine::time::Timestamp;

use super::Publish;
use super::pending::{Dead, Delivered, Outbound, Pending};
use crate::message::PublishMessage;
use crate::stage_actor::Outbox;

impl Publish {
    /// Handles a failed delivery. The guarantee sends the record again where that can succeed.
    pub(super) fn refused(
        &mut self,
        number: u64,
        error: &DeliveryError,
        now: Timestamp,
        out: &mut Outbox<PublishMessage>,
    ) {
        telemetry::delivery_failed();
        let Some(pending) = self.guarantee.refused(number, error, now) else { return };
        if error.refusal == Refusal::Fatal {
            // The record has not ended and its offset is not committed: the next pipeline reads it again.
            self.is_stuck = true;
            return out.fail(format!("the Kafka producer has failed for good: {}", error.message));
        }
        self.poison(pending, &error.message, out);
    }

    /// Handles a record that the broker will never accept as it is.
    fn poison(&mut self, Pending { what, record }: Pending, why: &str, out: &mut Outbox<PublishMessage>) {
        match what {
            Outbound::Result { job, .. } => {
                let message = format!("the broker refuses the result: {why}");
                let fault = Fault::new(StageKind::Publish, Reason::ResultRefused, message);
                self.delivered.push(Delivered::Poison { job, fault });
            }
            Outbound::Dead(dead) => {
                let (to, position) = (self.records.dead_letters(), dead.dead_letter.record().position);
                match dead.keeps.less() {
                    Some(keeps) => {
                        warn_reduced(to, &dead.topic, position, keeps, why);
                        self.send_dead(Dead { keeps, ..*dead });
                    }
                    None => {
                        let assignment = dead.dead_letter.assignment();
                        self.undeliverable(&to.clone(), (&dead.topic, position, assignment), why, out);
                    }
                }
            }
            Outbound::LeftOut { sample, topic, why: left_out, keeps } => {
                let to = self.records.late();
                let (position, assignment) = (sample.position(), sample.assignment);
                match keeps.less() {
                    Some(keeps) => {
                        warn_reduced(to, &topic, position, keeps, why);
                        let record = self.records.left_out(&sample, &topic, left_out, keeps);
                        let what = Outbound::LeftOut { sample, topic, why: left_out, keeps };
                        self.guarantee.send(record, what);
                    }
                    None => self.undeliverable(&to.clone(), (&topic, position, assignment), why, out),
                }
            }
            Outbound::State { .. } => {
                let key =
                    record.as_ref().and_then(|record| record.key.as_deref()).map(String::from_utf8_lossy);
                tracing::error!(
                    ?key,
                    error = why,
                    "stream state refused, the stream begins anew after a restart"
                );
                self.delivered.push(Delivered::State);
            }
            // Its delivery was reported, so only a new pipeline that reads it again can correct the outcome.
            Outbound::Reported { .. } => {
                out.fail(format!("the broker refuses a record that it accepted before: {why}"));
            }
        }
    }

    /// Handles a record that not even a stub can replace. It ends only if `delivery.on_undeliverable` permits the loss.
    fn undeliverable(
        &mut self,
        to: &str,
        (topic, position, assignment): (&str, Position, u32),
        why: &str,
        out: &mut Outbox<PublishMessage>,
    ) {
        match self.on_undeliverable {
            OnUndeliverable::Drop => {
                telemetry::delivery::undeliverable(to);
                tracing::error!(to, topic, %position, why, "record dropped, the topic takes not even a stub");
                self.delivered.push(Delivered::DeadLetter { position, assignment });
            }
            OnUndeliverable::Stop => {
                self.is_stuck = true;
                out.end(format!(
                    "the topic {to} takes not even a stub of {topic} {position}: {why}; nothing is committed past that record. \
                     Mend the topic (max.message.bytes, cleanup.policy), or write delivery.on_undeliverable = \"drop\" to \
                     lose such records"
                ));
            }
        }
    }
}

fn warn_reduced(to: &str, topic: &str, position: Position, keeps: Keeps, why: &str) {
    let keeps = if keeps == Keeps::Stub { "stub" } else { "no-value" };
    tracing::warn!(to, topic, %position, keeps, why, "record refused, sending less of it");
}
