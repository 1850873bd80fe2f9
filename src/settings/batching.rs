//! How a step's bundles are batched: `batch` of `[steps.<name>]`.

use std::time::Duration;

use lockstep_engine::batch::BatchPolicy;

use super::kinds::{count, duration, list};
use super::reader::Section;

/// The most bundles of a batch where the model sets no bound.
pub(super) const MOST: usize = 4096;

pub(super) fn batch(step: &Section<'_>, max_batch: Option<usize>) -> BatchPolicy {
    let most = max_batch.unwrap_or(MOST).max(1);
    let mut policy =
        BatchPolicy { max_size: most.min(8), max_delay: Duration::from_millis(5), preferred: Vec::new() };
    let Some(section) = step.table("batch") else { return policy };
    policy.max_size = section.or("max_size", policy.max_size, |value| {
        count(1..=most as u64)(value).map_err(|message| match max_batch {
            Some(most) => format!("{message} (the model's max_batch is {most})"),
            None => message,
        })
    });
    policy.max_delay = section.or("max_delay", policy.max_delay, duration);
    policy.preferred = section.or("preferred", Vec::new(), list(count(1..=MOST as u64)));
    if let Some(size) = policy.preferred.iter().find(|size| **size > policy.max_size) {
        section.wrong("preferred", format!("has {size}, more than max_size, which is {}", policy.max_size));
    }
    policy.preferred.sort_unstable();
    policy.preferred.dedup();
    section.finish();
    policy
}
