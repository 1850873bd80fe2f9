//! What must hold between the sections.

use std::time::Duration;

use lockstep_connectors::kafka::transactional_id::TRANSACTION_TIMEOUT;
use lockstep_engine::align::AlignPolicy;
use lockstep_engine::ingest::InputSpec;
use lockstep_engine::pipeline::{DeliverySpec, Guarantee, KafkaSpec, Limits, PublishSpec};
use lockstep_engine::publish::Transaction;

use super::kinds::show_size;
use super::reader::Section;

/// Notes topics that coincide and payloads that could never be held.
pub(super) fn check(root: &Section<'_>, inputs: &[InputSpec], publish: &PublishSpec, limits: &Limits) {
    let of_inputs = inputs.iter().map(|input| (["inputs", &input.name, "topic"], input.topic.as_str()));
    let mut topics: Vec<([&str; 3], &str)> = of_inputs.collect();
    topics.push((["results", "", "topic"], &publish.results));
    topics.push((["results", "", "dead_letters"], &publish.dead_letters));
    if let Some(late) = &publish.late {
        topics.push((["results", "", "late"], late));
    }
    if let Some(state) = &publish.state {
        topics.push((["results", "", "state"], state));
    }
    for (place, (key, topic)) in topics.iter().enumerate() {
        let before = topics.get(..place).unwrap_or_default();
        if let Some((other, _)) = before.iter().find(|(_, other)| other == topic) {
            root.wrong_at(
                key,
                format!(
                    "is {topic:?}, which is the topic of {} already; each needs a topic of its own",
                    Section::dotted(other)
                ),
            );
        }
    }
    for input in inputs {
        if input.max_bytes as u64 > limits.memory {
            root.wrong_at(
                &["inputs", &input.name, "max_bytes"],
                format!(
                    "is {}, more than limits.memory, which is {}; raise one or lower the other",
                    show_size(input.max_bytes as u64),
                    show_size(limits.memory)
                ),
            );
        }
    }
}

/// So many times as long as a transaction gathers at most is the least that brokers may keep one open: it has to end, too.
const SPARE: u32 = 4;

/// What is told before it is final is told again after a crash, as the position of its pivot is not committed before. And a
/// transaction must not be given up by the broker while it gathers.
pub(super) fn check_delivery(
    root: &Section<'_>,
    kafka: &KafkaSpec,
    align: &AlignPolicy,
    delivery: &DeliverySpec,
) {
    if delivery.guarantee != Guarantee::ExactlyOnce {
        return;
    }
    const TIMEOUT: &str = "transaction.timeout.ms";
    let least = Transaction::longest(delivery.transaction_every).saturating_mul(SPARE);
    let set = kafka.producer.get(TIMEOUT).and_then(|millis| millis.parse().ok().map(Duration::from_millis));
    if set.unwrap_or(TRANSACTION_TIMEOUT) < least {
        let least = least.as_millis();
        match set {
            Some(_) => root.wrong_at(
                &["kafka", "producer", TIMEOUT],
                format!(
                    "is less than {least}, {SPARE} times as long as a transaction may gather: the broker would give up \
                     transactions under way"
                ),
            ),
            None => root.wrong_at(
                &["delivery", "transaction_every"],
                format!(
                    "is too long: brokers keep a transaction open for {} ms, and that has to be {SPARE} times as long; \
                     shorten it, or set kafka.producer.\"{TIMEOUT}\" to {least} at least",
                    TRANSACTION_TIMEOUT.as_millis()
                ),
            ),
        }
    }
    if align.revise.revises() {
        root.wrong_at(
            &["delivery", "guarantee"],
            "is \"exactly-once\", and [align] asks for bundles before they are final (allowed_lateness, emit): those could \
             come twice; do without the one or the other",
        );
    }
}
