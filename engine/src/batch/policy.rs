//! When a batch goes.

use std::time::Duration;

/// How bundles are gathered into batches. The words are Triton's dynamic batcher's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchPolicy {
    /// The most bundles of a batch.
    pub max_size: usize,
    /// The longest that the oldest bundle waits for others, once an instance is free.
    pub max_delay: Duration,
    /// Sizes at which a batch goes at once, without waiting for more; ascending. Empty: only the maximum.
    pub preferred: Vec<usize>,
}
