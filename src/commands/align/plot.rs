//! `--plot`: the samples and bundles that the dry run records for its plot.

use std::sync::Arc;

use lockstep_engine::align::{Bundle, Event};
use lockstep_engine::sample::StreamKey;
use lockstep_engine::time::nanos;

use super::lines::DryRunSample;

pub(super) mod draw;

/// A picture of more bundles than that is not readable, unless a range was asked for.
const BUNDLES: usize = 10;
/// The number of samples that are drawn if there are no bundles.
const SAMPLES: usize = 60;
/// No picture has more samples, nor more bundles.
const MOST: usize = 5_000;

/// The part to draw: by default the first stream and its first bundles.
#[derive(Clone, Debug, Default)]
pub(super) struct PlotSelection {
    pub(super) stream: Option<String>,
    /// In nanoseconds after the stream's first sample.
    pub(super) from: Option<i64>,
    pub(super) to: Option<i64>,
}

/// The fate of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PlottedFate {
    Used,
    Unused,
    Late(u64),
    Duplicate,
    Evicted,
    TimestampOutlier,
}

/// A sample in the picture.
#[derive(Debug)]
pub(super) struct PlottedSample {
    pub(super) item: Arc<DryRunSample>,
    pub(super) fate: PlottedFate,
}

impl PlottedSample {
    pub(super) fn time(&self) -> i64 {
        self.item.stamp.event_time.as_nanos()
    }

    /// The end of the sample, which is its time if it has no length.
    pub(super) fn end(&self) -> i64 {
        self.time().saturating_add(nanos(self.item.stamp.duration))
    }
}

/// A bundle in the picture.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) time: i64,
    /// The range of each input: the window, or the samples. None if the input is missing and has no window.
    pub(super) parts: Vec<Option<PlottedPart>>,
    pub(super) outcome: PlottedOutcome,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct PlottedPart {
    pub(super) from: i64,
    pub(super) to: i64,
    /// A window in which nothing was found.
    pub(super) empty: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PlottedOutcome {
    Complete,
    Incomplete,
    /// Dropped or dead-lettered.
    Lost,
}

/// The events of one stream.
#[derive(Debug)]
pub(super) struct StreamRecording {
    wanted: PlotSelection,
    pub(super) stream: Option<StreamKey>,
    /// The event time of the stream's first sample.
    pub(super) zero: i64,
    /// In the order of arrival.
    pub(super) marks: Vec<PlottedSample>,
    /// In the order of event times.
    pub(super) shapes: Vec<Shape>,
    /// All bundles of the stream.
    pub(super) bundles: usize,
    /// True if the range has more than a plot can hold.
    pub(super) cut: bool,
}

impl StreamRecording {
    pub(super) fn new(wanted: PlotSelection) -> Self {
        Self { wanted, stream: None, zero: 0, marks: Vec::new(), shapes: Vec::new(), bundles: 0, cut: false }
    }

    /// The stream that was asked for and had no sample.
    pub(super) fn absent(&self) -> Option<&str> {
        self.wanted.stream.as_deref().filter(|_| self.stream.is_none())
    }

    pub(super) fn sample(&mut self, item: &Arc<DryRunSample>) {
        if self.stream.is_none()
            && self.wanted.stream.as_deref().is_none_or(|key| key == item.stream.as_str())
        {
            self.stream = Some(item.stream.clone());
            self.zero = item.stamp.event_time.as_nanos();
        }
        if self.stream.as_ref() != Some(&item.stream) {
            return;
        }
        let mark = PlottedSample { item: Arc::clone(item), fate: PlottedFate::Used };
        if !self.in_range(mark.time(), mark.end()) {
            return;
        }
        if self.marks.len() < MOST {
            self.marks.push(mark);
        } else {
            self.cut |= self.is_ranged();
        }
    }

    pub(super) fn event(&mut self, event: &Event<Arc<DryRunSample>>) {
        match event {
            Event::Bundle(bundle) => {
                let outcome =
                    if bundle.is_complete() { PlottedOutcome::Complete } else { PlottedOutcome::Incomplete };
                self.bundle(bundle, outcome);
            }
            Event::Dropped { bundle, .. } | Event::DeadLetter { bundle, .. } => {
                self.bundle(bundle, PlottedOutcome::Lost);
            }
            Event::Late { item, by_ns } => self.fate(item, PlottedFate::Late(*by_ns)),
            Event::Duplicate(item) => self.fate(item, PlottedFate::Duplicate),
            Event::Evicted { item, used: 0, .. } => self.fate(item, PlottedFate::Evicted),
            Event::TimestampOutlier(item) => self.fate(item, PlottedFate::TimestampOutlier),
            Event::Released { item, used: 0 } => self.fate(item, PlottedFate::Unused),
            Event::Released { .. } | Event::Evicted { .. } | Event::Epoch { .. } => {}
        }
    }

    fn fate(&mut self, item: &DryRunSample, fate: PlottedFate) {
        if self.stream.as_ref() != Some(&item.stream) {
            return;
        }
        if let Ok(place) = self.marks.binary_search_by_key(&item.number, |mark| mark.item.number)
            && let Some(mark) = self.marks.get_mut(place)
        {
            mark.fate = fate;
        }
    }

    fn bundle(&mut self, bundle: &Bundle<Arc<DryRunSample>>, outcome: PlottedOutcome) {
        if self.stream.as_ref() != Some(&bundle.stream) {
            return;
        }
        self.bundles += 1;
        let parts = bundle.parts.iter().map(|part| {
            let (from, to) = (part.from.as_nanos(), part.to.as_nanos());
            if from < to {
                return Some(PlottedPart { from, to, empty: part.samples.is_empty() });
            }
            let times = || part.samples.iter().map(|item| item.stamp.event_time.as_nanos());
            Some(PlottedPart { from: times().min()?, to: times().max()?, empty: false })
        });
        let shape = Shape { time: bundle.event_time.as_nanos(), parts: parts.collect(), outcome };
        let (from, to) = shape.extent();
        if !self.in_range(from, to) {
            return;
        }
        if self.shapes.len() < MOST {
            self.shapes.push(shape);
        } else {
            self.cut |= self.is_ranged();
        }
    }

    pub(super) fn is_ranged(&self) -> bool {
        self.wanted.from.is_some() || self.wanted.to.is_some()
    }

    fn in_range(&self, from: i64, to: i64) -> bool {
        let at = |seconds: i64| self.zero.saturating_add(seconds);
        self.wanted.from.is_none_or(|start| to >= at(start))
            && self.wanted.to.is_none_or(|stop| from <= at(stop))
    }

    /// The bundles in the picture.
    pub(super) fn shown(&self) -> &[Shape] {
        let most = if self.is_ranged() { MOST } else { BUNDLES };
        self.shapes.get(..most).unwrap_or(&self.shapes)
    }

    /// From when to when the picture goes: as asked for, else as far as the first bundles reach.
    pub(super) fn range(&self) -> (i64, i64) {
        let bundles = self.shown().iter().map(Shape::extent);
        let samples = self.marks.iter().map(|mark| (mark.time(), mark.end()));
        let span = |extents: &mut dyn Iterator<Item = (i64, i64)>| {
            extents.reduce(|all, next| (all.0.min(next.0), all.1.max(next.1)))
        };
        let natural = match self.is_ranged() {
            true => span(&mut bundles.chain(samples)),
            false => span(&mut bundles.into_iter()).or_else(|| span(&mut samples.take(SAMPLES))),
        };
        let (from, to) = natural.unwrap_or((self.zero, self.zero.saturating_add(1_000_000_000)));
        let margin = (to.saturating_sub(from) / 40).max(1);
        let at = |seconds: i64| self.zero.saturating_add(seconds);
        let from = self.wanted.from.map_or(from.saturating_sub(margin), at);
        let to = self.wanted.to.map_or(to.saturating_add(margin), at);
        (from, to.max(from.saturating_add(1)))
    }
}

impl Shape {
    /// The time from the first to the last that belongs to it.
    fn extent(&self) -> (i64, i64) {
        let parts = self.parts.iter().flatten();
        parts.fold((self.time, self.time), |(from, to), part| (from.min(part.from), to.max(part.to)))
    }
}
