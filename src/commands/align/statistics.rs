//! What a dry run did, counted and measured.

use std::collections::BTreeMap;
use std::sync::Arc;

use lockstep_engine::align::drift::{Drift, DriftEstimator};
use lockstep_engine::align::{Bundle, Event};
use lockstep_engine::position::InputId;
use lockstep_engine::sample::StreamKey;
use lockstep_engine::time::Timestamp;

use super::distribution::Distribution;
use super::lines::DryRunSample;

/// The fates of samples and bundles, of one stream or of all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FateCounts {
    /// Samples by input.
    pub(super) samples: Vec<u64>,
    pub(super) bundles: u64,
    pub(super) complete: u64,
    pub(super) dropped: u64,
    pub(super) dead_letters: u64,
    pub(super) late: u64,
    pub(super) duplicates: u64,
    pub(super) evicted: u64,
    pub(super) outliers: u64,
    pub(super) unused: u64,
}

/// The samples of one input, over all streams.
#[derive(Clone, Debug, Default)]
pub(super) struct InputStatistics {
    pub(super) samples: u64,
    /// The number of bundles that closed without it.
    pub(super) missing: u64,
    pub(super) late: u64,
    pub(super) duplicates: u64,
    pub(super) evicted: u64,
    pub(super) outliers: u64,
    pub(super) unused: u64,
    /// Without their signs, in nanoseconds.
    pub(super) skew: Distribution,
    /// With their signs.
    skews: f64,
    skewed: u64,
    /// The age of a bundle when the last of its samples of this input arrived.
    pub(super) after: Distribution,
    pub(super) coverage: WindowCoverage,
    /// The drift of each stream whose samples have a length.
    drifts: BTreeMap<StreamKey, DriftEstimator>,
}

/// The drift of an input's sources, over the streams whose drift is known.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Drifts {
    /// From the slowest source to the quickest.
    pub(super) streams: Vec<Drift>,
    /// The number of streams with sound whose drift is not known yet.
    pub(super) unknown: usize,
}

/// The coverage of windows.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct WindowCoverage {
    pub(super) windows: u64,
    pub(super) full: u64,
    pub(super) least: f64,
    sum: f64,
}

/// All that is measured.
#[derive(Debug)]
pub(super) struct Statistics {
    pub(super) all: FateCounts,
    pub(super) inputs: Vec<InputStatistics>,
    pub(super) streams: BTreeMap<StreamKey, FateCounts>,
    /// From when a bundle opened to when it closed, of those that closed before the end of the input.
    pub(super) wait: Distribution,
    pub(super) late_by: Distribution,
    /// The number of evicted samples, by bound.
    pub(super) evicted_by: BTreeMap<&'static str, u64>,
    /// Bundles that only the end of the input closed.
    pub(super) closed_by_end: u64,
    timed: bool,
}

impl FateCounts {
    /// The share of all bundles, those dropped and dead-lettered with them, that went on complete.
    pub(super) fn share_complete(&self) -> Option<f64> {
        let closed = self.bundles + self.dropped + self.dead_letters;
        (closed > 0).then(|| self.complete as f64 / closed as f64)
    }
}

impl InputStatistics {
    /// The mean skew with its sign, in nanoseconds: a clock that is off shows here.
    pub(super) fn mean_skew(&self) -> Option<f64> {
        (self.skewed > 0).then(|| self.skews / self.skewed as f64)
    }

    /// The drifts of its streams, if it has any that last.
    pub(super) fn drifts(&self) -> Option<Drifts> {
        let mut streams: Vec<Drift> = self.drifts.values().filter_map(DriftEstimator::estimate).collect();
        streams.sort_by(|one, other| one.ppm.total_cmp(&other.ppm));
        let unknown = self.drifts.len() - streams.len();
        (!self.drifts.is_empty()).then_some(Drifts { streams, unknown })
    }
}

impl WindowCoverage {
    pub(super) fn mean(&self) -> Option<f64> {
        (self.windows > 0).then(|| self.sum / self.windows as f64)
    }

    fn add(&mut self, coverage: f64) {
        self.least = if self.windows == 0 { coverage } else { self.least.min(coverage) };
        self.windows += 1;
        self.full += u64::from(coverage >= 1.0);
        self.sum += coverage;
    }
}

impl Statistics {
    pub(super) fn new(inputs: usize) -> Self {
        Self {
            all: FateCounts { samples: vec![0; inputs], ..FateCounts::default() },
            inputs: vec![InputStatistics::default(); inputs],
            streams: BTreeMap::new(),
            wait: Distribution::default(),
            late_by: Distribution::default(),
            evicted_by: BTreeMap::new(),
            closed_by_end: 0,
            timed: false,
        }
    }

    pub(super) fn sample(&mut self, item: &DryRunSample) {
        self.timed |= item.arrival.is_some();
        let index = item.input.index();
        self.of_input(item.input, |input| {
            input.samples += 1;
            if item.stamp.duration.is_zero() {
                return;
            }
            if !input.drifts.contains_key(&item.stream) {
                input.drifts.insert(item.stream.clone(), DriftEstimator::new());
            }
            if let Some(drift) = input.drifts.get_mut(&item.stream) {
                drift.observe(item.stamp.event_time, item.stamp.duration);
            }
        });
        self.count(&item.stream, |counts| {
            if let Some(samples) = counts.samples.get_mut(index) {
                *samples += 1;
            }
        });
    }

    pub(super) fn event(&mut self, event: &Event<Arc<DryRunSample>>, at_end: bool) {
        match event {
            Event::Bundle(bundle) => {
                let complete = u64::from(bundle.is_complete());
                self.bundle(bundle, at_end);
                self.count(&bundle.stream, |counts| {
                    counts.bundles += 1;
                    counts.complete += complete;
                });
            }
            Event::Dropped { bundle, .. } => {
                self.bundle(bundle, at_end);
                self.count(&bundle.stream, |counts| counts.dropped += 1);
            }
            Event::DeadLetter { bundle, .. } => {
                self.bundle(bundle, at_end);
                self.count(&bundle.stream, |counts| counts.dead_letters += 1);
            }
            Event::Late { item, by_ns } => {
                self.late_by.add(*by_ns);
                self.of_input(item.input, |input| input.late += 1);
                self.count(&item.stream, |counts| counts.late += 1);
            }
            Event::Duplicate(item) => {
                self.of_input(item.input, |input| input.duplicates += 1);
                self.count(&item.stream, |counts| counts.duplicates += 1);
            }
            Event::Evicted { item, bound, .. } => {
                *self.evicted_by.entry(bound.as_str()).or_default() += 1;
                self.of_input(item.input, |input| input.evicted += 1);
                self.count(&item.stream, |counts| counts.evicted += 1);
            }
            Event::TimestampOutlier(item) => {
                self.of_input(item.input, |input| input.outliers += 1);
                self.count(&item.stream, |counts| counts.outliers += 1);
            }
            Event::Released { item, used: 0 } => {
                self.of_input(item.input, |input| input.unused += 1);
                self.count(&item.stream, |counts| counts.unused += 1);
            }
            Event::Released { .. } | Event::Epoch { .. } => {}
        }
    }

    fn bundle(&mut self, bundle: &Bundle<Arc<DryRunSample>>, at_end: bool) {
        // Without arrivals the clock does not advance, and a wait has no meaning.
        let opened = (self.timed && bundle.opened_at > Timestamp::MIN).then_some(bundle.opened_at);
        if at_end {
            self.closed_by_end += 1;
        } else if let Some(opened) = opened {
            self.wait.add(nanos_from(opened, bundle.closed_at));
        }
        for (input, part) in self.inputs.iter_mut().zip(&bundle.parts) {
            let Some(skew) = part.skew_ns else {
                input.missing += 1;
                continue;
            };
            input.skew.add(skew.unsigned_abs());
            input.skews += skew as f64;
            input.skewed += 1;
            if let Some(coverage) = part.coverage {
                input.coverage.add(coverage);
            }
            let last = part.samples.iter().filter_map(|item| item.arrival).max();
            if let (Some(opened), Some(last)) = (opened, last) {
                input.after.add(nanos_from(opened, last));
            }
        }
    }

    fn of_input(&mut self, input: InputId, change: impl FnOnce(&mut InputStatistics)) {
        if let Some(of_input) = self.inputs.get_mut(input.index()) {
            change(of_input);
        }
    }

    fn count(&mut self, stream: &StreamKey, change: impl Fn(&mut FateCounts)) {
        change(&mut self.all);
        if let Some(counts) = self.streams.get_mut(stream) {
            change(counts);
            return;
        }
        let mut counts = FateCounts { samples: vec![0; self.inputs.len()], ..FateCounts::default() };
        change(&mut counts);
        self.streams.insert(stream.clone(), counts);
    }
}

fn nanos_from(earlier: Timestamp, later: Timestamp) -> u64 {
    u64::try_from(later.nanos_since(earlier)).unwrap_or(0)
}
