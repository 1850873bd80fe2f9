//! Samples in bulk: the aligner looks up the streams of several samples ahead of the first push.

use super::super::event::Event;
use super::super::held::Held;
use super::{Aligner, Incoming};
use crate::time::Timestamp;

/// The number of streams looked up at a time. It is more than the processor can have under way, and few enough that the
/// found slots are still in its nearest cache when they are used.
const AHEAD: usize = 32;

impl<T: Held + Clone> Aligner<T> {
    /// Takes samples that arrived at `now`: the same as a [`Self::push`] of each in turn, and faster when there are many
    /// streams. Then the lookup of a stream reads memory that is not in the cache. Lookups in a row do not depend on one
    /// another, so the processor waits for many at once; with a push after each it waits for one at a time.
    pub fn push_all<S: Incoming<Item = T>>(
        &mut self,
        samples: Vec<S>,
        now: Timestamp,
        out: &mut Vec<Event<T>>,
    ) {
        let now = self.advance_clock(now);
        let mut samples = samples.into_iter();
        let mut slots = [None; AHEAD];
        // A single sample is left to `push`, which remembers the stream of its last one.
        while samples.len() > 1 {
            self.look_up(samples.as_slice(), &mut slots);
            for (slot, sample) in slots.into_iter().zip(samples.by_ref()) {
                self.push_known(slot, sample, now, out);
            }
        }
        if let Some(sample) = samples.next() {
            self.push_known(None, sample, now, out);
        }
    }

    /// The slots of the first samples' streams, where these are known. No push frees a slot.
    fn look_up<S: Incoming>(&self, samples: &[S], slots: &mut [Option<u32>; AHEAD]) {
        for (slot, sample) in slots.iter_mut().zip(samples) {
            *slot = self.streams.find(sample.stream());
        }
    }
}

#[cfg(test)]
#[path = "ahead_tests.rs"]
mod tests;
