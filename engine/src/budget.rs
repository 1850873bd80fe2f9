//! The byte budget. Every payload counts against it from the poll until its last holder drops it.

pub mod decoding;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The limit on the bytes of all samples in flight, and their count. Clones share the count.
#[derive(Clone, Debug)]
pub struct Budget {
    used: Arc<AtomicU64>,
    limit: u64,
}

impl Budget {
    /// Creates a budget of `limit` bytes.
    pub fn new(limit: u64) -> Self {
        Self { used: Arc::default(), limit }
    }

    /// Counts `bytes` until the reservation is dropped. It never refuses: a polled record takes its memory whether it
    /// is counted or not. The gate compares [`Self::used`] with the limit and pauses partitions before it is reached.
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

/// Reserved bytes of a [`Budget`], released when dropped.
#[derive(Debug, Default)]
pub struct Reservation {
    used: Option<Arc<AtomicU64>>,
    bytes: u64,
}

impl Reservation {
    /// The number of reserved bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Releases all bytes.
    pub fn clear(&mut self) {
        if let Some(used) = &self.used {
            used.fetch_sub(self.bytes, Ordering::Relaxed);
        }
        self.bytes = 0;
    }

    /// Reserves `bytes` more.
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
    fn reservation_is_released_by_its_last_holder() {
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
