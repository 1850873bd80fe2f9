//! The metrics of the process as typed values, by name and labels. `/metrics` and `/v1/status` read the same values.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use metrics::Key;
use parking_lot::RwLock;

use super::histogram::Buckets;
use super::snapshot::HistogramSnapshot;

/// One metric at one time.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric<T> {
    key: Key,
    /// The value.
    pub value: T,
}

impl<T> Metric<T> {
    /// The name of the metric.
    pub fn name(&self) -> &str {
        self.key.name()
    }

    /// The value of a label; empty if the metric does not have it.
    pub fn label(&self, name: &str) -> &str {
        self.labels().find(|(label, _)| *label == name).map_or("", |(_, value)| value)
    }

    /// The labels and their values.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        self.key.labels().map(|label| (label.key(), label.value()))
    }
}

/// All metrics of one kind.
struct Series<T>(RwLock<HashMap<Key, Arc<T>>>);

impl<T> Default for Series<T> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

impl<T> Series<T> {
    /// Returns the metric of this name and these labels, and makes it on the first call.
    fn of(&self, key: &Key, new: impl FnOnce() -> T) -> Arc<T> {
        let known = self.0.read().get(key).cloned();
        known.unwrap_or_else(|| self.0.write().entry(key.clone()).or_insert_with(|| Arc::new(new())).clone())
    }

    fn read<R>(&self, value: impl Fn(&T) -> R) -> Vec<Metric<R>> {
        let series = self.0.read();
        let read = series.iter().map(|(key, metric)| Metric { key: key.clone(), value: value(metric) });
        let mut metrics: Vec<Metric<R>> = read.collect();
        metrics.sort_by(|a, b| a.key.cmp(&b.key));
        metrics
    }
}

/// All metrics, and what each means.
#[derive(Default)]
pub(super) struct Registry {
    help: RwLock<BTreeMap<String, String>>,
    counters: Series<AtomicU64>,
    /// The bits of each value.
    gauges: Series<AtomicU64>,
    histograms: Series<Buckets>,
}

impl Registry {
    pub(super) fn describe(&self, name: &str, help: &str) {
        self.help.write().insert(name.to_owned(), help.to_owned());
    }

    /// Returns what a metric means, if it was described.
    pub(super) fn help(&self, name: &str) -> Option<String> {
        self.help.read().get(name).cloned()
    }

    pub(super) fn counter(&self, key: &Key) -> Arc<AtomicU64> {
        self.counters.of(key, AtomicU64::default)
    }

    pub(super) fn gauge(&self, key: &Key) -> Arc<AtomicU64> {
        self.gauges.of(key, || AtomicU64::new(0.0_f64.to_bits()))
    }

    pub(super) fn histogram(&self, key: &Key, bounds: &'static [f64]) -> Arc<Buckets> {
        self.histograms.of(key, || Buckets::new(bounds))
    }

    /// Reads all counters, in the order of names and labels.
    pub(super) fn counters(&self) -> Vec<Metric<u64>> {
        self.counters.read(|counter| counter.load(Ordering::Relaxed))
    }

    /// Reads all gauges, in the order of names and labels. Leaves out a gauge that is not a number, because its subject is gone.
    pub(super) fn gauges(&self) -> Vec<Metric<f64>> {
        let mut gauges = self.gauges.read(|gauge| f64::from_bits(gauge.load(Ordering::Relaxed)));
        gauges.retain(|gauge| !gauge.value.is_nan());
        gauges
    }

    /// Reads all histograms, in the order of names and labels.
    pub(super) fn histograms(&self) -> Vec<Metric<HistogramSnapshot>> {
        self.histograms.read(Buckets::snapshot)
    }
}
