//! A desired and a current number, for example of shards. The operator and the autoscaler set the desired number; an actor
//! makes the current one follow.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::watch;

/// A desired number from 1 to `MOST`, and the current number. The last request counts. It outlives the pipeline, so a restarted
/// pipeline comes to the same number.
#[derive(Debug)]
pub struct Desired<const MOST: usize> {
    /// 0 before the first request.
    desired: watch::Sender<usize>,
    current: AtomicUsize,
    manual_override: AtomicBool,
}

impl<const MOST: usize> Default for Desired<MOST> {
    fn default() -> Self {
        Self {
            desired: watch::Sender::new(0),
            current: AtomicUsize::new(0),
            manual_override: AtomicBool::new(false),
        }
    }
}

impl<const MOST: usize> Desired<MOST> {
    /// Sets the desired number on behalf of an operator. From then on the autoscaler does not change it.
    pub fn override_with(&self, count: usize) {
        self.manual_override.store(true, Ordering::SeqCst);
        self.set(count, || true);
    }

    /// Changes the desired number by `more`, or the current number if none is desired yet, on behalf of an operator. Does nothing
    /// while both are 0.
    pub fn override_by(&self, more: isize) {
        let last = self.desired().unwrap_or_else(|| self.current());
        if last > 0 {
            self.override_with(last.saturating_add_signed(more));
        }
    }

    /// Ends the manual override: the autoscaler sets the desired number again.
    pub fn end_override(&self) {
        self.manual_override.store(false, Ordering::Relaxed);
    }

    /// Sets the desired number on behalf of the autoscaler, unless an operator has overridden it.
    pub(crate) fn follow(&self, count: usize) {
        self.set(count, || !self.manual_override.load(Ordering::SeqCst));
    }

    /// Sets the desired number to `most`, even if an operator has overridden it, because no more are possible.
    pub(crate) fn lower_to(&self, most: usize) {
        self.set(most, || true);
    }

    /// Checks and sets in one step, so that the autoscaler does not overwrite an operator's request that came after its check.
    fn set(&self, count: usize, may: impl FnOnce() -> bool) {
        let count = count.clamp(1, MOST);
        self.desired.send_if_modified(|desired| may() && std::mem::replace(desired, count) != count);
    }

    /// Returns true if an operator has set the desired number.
    pub fn is_overridden(&self) -> bool {
        self.manual_override.load(Ordering::Relaxed)
    }

    /// Returns the desired number, if one was set.
    pub fn desired(&self) -> Option<usize> {
        Some(*self.desired.borrow()).filter(|desired| *desired > 0)
    }

    /// Returns a receiver that sees each change of the desired number.
    pub(crate) fn changes(&self) -> watch::Receiver<usize> {
        self.desired.subscribe()
    }

    /// Returns the current number; 0 before the pipeline runs.
    pub fn current(&self) -> usize {
        self.current.load(Ordering::Relaxed)
    }

    pub(crate) fn set_current(&self, count: usize) {
        self.current.store(count, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn desired_keeps_the_last_request_and_the_manual_override() {
        let shards = Desired::<4>::default();
        shards.override_by(1);
        assert_eq!((shards.desired(), shards.is_overridden()), (None, false), "no shards run yet");
        shards.set_current(2);
        shards.override_by(1);
        assert_eq!((shards.desired(), shards.is_overridden()), (Some(3), true));
        shards.override_with(9);
        assert_eq!(shards.desired(), Some(4));
        shards.override_with(0);
        assert_eq!(shards.desired(), Some(1));
        shards.follow(3);
        assert_eq!(shards.desired(), Some(1), "the autoscaler leaves it alone");
        shards.end_override();
        shards.follow(2);
        assert_eq!((shards.desired(), shards.is_overridden()), (Some(2), false));
    }
}
