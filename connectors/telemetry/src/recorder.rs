//! The recorder of metrics, and the buckets of its histograms.

use std::sync::Arc;

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, SharedString, Unit};

use super::exposition;
use super::registry::{Metric, Registry};
use super::snapshot::HistogramSnapshot;

/// Latencies in seconds: from half a millisecond, about one pass through the engine, to half a minute.
const SECONDS: [f64; 16] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.035, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Counts of rows or bundles: batch sizes.
const SIZES: [f64; 12] = [1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 32.0, 64.0, 128.0, 256.0];

/// Sizes in bytes, from 1 KiB to 64 MiB.
const BYTES: [f64; 9] =
    [1024.0, 4096.0, 16_384.0, 65_536.0, 262_144.0, 1_048_576.0, 4_194_304.0, 16_777_216.0, 67_108_864.0];

/// Shares from 0 to 1.
const RATIOS: [f64; 10] = [0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1.0];

/// The buckets of a histogram, by the unit at the end of its name.
fn buckets(name: &str) -> &'static [f64] {
    match name.rsplit('_').next() {
        Some("size") => &SIZES,
        Some("bytes") => &BYTES,
        Some("ratio") => &RATIOS,
        _ => &SECONDS,
    }
}

/// A recorder that keeps typed values.
pub struct Recorder(Arc<Registry>);

/// The metrics of this process.
#[derive(Clone)]
pub struct Metrics(Arc<Registry>);

impl Metrics {
    /// Renders all metrics in Prometheus' text format. Leaves out a gauge that is not a number, because its subject is gone. So sums
    /// over the other gauges stay right, and Prometheus ends the series.
    pub fn render(&self) -> String {
        exposition::render(&self.0)
    }

    /// Reads all counters.
    pub fn counters(&self) -> Vec<Metric<u64>> {
        self.0.counters()
    }

    /// Reads all gauges that are numbers.
    pub fn gauges(&self) -> Vec<Metric<f64>> {
        self.0.gauges()
    }

    /// Reads all histograms.
    pub fn histograms(&self) -> Vec<Metric<HistogramSnapshot>> {
        self.0.histograms()
    }
}

/// The error for a process that has a recorder already.
#[derive(Debug, thiserror::Error)]
#[error("this process records its metrics already; install the recorder once")]
pub struct RecorderInstalled;

/// Records the metrics of this process from now on. A histogram gets its buckets by the unit at the end of its name:
/// `_seconds`, `_size`, `_bytes`, `_ratio`.
///
/// # Errors
/// If the process has a recorder already.
pub fn install_recorder() -> Result<Metrics, RecorderInstalled> {
    let recorder = Recorder::new();
    let metrics = recorder.metrics();
    metrics::set_global_recorder(recorder).map(|()| metrics).map_err(|_| RecorderInstalled)
}

impl Recorder {
    #[allow(clippy::new_without_default, reason = "a recorder is made on purpose, once")]
    /// A recorder with no metrics yet. [`install_recorder`] makes the one of the process.
    pub fn new() -> Self {
        Self(Arc::default())
    }

    /// The metrics that this recorder keeps.
    pub fn metrics(&self) -> Metrics {
        Metrics(self.0.clone())
    }
}

impl metrics::Recorder for Recorder {
    fn describe_counter(&self, key: KeyName, _unit: Option<Unit>, description: SharedString) {
        self.0.describe(key.as_str(), &description);
    }

    fn describe_gauge(&self, key: KeyName, _unit: Option<Unit>, description: SharedString) {
        self.0.describe(key.as_str(), &description);
    }

    fn describe_histogram(&self, key: KeyName, _unit: Option<Unit>, description: SharedString) {
        self.0.describe(key.as_str(), &description);
    }

    fn register_counter(&self, key: &Key, _metadata: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.0.counter(key))
    }

    fn register_gauge(&self, key: &Key, _metadata: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.0.gauge(key))
    }

    fn register_histogram(&self, key: &Key, _metadata: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.0.histogram(key, buckets(key.name())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorder_buckets_ascend() {
        for buckets in [&SECONDS[..], &SIZES, &BYTES, &RATIOS] {
            assert!(buckets.windows(2).all(|pair| pair[0] < pair[1]), "{buckets:?}");
        }
    }
}
