//! The batching of a step's bundles: `batch` of `[steps.<name>]`.

use lockstep_engine::batch::{BatchMode, BatchPolicy, Hours};

use super::kinds::{count, duration, list, positive_duration, string, word};
use super::reader::Section;

/// The most bundles of a batch if the model sets no bound.
pub(super) const MOST: usize = 4096;

/// The keys that have no effect in each mode, with the error.
const IDLE_KEYS: [(BatchMode, &str, &str); 11] = [
    (BatchMode::Delay, "target_latency", "is for dynamic batches; write mode = \"dynamic\" as well"),
    (BatchMode::Delay, "behind", "is for dynamic and hybrid batches; write mode = \"dynamic\" as well"),
    (BatchMode::Delay, "static_max_delay", "is for static batches; write max_delay, or mode = \"static\""),
    (BatchMode::Delay, "static_between", "is for hybrid batches; write mode = \"hybrid\" as well"),
    (BatchMode::Dynamic, "static_max_delay", "is for static batches; write max_delay, or mode = \"hybrid\""),
    (BatchMode::Dynamic, "static_between", "is for hybrid batches; write mode = \"hybrid\" as well"),
    (BatchMode::Static, "static_between", "is for hybrid batches; write mode = \"hybrid\" as well"),
    (BatchMode::Static, "max_delay", "is for dynamic batches; write static_max_delay, or remove mode"),
    (BatchMode::Static, "preferred", "is for dynamic batches, as static ones are always full; remove it"),
    (BatchMode::Static, "behind", "is for dynamic and hybrid batches; remove it"),
    (BatchMode::Static, "target_latency", "is for dynamic batches; remove it, or write mode = \"hybrid\""),
];

pub(super) fn batch(step: &Section<'_>, max_batch: Option<usize>) -> BatchPolicy {
    let most = max_batch.unwrap_or(MOST).max(1);
    let mut policy = BatchPolicy::default();
    policy.max_size = most.min(policy.max_size);
    let Some(section) = step.table("batch") else { return policy };
    let modes = [
        ("delay", BatchMode::Delay),
        ("dynamic", BatchMode::Dynamic),
        ("static", BatchMode::Static),
        ("hybrid", BatchMode::Hybrid),
    ];
    policy.mode = section.or("mode", policy.mode, word(&modes));
    policy.max_size = section.or("max_size", policy.max_size, |value| {
        count(1..=most as u64)(value).map_err(|message| match max_batch {
            Some(most) => format!("{message} (the model's max_batch is {most})"),
            None => message,
        })
    });
    policy.max_delay = section.or("max_delay", policy.max_delay, duration);
    policy.preferred = section.or("preferred", Vec::new(), list(count(1..=MOST as u64)));
    if let Some(size) = policy.preferred.iter().find(|size| **size > policy.max_size) {
        section.wrong(
            "preferred",
            format!("has {size}, more than max_size, which is {}; write smaller sizes", policy.max_size),
        );
    }
    policy.preferred.sort_unstable();
    policy.preferred.dedup();
    policy.target_latency = section.optional("target_latency", positive_duration);
    if policy.mode == BatchMode::Hybrid {
        policy.behind = BatchPolicy::BEHIND_HYBRID;
    }
    policy.behind = section.or("behind", policy.behind, positive_duration);
    policy.static_max_delay = section.or("static_max_delay", policy.static_max_delay, positive_duration);
    policy.static_between = section.optional("static_between", |value| {
        let text = string(value)?;
        text.parse::<Hours>().map_err(|want| format!("is {text:?}; {want}"))
    });
    for (_, key, why) in IDLE_KEYS.iter().filter(|(mode, key, _)| *mode == policy.mode && section.has(key)) {
        section.wrong(key, *why);
    }
    section.finish();
    policy
}
