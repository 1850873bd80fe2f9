//! Shards that become more or fewer while the pipeline runs: what ingest, givers and takers share. The rules, and why
//! nobody waits in a circle, are in [`lockstep_engine::control::shards`].

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use lockstep_engine::align::Bounds;
use lockstep_engine::control::shards::{MOST_SHARDS, Resize};
use lockstep_engine::time::Timestamp;
use parking_lot::Mutex;

use crate::align::AlignMessage;
use crate::link::Link;

/// How many shards somebody asks for, and how many there are. Asked for again and again, the last word counts.
#[derive(Debug, Default)]
pub struct Shards {
    /// 0 as long as nobody has asked.
    asked: AtomicUsize,
    current: AtomicUsize,
    by_hand: AtomicBool,
}

impl Shards {
    /// Asks for so many by hand, at least 1 and at most [`MOST_SHARDS`]. Streams begin to move within a tenth of a second;
    /// what is asked for while others move comes after these. From then on the law of scaling leaves them alone.
    pub fn ask(&self, shards: usize) {
        self.by_hand.store(true, Ordering::Relaxed);
        self.asked.store(shards.clamp(1, MOST_SHARDS), Ordering::Relaxed);
    }

    /// Asks for so many as the law of scaling says.
    pub(crate) fn follow(&self, shards: usize) {
        self.asked.store(shards.clamp(1, MOST_SHARDS), Ordering::Relaxed);
    }

    /// Whether anybody has asked by hand.
    pub fn is_by_hand(&self) -> bool {
        self.by_hand.load(Ordering::Relaxed)
    }

    /// Asks for so many more, or fewer, than was asked for last or than there are. Before there are any it does nothing.
    pub fn ask_for(&self, more: isize) {
        let last = self.asked().unwrap_or_else(|| self.current());
        if last > 0 {
            self.ask(last.saturating_add_signed(more));
        }
    }

    /// How many are asked for, if anybody has asked. A pipeline that takes the place of one that has failed begins with
    /// as many.
    pub fn asked(&self) -> Option<usize> {
        Some(self.asked.load(Ordering::Relaxed)).filter(|asked| *asked > 0)
    }

    /// How many new samples are spread over; 0 before the pipeline runs.
    pub fn current(&self) -> usize {
        self.current.load(Ordering::Relaxed)
    }

    pub(crate) fn set_current(&self, shards: usize) {
        self.current.store(shards, Ordering::Relaxed);
    }
}

/// Streams on the move.
pub struct Moving {
    /// From how many shards to how many.
    pub(crate) resize: Resize,
    /// The bounds of alignment, of the whole process.
    pub(crate) bounds: Bounds,
    /// To each shard, those that come and those that leave included.
    pub(crate) links: Vec<Link<AlignMessage>>,
    /// When it was told to givers and takers.
    pub(crate) began: Timestamp,
    /// The takers that have all that is theirs and of which ingest has not heard. They do not tell it by a message: ingest
    /// may be waiting for room in their links.
    pub(crate) adopted: Mutex<Vec<usize>>,
}
