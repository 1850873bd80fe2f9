//! The recorder of this process's metrics. It keeps typed values, and renders Prometheus' text format of them.

mod exposition;
mod histogram;
mod recorder;
mod registry;
mod snapshot;

pub use recorder::{Metrics, Recorder, RecorderInstalled, install_recorder};
pub use registry::Metric;
pub use snapshot::{Bucket, HistogramSnapshot};
