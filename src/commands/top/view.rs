//! Metrics for people, one screen at a time.

use std::collections::VecDeque;
use std::fmt::{self, Write};
use std::time::Instant;

use super::metrics::Scrape;

/// Looks that the curve remembers.
const LOOKS: usize = 60;
const PARTS: [&str; 7] = ["kafka", "align", "batch", "preprocess", "model", "publish", "total"];
/// Of each, what it counts.
const LOSSES: [(&str, &str); 5] = [
    ("lockstep_late_total", "late"),
    ("lockstep_dropped_total", "dropped"),
    ("lockstep_evicted_total", "evicted"),
    ("lockstep_dead_letters_total", "dead-lettered"),
    ("lockstep_restarts_total", "restarts"),
];

/// What is shown of a process.
pub(super) struct View {
    address: String,
    before: Option<(Scrape, Instant)>,
    lags: VecDeque<f64>,
}

impl View {
    pub(super) fn new(address: &str) -> Self {
        Self { address: address.to_owned(), before: None, lags: VecDeque::new() }
    }

    /// The next screen.
    pub(super) fn show(&mut self, now: Scrape, at: Instant) -> String {
        if self.lags.len() >= LOOKS {
            self.lags.pop_front();
        }
        self.lags.push_back(now.sum("lockstep_consumer_lag_records").unwrap_or(0.0));
        let mut text = String::new();
        let before = self.before.take();
        // Writing to a string cannot fail.
        let _ = self.write(
            &mut text,
            &now,
            before.as_ref().map(|(before, then)| (before, at.duration_since(*then).as_secs_f64())),
        );
        self.before = Some((now, at));
        text
    }

    fn write(&self, to: &mut String, now: &Scrape, before: Option<(&Scrape, f64)>) -> fmt::Result {
        let per_second = |name: &str| {
            let (before, seconds) = before?;
            Some(now.grown(before, name) / seconds.max(1e-3))
        };
        writeln!(to, "lockstep at {}\n", self.address)?;
        writeln!(
            to,
            "records    {} arrive, {} taken in, {} results",
            rate(now.sum("lockstep_arrival_records_per_second")),
            rate(per_second("lockstep_records_total")),
            rate(per_second("lockstep_results_total")),
        )?;
        let lag = self.lags.back().copied().unwrap_or(0.0);
        let ages = now.by("lockstep_oldest_event_age_seconds", "input", f64::max);
        let oldest = ages.values().copied().fold(0.0, f64::max);
        writeln!(to, "waiting    {lag:.0} records, the oldest {oldest:.1} s old  {}", curve(&self.lags))?;
        let (used, budget) = (now.sum("lockstep_bytes_in_flight"), now.sum("lockstep_byte_budget"));
        writeln!(
            to,
            "memory     {} of {}, {:.0} partitions paused",
            mebibytes(used),
            mebibytes(budget),
            now.sum("lockstep_paused_partitions").unwrap_or(0.0)
        )?;
        let processes = now.sum("lockstep_desired_replicas");
        writeln!(
            to,
            "processes  {} asked for",
            processes.map_or("-".to_owned(), |count| format!("{count:.2}"))
        )?;

        let wanted = now.by("lockstep_scaling_wanted", "of", f64::max);
        let busy = now.by("lockstep_busy_ratio", "of", f64::max);
        if !busy.is_empty() {
            writeln!(to, "\n{:<28}{:>8}{:>10}", "", "busy", "wanted")?;
        }
        for (of, busy) in &busy {
            let wanted = wanted.get(of).map_or("-".to_owned(), |count| format!("{count:.0}"));
            writeln!(to, "{:<28}{:>6.0} %{wanted:>10}", shown(of), busy * 100.0)?;
        }
        writeln!(
            to,
            "{} shards, {:.0} streams, {:.0} samples in buffers",
            now.count("lockstep_streams"),
            now.sum("lockstep_streams").unwrap_or(0.0),
            now.sum("lockstep_buffered_samples").unwrap_or(0.0)
        )?;

        writeln!(to, "\n{:<28}{:>8}{:>10}", "latency", "mean", "p99 up to")?;
        for part in PARTS {
            let times = before.and_then(|(before, _)| {
                now.recorded(before, "lockstep_latency_seconds", Some(("part", part)))
            });
            let (mean, p99) = times.unzip();
            writeln!(to, "  {part:<26}{:>8}{:>10}", seconds(mean), seconds(p99))?;
        }

        writeln!(to, "\n{:<28}{:>8}{:>10}", "input", "lag", "oldest")?;
        for (input, lag) in now.by("lockstep_consumer_lag_records", "input", |a, b| a + b) {
            writeln!(to, "  {:<26}{lag:>8.0}{:>10}", shown(&input), seconds(ages.get(&input).copied()))?;
        }
        let losses = LOSSES.map(|(name, what)| format!("{what} {:.0}", now.sum(name).unwrap_or(0.0)));
        writeln!(to, "\nsince its start: {}", losses.join(", "))
    }
}

/// Names are from outside: what could move the cursor is shown as what it is.
fn shown(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn rate(per_second: Option<f64>) -> String {
    per_second.map_or("-".to_owned(), |rate| format!("{rate:.1}/s"))
}

fn mebibytes(bytes: Option<f64>) -> String {
    bytes.map_or("-".to_owned(), |bytes| format!("{:.1} MiB", bytes / f64::from(1 << 20)))
}

fn seconds(seconds: Option<f64>) -> String {
    match seconds {
        None => "-".to_owned(),
        Some(seconds) if seconds < 1.0 => format!("{:.1} ms", seconds * 1e3),
        Some(seconds) => format!("{seconds:.1} s"),
    }
}

/// Heights by the greatest of them.
fn curve(values: &VecDeque<f64>) -> String {
    const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let most = values.iter().copied().fold(1.0, f64::max);
    let height = |value: &f64| HEIGHTS.get((value / most * 7.0).round() as usize).copied().unwrap_or('▁');
    values.iter().map(height).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn scrape(records: u32, lag: u32) -> Scrape {
        Scrape::parse(&format!(
            "lockstep_records_total{{input=\"video\"}} {records}\nlockstep_results_total {records}\n\
             lockstep_arrival_records_per_second 120\n\
             lockstep_consumer_lag_records{{input=\"video\",partition=\"0\"}} {lag}\n\
             lockstep_oldest_event_age_seconds{{input=\"video\",partition=\"0\"}} 1.5\n\
             lockstep_busy_ratio{{of=\"shards\"}} 0.5\nlockstep_scaling_wanted{{of=\"shards\"}} 3\n\
             lockstep_busy_ratio{{of=\"in\u{1b}[2Jstances\"}} 0.25\n\
             lockstep_desired_replicas 0.75\nlockstep_byte_budget 1048576\nlockstep_bytes_in_flight 524288\n\
             lockstep_latency_seconds_bucket{{part=\"total\",le=\"0.05\"}} {records}\n\
             lockstep_latency_seconds_sum{{part=\"total\"}} {}\nlockstep_latency_seconds_count{{part=\"total\"}} {records}\n",
            f64::from(records) * 0.02
        ))
    }

    #[test]
    fn a_screen_tells_rates_waiting_numbers_and_latency() {
        let mut view = View::new("host:1");
        let began = Instant::now();
        let first = view.show(scrape(100, 0), began);
        assert!(first.contains("120.0/s arrive, - taken in"), "no rate at the first look: {first}");
        let second = view.show(scrape(300, 40), began + Duration::from_secs(2));
        for words in [
            "100.0/s taken in, 100.0/s results",
            "40 records, the oldest 1.5 s old  ▁█",
            "0.5 MiB of 1.0 MiB",
            "0.75 asked for",
            "  total                      20.0 ms   50.0 ms",
        ] {
            assert!(second.contains(words), "{words:?} is not in\n{second}");
        }
        assert!(
            second
                .lines()
                .any(|line| line.starts_with("shards") && line.contains("50 %") && line.ends_with('3')),
            "{second}"
        );
    }

    #[test]
    fn names_from_outside_cannot_move_the_cursor() {
        let text = View::new("host:1").show(scrape(1, 1), Instant::now());
        assert!(!text.contains('\u{1b}') && text.contains("in\u{fffd}[2Jstances"), "{text}");
    }

    #[test]
    fn the_curve_remembers_a_bounded_number_of_looks() {
        let mut view = View::new("host:1");
        for look in 0..200 {
            view.show(scrape(look, look), Instant::now());
        }
        assert_eq!(view.lags.len(), LOOKS);
    }
}
