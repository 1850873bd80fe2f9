//! Records that the broker refused.

use lockstep_engine::fault::{Fault, Reason, StageKind};
use lockstep_engine::pipeline::OnUndeliverable;
use lockstep_engine::position::Position;
use lockstep_engine::publish::side_output::{self, Keeps};
use lockstep_engine::publish::sink::{DeliveryError, Refusal};
use lockstep_engine::telemetry;
use lockstep_engine::time::Timestamp;

use super::{AGAIN_AFTER, Outgoing};
use crate::message::PublishMessage;
use crate::publish::pending::{Dead, Delivered, Outbound, Pending};
use crate::stage_actor::Outbox;

impl Outgoing {
    pub(super) fn undelivered(
        &mut self,
        number: u64,
        pending: Pending,
        error: &DeliveryError,
        now: Timestamp,
        ended: &mut Vec<Delivered>,
        out: &mut Outbox<PublishMessage>,
    ) {
        let is_poison = matches!(error.refusal, Refusal::Poison | Refusal::Unsent);
        if let Some(transaction_buffer) = &mut self.transaction_buffer
            && error.refusal != Refusal::Unsent
        {
            transaction_buffer.transaction.doom(&error.message);
            if is_poison {
                // The next transaction goes without this record.
                transaction_buffer.transaction.has_progressed();
            }
        }
        match error.refusal {
            Refusal::Poison | Refusal::Unsent if matches!(pending.what, Outbound::Reported { .. }) => {
                // Its delivery was reported, so only a new pipeline that reads it again can correct the outcome.
                out.fail(format!("the broker refuses a record that it accepted before: {}", error.message));
            }
            Refusal::Poison | Refusal::Unsent => ended.extend(self.poison(pending, error, out)),
            Refusal::Batch if self.transaction_buffer.is_none() => {
                tracing::debug!(error = error.message, "batch refused, sending its records again");
                self.in_turn.push((number, pending));
            }
            // The record has not ended and its position is not committed: the next pipeline reads it again.
            Refusal::Fatal => {
                out.fail(format!("the Kafka producer has failed for good: {}", error.message));
                self.refused.push(pending);
            }
            Refusal::Passing | Refusal::Batch => match &mut self.transaction_buffer {
                Some(transaction_buffer) => {
                    tracing::debug!(error = error.message, "record of a transaction not delivered");
                    transaction_buffer.keep(number, pending);
                }
                None => {
                    // The sink has already reported the refusal as a condition.
                    tracing::debug!(error = error.message, "record refused, sending it again");
                    self.refused.push(pending);
                    self.again_at.get_or_insert(now.after(AGAIN_AFTER));
                }
            },
        }
    }

    /// Handles a record that the broker will never accept as it is.
    fn poison(
        &mut self,
        Pending { what, record }: Pending,
        error: &DeliveryError,
        out: &mut Outbox<PublishMessage>,
    ) -> Option<Delivered> {
        let why = &error.message;
        match what {
            Outbound::Result { job, .. } => {
                let message = format!("the broker refuses the result: {why}");
                let fault = Fault::new(StageKind::Publish, Reason::ResultRefused, message);
                Some(Delivered::Poison { job, fault })
            }
            Outbound::Dead(dead) => {
                let position = dead.dead_letter.record().position;
                match dead.keeps.less() {
                    Some(keeps) => {
                        warn_reduced(&self.dead_letters, &dead.topic, position, keeps, why);
                        self.send_dead(Dead { keeps, ..*dead });
                        None
                    }
                    None => {
                        let assignment = dead.dead_letter.assignment();
                        let topic = dead.topic.clone();
                        let to = self.dead_letters.clone();
                        let pending = Pending { what: Outbound::Dead(dead), record };
                        self.undeliverable(&to, (&topic, position, assignment), pending, why, out)
                    }
                }
            }
            Outbound::LeftOut { sample, topic, why: left_out, keeps } => {
                let (position, assignment, to) = (sample.position(), sample.assignment, self.late().clone());
                match keeps.less() {
                    Some(keeps) => {
                        warn_reduced(&to, &topic, position, keeps, why);
                        let record = side_output::left_out(&to, &sample.record, &topic, left_out, keeps);
                        self.send(record, Outbound::LeftOut { sample, topic, why: left_out, keeps });
                        None
                    }
                    None => {
                        let what = Outbound::LeftOut { sample, topic: topic.clone(), why: left_out, keeps };
                        let pending = Pending { what, record };
                        self.undeliverable(&to, (&topic, position, assignment), pending, why, out)
                    }
                }
            }
            Outbound::State { .. } => {
                let key =
                    record.as_ref().and_then(|record| record.key.as_deref()).map(String::from_utf8_lossy);
                tracing::error!(
                    ?key,
                    error = error.message,
                    "stream state refused, the stream begins anew after a restart"
                );
                Some(Delivered::State)
            }
            Outbound::Reported { .. } => None,
        }
    }

    /// Handles a record that not even a stub can replace. It ends only if `delivery.on_undeliverable` permits the loss.
    fn undeliverable(
        &mut self,
        to: &str,
        (topic, position, assignment): (&str, Position, u32),
        pending: Pending,
        why: &str,
        out: &mut Outbox<PublishMessage>,
    ) -> Option<Delivered> {
        match self.on_undeliverable {
            OnUndeliverable::Drop => {
                telemetry::delivery::undeliverable(to);
                tracing::error!(to, topic, %position, why, "record dropped, the topic takes not even a stub");
                Some(Delivered::DeadLetter { position, assignment })
            }
            OnUndeliverable::Stop => {
                self.refused.push(pending);
                out.end(format!(
                    "the topic {to} takes not even a stub of {topic} {position}: {why}; nothing is committed past that record. \
                     Mend the topic (max.message.bytes, cleanup.policy), or write delivery.on_undeliverable = \"drop\" to \
                     lose such records"
                ));
                None
            }
        }
    }
}

fn warn_reduced(to: &str, topic: &str, position: Position, keeps: Keeps, why: &str) {
    let keeps = if keeps == Keeps::Stub { "stub" } else { "no-value" };
    tracing::warn!(to, topic, %position, keeps, why, "record refused, sending less of it");
}
