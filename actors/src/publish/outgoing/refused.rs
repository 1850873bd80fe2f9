//! What the broker did not take.

use lockstep_engine::fault::{Fault, Reason, StageKind};
use lockstep_engine::pipeline::OnUndeliverable;
use lockstep_engine::position::Position;
use lockstep_engine::publish::side_output::{self, Keeps};
use lockstep_engine::publish::sink::{DeliveryError, Refusal};
use lockstep_engine::telemetry;
use lockstep_engine::time::Timestamp;

use super::{AGAIN_AFTER, Outgoing};
use crate::publish::PublishMessage;
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
                // The next goes without it.
                transaction_buffer.transaction.has_progressed();
            }
        }
        match error.refusal {
            Refusal::Poison | Refusal::Unsent if matches!(pending.what, Outbound::Told { .. }) => {
                // It has been told as delivered: only reading it again can tell otherwise.
                out.fail(format!("the broker now refuses what it took before: {}", error.message));
            }
            Refusal::Poison | Refusal::Unsent => ended.extend(self.poison(pending, error, out)),
            Refusal::Batch if self.transaction_buffer.is_none() => {
                tracing::debug!("a batch was refused; its records are sent again: {}", error.message);
                self.in_turn.push((number, pending));
            }
            // It has neither ended nor been committed, and is read again by whoever comes next.
            Refusal::Fatal => {
                out.fail(format!("Kafka's producer has failed for good: {}", error.message));
                self.refused.push(pending);
            }
            Refusal::Passing | Refusal::Batch => match &mut self.transaction_buffer {
                Some(transaction_buffer) => {
                    tracing::debug!("a record of a transaction was not delivered: {}", error.message);
                    transaction_buffer.keep(number, pending);
                }
                None => {
                    // The sink has reported it, once.
                    tracing::debug!("the broker did not take a record; it is sent again: {}", error.message);
                    self.refused.push(pending);
                    self.again_at.get_or_insert(now.after(AGAIN_AFTER));
                }
            },
        }
    }

    /// The broker will never take this record as it is.
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
                let position = dead.letter.record().position;
                match dead.keeps.less() {
                    Some(keeps) => {
                        warn_reduced(&self.dead_letters, &dead.topic, position, keeps, why);
                        self.send_dead(Dead { keeps, ..*dead });
                        None
                    }
                    None => {
                        let assignment = dead.letter.assignment();
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
            Outbound::Carried { .. } => {
                let key =
                    record.as_ref().and_then(|record| record.key.as_deref()).map(String::from_utf8_lossy);
                tracing::error!(
                    ?key,
                    "what a stream carries on is refused, and begins anew after a restart: {}",
                    error.message
                );
                Some(Delivered::Carried)
            }
            Outbound::Told { .. } => None,
        }
    }

    /// Nothing of a record can be kept: it has ended only if the settings say that it may be lost.
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
                tracing::error!(to, topic, %position, why, "a record is dropped: not even a stub of it is taken");
                Some(Delivered::DeadLetter { position, assignment })
            }
            OnUndeliverable::Stop => {
                self.refused.push(pending);
                out.end(format!(
                    "the topic {to} takes not even a stub of {topic} {position}: {why}; nothing is committed past that record.                      Mend the topic (max.message.bytes, cleanup.policy), or write delivery.on_undeliverable = \"drop\" to \
                     lose such records"
                ));
                None
            }
        }
    }
}

fn warn_reduced(to: &str, topic: &str, position: Position, keeps: Keeps, why: &str) {
    let keeps = if keeps == Keeps::Stub { "stub" } else { "no-value" };
    tracing::warn!(to, topic, %position, keeps, why, "a record is refused, and less of it is sent");
}
