//! What the broker did not take.

use lockstep_engine::fault::{Fault, Reason, Stage};
use lockstep_engine::publish::letters;
use lockstep_engine::publish::sink::{DeliveryError, Refusal};
use lockstep_engine::time::Timestamp;

use super::{AGAIN_AFTER, Outgoing};
use crate::publish::PublishMessage;
use crate::publish::pending::{Dead, Delivered, Outbound, Pending};
use crate::shell::Outbox;

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
        if let Some(gathering) = &mut self.gathering {
            gathering.transaction.doom(&error.message);
        }
        match error.refusal {
            Refusal::Poison if matches!(pending.what, Outbound::Told { .. }) => {
                // It has been told as delivered: only reading it again can tell otherwise.
                out.fail(format!("the broker now refuses what it took before: {}", error.message));
            }
            Refusal::Poison => ended.extend(self.poison(pending, error)),
            // It has neither ended nor been committed, and is read again by whoever comes next.
            Refusal::Fatal => {
                out.fail(format!("Kafka's producer has failed for good: {}", error.message));
                self.refused.push(pending);
            }
            Refusal::Passing => match &mut self.gathering {
                Some(gathering) => {
                    tracing::debug!("a record of a transaction was not delivered: {}", error.message);
                    gathering.keep(number, pending);
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
    fn poison(&mut self, Pending { what, record }: Pending, error: &DeliveryError) -> Option<Delivered> {
        match what {
            Outbound::Result { job, .. } => {
                let message = format!("the broker refuses the result: {}", error.message);
                let fault = Fault::new(Stage::Publish, Reason::ResultRefused, message);
                Some(Delivered::Poison { job, fault })
            }
            Outbound::Dead(dead) if dead.without_payload => {
                let (position, assignment) = (dead.letter.record().position, dead.letter.assignment());
                let topic = dead.topic;
                tracing::error!(topic, %position, "not even a dead letter's headers are taken: {}", error.message);
                Some(Delivered::Letter { position, assignment })
            }
            Outbound::Dead(dead) => {
                let Dead { letter, topic, fault, .. } = &*dead;
                let position = letter.record().position;
                tracing::error!(topic, %position, "a dead letter is refused; its value is left out: {}", error.message);
                let record = letters::dead_letter(&self.dead_letters, letter.record(), topic, fault);
                let dead = Dead { without_payload: true, ..*dead };
                self.send(letters::without_value(record), Outbound::Dead(Box::new(dead)));
                None
            }
            Outbound::LeftOut { sample, topic, .. } => {
                let (position, assignment) = (sample.position(), sample.assignment);
                tracing::error!(topic, %position, "a late, evicted or shed record is refused: {}", error.message);
                Some(Delivered::Letter { position, assignment })
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
}
