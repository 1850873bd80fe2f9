//! The byte budget: every payload counts against it from the poll until its last holder lets go.

pub mod decoding;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The bytes that all samples in flight may take together. Clones share the count.
#[derive(Clone, Debug)]
pub struct Budget {
    used: Arc<AtomicU64>,
    limit: u64,
}

impl Budget {
    /// A budget of so many bytes.
    pub fn new(limit: u64) -> Self {
        Self { used: Arc::default(), limit }
    }

    /// Counts `bytes` until the reservation is dropped. It never refuses: whoever admits records
    /// looks at [`Self::used`] and pauses partitions before the limit, since what has been polled
    /// already takes its memory whether it is counted or not.
    pub fn reserve(&self, bytes: usize) -> Reservation {
        let bytes = bytes as u64;
        self.used.fetch_add(bytes, Ordering::Relaxed);
        Reservation { used: Some(self.used.clone()), bytes }
    }

    /// Bytes in flight.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// The limit in bytes.
    pub fn limit(&self) -> u64 {
        self.limit
    }
}

/// Some bytes of a [`Budget`], given back when dropped.
#[derive(Debug, Default)]
pub struct Reservation {
    used: Option<Arc<AtomicU64>>,
    bytes: u64,
}

impl Reservation {
    /// How many bytes it counts.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Counts none any more.
    pub fn clear(&mut self) {
        if let Some(used) = &self.used {
            used.fetch_sub(self.bytes, Ordering::Relaxed);
        }
        self.bytes = 0;
    }

    /// Counts so many bytes more.
    pub fn add(&mut self, bytes: usize) {
        let bytes = bytes as u64;
        self.bytes += bytes;
        if let Some(used) = &self.used {
            used.fetch_add(bytes, Ordering::Relaxed);
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_reserved_comes_back_when_the_last_holder_lets_go() {
        let budget = Budget::new(100);
        let first = Arc::new(budget.reserve(60));
        let second = first.clone();
        let mut other = budget.reserve(10);
        other.add(20);
        assert_eq!((budget.used(), other.bytes()), (90, 30));
        drop((first, other));
        assert_eq!(budget.used(), 60);
        drop(second);
        assert_eq!(budget.used(), 0);
    }
}
