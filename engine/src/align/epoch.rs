//! Clock steps: when a source restarts with another clock, its stream begins a new epoch.
//!
//! A single sample with an absurd event time must not move the watermark, or all later ones would be late. Samples
//! of a clock that was set back must not be late for ever. So a sample further from the latest of its input than allowed
//! is put aside. If the next samples of the input lie near it, its clock has stepped. If one lies where it was expected,
//! the samples put aside are timestamp outliers.

use smallvec::SmallVec;

use super::arrival::Arrival;
use super::held::Held;

/// The number of samples in a row that make a step if they agree with one another.
const IN_A_ROW: usize = 3;

/// The samples of one stream that were put aside, in the order of arrival.
#[derive(Debug)]
pub(super) struct Aside<T> {
    samples: SmallVec<[Put<T>; IN_A_ROW]>,
}

/// A sample that was put aside.
#[derive(Debug)]
pub(super) struct Put<T> {
    pub(super) arrival: Arrival<T>,
    pub(super) partition: i32,
    /// The arrival, in wall time.
    since: i64,
}

type Puts<T> = SmallVec<[Put<T>; IN_A_ROW]>;

impl<T> Default for Aside<T> {
    fn default() -> Self {
        Self { samples: SmallVec::new() }
    }
}

impl<T> Aside<T> {
    pub(super) fn len(&self) -> usize {
        self.samples.len()
    }

    /// The arrival of the sample that was put aside first, in wall time.
    pub(super) fn since(&self) -> Option<i64> {
        self.samples.first().map(|put| put.since)
    }

    /// Puts a sample aside. Returns true if its input has stepped: enough of its samples in a row lie at most `near` from
    /// one to the next. `outliers` receives the samples that it does not agree with.
    pub(super) fn put(
        &mut self,
        (arrival, partition): (Arrival<T>, i32),
        since: i64,
        near: i64,
        outliers: impl FnMut(Put<T>),
    ) -> bool {
        let (input, time) = (arrival.input, arrival.time);
        let last = self.samples.iter().rev().find(|put| put.arrival.input == input);
        if last.is_some_and(|last| last.arrival.time.abs_diff(time) > near.unsigned_abs()) {
            self.take(input).into_iter().for_each(outliers);
        }
        self.samples.push(Put { arrival, partition, since });
        self.samples.iter().filter(|put| put.arrival.input == input).count() >= IN_A_ROW
    }

    /// Takes out the latest to arrive.
    pub(super) fn pop(&mut self) -> Option<Put<T>> {
        self.samples.pop()
    }

    /// Returns true if a sample repeats one that was put aside.
    pub(super) fn has(&self, arrival: &Arrival<T>) -> bool
    where
        T: Held,
    {
        let at_once = |put: &&Put<T>| (put.arrival.input, put.arrival.time) == (arrival.input, arrival.time);
        self.samples.iter().filter(at_once).any(|put| arrival.item.repeats(&put.arrival.item))
    }

    /// Takes out the samples of an input, in the order of arrival.
    pub(super) fn take(&mut self, input: usize) -> Puts<T> {
        let (taken, left) = self.take_all().into_iter().partition(|put| put.arrival.input == input);
        self.samples = left;
        taken
    }

    /// Takes out all, in the order of arrival.
    pub(super) fn take_all(&mut self) -> Puts<T> {
        std::mem::take(&mut self.samples)
    }
}
