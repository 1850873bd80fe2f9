//! How many of something there are and are to be: what those who ask share with those who see to it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::watch;

/// How many of something somebody asks for, from 1 to `MOST`, and how many there are. Desired for again and again, the last
/// word counts. It outlives the pipeline: one that takes the place of another that has failed comes to as many.
#[derive(Debug)]
pub struct Desired<const MOST: usize> {
    /// 0 as long as nobody has asked.
    asked: watch::Sender<usize>,
    current: AtomicUsize,
    manual_override: AtomicBool,
}

impl<const MOST: usize> Default for Desired<MOST> {
    fn default() -> Self {
        Self {
            asked: watch::Sender::new(0),
            current: AtomicUsize::new(0),
            manual_override: AtomicBool::new(false),
        }
    }
}

impl<const MOST: usize> Desired<MOST> {
    /// Asks for so many by hand. From then on the law of scaling leaves them alone.
    pub fn ask(&self, count: usize) {
        self.manual_override.store(true, Ordering::SeqCst);
        self.set(count, || true);
    }

    /// Asks for so many more, or fewer, than was asked for last or than there are. Before there are any it does nothing.
    pub fn ask_for(&self, more: isize) {
        let last = self.asked().unwrap_or_else(|| self.current());
        if last > 0 {
            self.ask(last.saturating_add_signed(more));
        }
    }

    /// Leaves them to the law of scaling again.
    pub fn let_go(&self) {
        self.manual_override.store(false, Ordering::Relaxed);
    }

    /// Asks for so many as the law of scaling says, unless somebody has asked by hand.
    pub(crate) fn follow(&self, count: usize) {
        self.set(count, || !self.manual_override.load(Ordering::SeqCst));
    }

    /// There can be no more than so many, whoever has asked.
    pub(crate) fn lower_to(&self, most: usize) {
        self.set(most, || true);
    }

    /// One at a time, so that the law does not write over a number that was asked for by hand after it had looked.
    fn set(&self, count: usize, may: impl FnOnce() -> bool) {
        let count = count.clamp(1, MOST);
        self.asked.send_if_modified(|asked| may() && std::mem::replace(asked, count) != count);
    }

    /// Whether what is asked for was asked for by hand.
    pub fn is_overridden(&self) -> bool {
        self.manual_override.load(Ordering::Relaxed)
    }

    /// How many are asked for, if anybody has asked.
    pub fn asked(&self) -> Option<usize> {
        Some(*self.asked.borrow()).filter(|asked| *asked > 0)
    }

    /// Tells of another number that is asked for.
    pub(crate) fn changes(&self) -> watch::Receiver<usize> {
        self.asked.subscribe()
    }

    /// How many there are; 0 before the pipeline runs.
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
    fn the_last_word_counts_within_bounds_and_by_hand_until_it_is_let_go() {
        let shards = Desired::<4>::default();
        shards.ask_for(1);
        assert_eq!((shards.asked(), shards.is_overridden()), (None, false), "there are none yet");
        shards.set_current(2);
        shards.ask_for(1);
        assert_eq!((shards.asked(), shards.is_overridden()), (Some(3), true));
        shards.ask(9);
        assert_eq!(shards.asked(), Some(4));
        shards.ask(0);
        assert_eq!(shards.asked(), Some(1));
        shards.follow(3);
        assert_eq!(shards.asked(), Some(1), "the law leaves it alone");
        shards.let_go();
        shards.follow(2);
        assert_eq!((shards.asked(), shards.is_overridden()), (Some(2), false));
    }
}
