//! The recorder of this process's metrics, which counts histograms by buckets and renders Prometheus' text format.

mod histogram;
mod recorder;

pub use recorder::{Metrics, Recorder, RecorderInstalled, install_recorder};
