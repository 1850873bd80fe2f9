//! Metrics in Prometheus' text format.
//! Source: <https://prometheus.io/docs/instrumenting/exposition_formats/>

use std::fmt::{self, Display, Write};

use super::registry::{Metric, Registry};
use super::snapshot::HistogramSnapshot;

/// Renders all metrics.
pub(super) fn render(registry: &Registry) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = families(&mut text, registry, "counter", &registry.counters(), single)
        .and_then(|()| families(&mut text, registry, "gauge", &registry.gauges(), single))
        .and_then(|()| families(&mut text, registry, "histogram", &registry.histograms(), histogram));
    text
}

/// Writes metrics of one kind, those of each name under a head.
fn families<T>(
    to: &mut String,
    registry: &Registry,
    kind: &str,
    metrics: &[Metric<T>],
    series: fn(&mut String, &Metric<T>) -> fmt::Result,
) -> fmt::Result {
    for family in metrics.chunk_by(|a, b| a.name() == b.name()) {
        let name = family.first().map_or("", Metric::name);
        if let Some(help) = registry.help(name) {
            writeln!(to, "# HELP {name} {}", help.replace('\\', r"\\").replace('\n', r"\n"))?;
        }
        writeln!(to, "# TYPE {name} {kind}")?;
        family.iter().try_for_each(|metric| series(to, metric))?;
        to.push('\n');
    }
    Ok(())
}

fn single<T: Display>(to: &mut String, metric: &Metric<T>) -> fmt::Result {
    writeln!(to, "{}{} {}", metric.name(), braced(&labels(metric)), metric.value)
}

fn histogram(to: &mut String, metric: &Metric<HistogramSnapshot>) -> fmt::Result {
    let (name, labels) = (metric.name(), labels(metric));
    let comma = if labels.is_empty() { "" } else { "," };
    let mut up_to_here = 0;
    for bucket in &metric.value.buckets {
        up_to_here += bucket.count;
        let bound = bucket.up_to.map_or_else(|| "+Inf".to_owned(), |bound| bound.to_string());
        writeln!(to, "{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {up_to_here}")?;
    }
    let braced = braced(&labels);
    writeln!(to, "{name}_sum{braced} {}\n{name}_count{braced} {up_to_here}", metric.value.sum)
}

/// `label="value",…`
fn labels<T>(metric: &Metric<T>) -> String {
    let labels = metric.labels().map(|(label, value)| {
        let value = value.replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n");
        format!("{label}=\"{value}\"")
    });
    labels.collect::<Vec<_>>().join(",")
}

fn braced(labels: &str) -> String {
    if labels.is_empty() { String::new() } else { format!("{{{labels}}}") }
}

#[cfg(test)]
mod tests {
    use metrics::{CounterFn, GaugeFn, HistogramFn, Key, Label};

    use super::*;

    fn key(name: &'static str, labels: &[(&'static str, &'static str)]) -> Key {
        let labels: Vec<Label> = labels.iter().map(|(label, value)| Label::new(*label, *value)).collect();
        Key::from_parts(name, labels)
    }

    #[test]
    fn exposition_renders_each_kind_with_help_and_type() {
        let registry = Registry::default();
        registry.describe("results_total", "results\nacknowledged");
        registry.describe("d_seconds", "duration");
        CounterFn::increment(&*registry.counter(&key("results_total", &[])), 3);
        for (partition, lag) in [("0", 4.5), ("1", f64::NAN)] {
            GaugeFn::set(
                &*registry.gauge(&key("lag", &[("input", "a\"b\\c"), ("partition", partition)])),
                lag,
            );
        }
        let histogram = registry.histogram(&key("d_seconds", &[("part", "x")]), &[0.5, 1.0]);
        histogram.record(0.5);
        histogram.record_many(0.75, 3);
        registry.histogram(&key("size", &[]), &[1.0]).record(2.0);
        let expected = "# HELP results_total results\\nacknowledged\n\
                        # TYPE results_total counter\n\
                        results_total 3\n\n\
                        # TYPE lag gauge\n\
                        lag{input=\"a\\\"b\\\\c\",partition=\"0\"} 4.5\n\n\
                        # HELP d_seconds duration\n\
                        # TYPE d_seconds histogram\n\
                        d_seconds_bucket{part=\"x\",le=\"0.5\"} 1\n\
                        d_seconds_bucket{part=\"x\",le=\"1\"} 4\n\
                        d_seconds_bucket{part=\"x\",le=\"+Inf\"} 4\n\
                        d_seconds_sum{part=\"x\"} 2.75\n\
                        d_seconds_count{part=\"x\"} 4\n\n\
                        # TYPE size histogram\n\
                        size_bucket{le=\"1\"} 0\n\
                        size_bucket{le=\"+Inf\"} 1\n\
                        size_sum 2\n\
                        size_count 1\n\n";
        assert_eq!(render(&registry), expected);
    }
}
