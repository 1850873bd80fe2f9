//! The recorder of metrics, and the buckets of its histograms.

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

/// Latencies in seconds: from half a millisecond, where a pass through the engine lies, to half a minute.
const SECONDS: [f64; 16] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.035, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Counts of rows or bundles: batch sizes.
const SIZES: [f64; 12] = [1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 32.0, 64.0, 128.0, 256.0];

/// Sizes in bytes, from 1 KiB to 64 MiB.
const BYTES: [f64; 9] =
    [1024.0, 4096.0, 16_384.0, 65_536.0, 262_144.0, 1_048_576.0, 4_194_304.0, 16_777_216.0, 67_108_864.0];

/// Shares from 0 to 1.
const RATIOS: [f64; 10] = [0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1.0];

/// Makes Prometheus the recorder of this process's metrics. Histograms get their buckets by the unit that
/// their name ends in: `_seconds`, `_size`, `_bytes`, `_ratio`.
///
/// # Errors
/// When a recorder is there already.
pub fn install_recorder() -> Result<PrometheusHandle, BuildError> {
    builder()?.install_recorder()
}

fn builder() -> Result<PrometheusBuilder, BuildError> {
    let suffix = |text: &str| Matcher::Suffix(text.to_owned());
    PrometheusBuilder::new()
        .set_buckets_for_metric(suffix("_seconds"), &SECONDS)?
        .set_buckets_for_metric(suffix("_size"), &SIZES)?
        .set_buckets_for_metric(suffix("_bytes"), &BYTES)?
        .set_buckets_for_metric(suffix("_ratio"), &RATIOS)
}

#[cfg(test)]
pub(super) fn recorder() -> metrics_exporter_prometheus::PrometheusRecorder {
    builder().expect("the buckets are not empty").build_recorder()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_ascend() {
        for buckets in [&SECONDS[..], &SIZES, &BYTES, &RATIOS] {
            assert!(buckets.windows(2).all(|pair| pair[0] < pair[1]), "{buckets:?}");
        }
    }
}
