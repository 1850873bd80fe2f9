//! The checks across sections.

use std::time::Duration;

use lockstep_engine::align::AlignPolicy;
use lockstep_engine::ingest::InputSpec;
use lockstep_engine::pipeline::{DeliverySpec, Guarantee, KafkaSpec, Limits, PublishSpec};
use lockstep_engine::publish::Transaction;
use lockstep_kafka::transactional_id::TRANSACTION_TIMEOUT;

use super::kinds::show_size;
use super::reader::Section;

/// Notes topics that coincide, and payloads larger than the byte budget.
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
                    "{topic:?} is already the topic of {}; write a topic of its own for each",
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

/// The brokers' transaction timeout is at least this many times the longest `transaction_every`: the commit takes time too.
const SPARE: u32 = 4;

/// Notes settings that break exactly-once. A bundle that is published before it is final is published again after a crash,
/// because its pivot's position is not committed before. The broker must not abort a transaction while it gathers results.
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
                    "is less than {least}, which is {SPARE} times as long as a transaction may gather, so the broker would \
                     abort open transactions; write {least} or more"
                ),
            ),
            None => root.wrong_at(
                &["delivery", "transaction_every"],
                format!(
                    "is too long: brokers keep a transaction open for {} ms, which must be {SPARE} times as long; \
                     shorten it, or set kafka.producer.\"{TIMEOUT}\" to {least} or more",
                    TRANSACTION_TIMEOUT.as_millis()
                ),
            ),
        }
    }
    if align.revise.revises() {
        root.wrong_at(
            &["delivery", "guarantee"],
            "\"exactly-once\" contradicts [align], which publishes bundles before they are final (allowed_lateness, emit), so \
             that they could come twice; remove one of them",
        );
    }
}
