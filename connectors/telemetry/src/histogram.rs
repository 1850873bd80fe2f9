//! Histograms that count each value at once. The exporter's own keep every value until the next scrape. That costs memory and time
//! for each value, without end where nothing scrapes.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use metrics::{HistogramFn, Key};
use metrics_exporter_prometheus::formatting::{
    sanitize_label_key, sanitize_label_value, write_help_line, write_type_line,
};
use parking_lot::Mutex;

/// All histograms of the process, by name and labels.
#[derive(Default)]
pub(super) struct Histograms(Mutex<BTreeMap<String, Family>>);

#[derive(Default)]
struct Family {
    help: String,
    series: BTreeMap<String, Arc<Buckets>>,
}

/// One histogram.
pub(super) struct Buckets {
    /// The largest value of each bucket; ascending.
    bounds: &'static [f64],
    /// The number of values in each bucket, and above the last.
    counts: Box<[AtomicU64]>,
    /// The bits of the sum.
    sum: AtomicU64,
}

impl HistogramFn for Buckets {
    fn record(&self, value: f64) {
        self.record_many(value, 1);
    }

    fn record_many(&self, value: f64, count: usize) {
        let place = self.bounds.partition_point(|bound| *bound < value);
        let Some(bucket) = self.counts.get(place) else { return };
        bucket.fetch_add(count as u64, Ordering::Relaxed);
        let added = value * count as f64;
        let add = |sum| Some((f64::from_bits(sum) + added).to_bits());
        // `fetch_update` repeats until it succeeds, as `add` always returns a value.
        let _ = self.sum.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }
}

impl Histograms {
    pub(super) fn describe(&self, name: &str, help: &str) {
        self.0.lock().entry(name.to_owned()).or_default().help = help.to_owned();
    }

    /// Returns the histogram of this name and these labels, and makes it on the first call.
    pub(super) fn of(&self, key: &Key, bounds: &'static [f64]) -> Arc<Buckets> {
        let labels = key.labels().map(|label| {
            format!("{}=\"{}\",", sanitize_label_key(label.key()), sanitize_label_value(label.value()))
        });
        let mut families = self.0.lock();
        let series = &mut families.entry(key.name().to_owned()).or_default().series;
        let new = || {
            let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
            Arc::new(Buckets { bounds, counts, sum: AtomicU64::new(0) })
        };
        series.entry(labels.collect()).or_insert_with(new).clone()
    }

    /// Appends all histograms in Prometheus' text format.
    /// Source: <https://prometheus.io/docs/instrumenting/exposition_formats/>
    pub(super) fn render(&self, out: &mut String) {
        for (name, Family { help, series }) in &*self.0.lock() {
            if series.is_empty() {
                continue;
            }
            write_help_line(out, name, None, None, help);
            write_type_line(out, name, None, None, "histogram");
            for (labels, buckets) in series {
                buckets.render(out, name, labels);
            }
            out.push('\n');
        }
    }
}

impl Buckets {
    /// `labels` is empty or ends in a comma.
    fn render(&self, out: &mut String, name: &str, labels: &str) {
        let mut count = 0;
        let bounds = self.bounds.iter().map(f64::to_string).chain([String::from("+Inf")]);
        for (bound, bucket) in bounds.zip(&self.counts) {
            count += bucket.load(Ordering::Relaxed);
            // Writing to a string cannot fail.
            let _ = writeln!(out, "{name}_bucket{{{labels}le=\"{bound}\"}} {count}");
        }
        let only = labels.trim_end_matches(',');
        let braced = if only.is_empty() { String::new() } else { format!("{{{only}}}") };
        let sum = f64::from_bits(self.sum.load(Ordering::Relaxed));
        let _ = writeln!(out, "{name}_sum{braced} {sum}\n{name}_count{braced} {count}");
    }
}

#[cfg(test)]
mod tests {
    use metrics::Label;

    use super::*;

    #[test]
    fn histogram_counts_a_value_in_its_bucket_and_those_above() {
        let all = Histograms::default();
        all.describe("d_seconds", "duration");
        let key = Key::from_parts("d_seconds", vec![Label::new("part", "a\"b")]);
        let histogram = all.of(&key, &[0.5, 1.0]);
        histogram.record(0.5);
        all.of(&key, &[0.5, 1.0]).record_many(0.75, 3);
        histogram.record(7.0);
        let mut text = String::new();
        all.render(&mut text);
        let expected = "# HELP d_seconds duration\n\
                        # TYPE d_seconds histogram\n\
                        d_seconds_bucket{part=\"a\\\"b\",le=\"0.5\"} 1\n\
                        d_seconds_bucket{part=\"a\\\"b\",le=\"1\"} 4\n\
                        d_seconds_bucket{part=\"a\\\"b\",le=\"+Inf\"} 5\n\
                        d_seconds_sum{part=\"a\\\"b\"} 9.75\n\
                        d_seconds_count{part=\"a\\\"b\"} 5\n\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn histogram_without_labels_has_no_empty_braces() {
        let all = Histograms::default();
        all.of(&Key::from_name("size"), &[1.0]).record(2.0);
        let mut text = String::new();
        all.render(&mut text);
        assert!(
            text.contains("size_bucket{le=\"1\"} 0\n") && text.ends_with("size_sum 2\nsize_count 1\n\n"),
            "{text}"
        );
    }
}
