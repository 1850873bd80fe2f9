//! What must hold between the sections.

use lockstep_engine::align::AlignPolicy;
use lockstep_engine::ingest::InputSpec;
use lockstep_engine::pipeline::{DeliverySpec, Guarantee, Limits, PublishSpec};

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

/// What is told before it is final is told again after a crash, as the position of its pivot is not committed before.
pub(super) fn check_delivery(root: &Section<'_>, align: &AlignPolicy, delivery: &DeliverySpec) {
    if delivery.guarantee == Guarantee::ExactlyOnce && align.revise.revises() {
        root.wrong_at(
            &["delivery", "guarantee"],
            "is \"exactly-once\", and [align] asks for bundles before they are final (allowed_lateness, emit): those could \
             come twice; do without the one or the other",
        );
    }
}
