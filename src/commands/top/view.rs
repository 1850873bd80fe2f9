//! Metrics for people, one screen at a time.

use std::collections::VecDeque;
use std::fmt::{self, Write};

use super::look::Look;

/// The number of looks in the curve of the lag.
const LOOKS: usize = 60;
const PARTS: [&str; 7] = ["kafka", "align", "batch", "preprocess", "model", "publish", "total"];
/// The counters of losses, with the words for each.
const LOSSES: [(&str, &str); 6] = [
    ("lockstep_late_total", "late"),
    ("lockstep_dropped_total", "dropped"),
    ("lockstep_evicted_total", "evicted"),
    ("lockstep_shed_total", "shed"),
    ("lockstep_dead_letters_total", "dead-lettered"),
    ("lockstep_restarts_total", "restarts"),
];

/// The screen of a process.
pub(super) struct View {
    address: String,
    lags: VecDeque<f64>,
}

impl View {
    pub(super) fn new(address: &str) -> Self {
        Self { address: address.to_owned(), lags: VecDeque::new() }
    }

    /// Formats the next screen.
    pub(super) fn show(&mut self, look: &Look<'_>) -> String {
        if self.lags.len() >= LOOKS {
            self.lags.pop_front();
        }
        self.lags.push_back(look.now.sum("lockstep_consumer_lag_records").unwrap_or(0.0));
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut text, look);
        text
    }

    fn write(&self, to: &mut String, look: &Look<'_>) -> fmt::Result {
        let now = look.now;
        writeln!(to, "lockstep at {}\n", self.address)?;
        writeln!(
            to,
            "records    {} arrive, {} taken in, {} results",
            rate(now.sum("lockstep_arrival_records_per_second")),
            rate(look.per_second("lockstep_records_total")),
            rate(look.per_second("lockstep_results_total")),
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
        let instances = now.by("lockstep_instances", "step", |a, b| a + b);
        let busy = now.by("lockstep_busy_ratio", "of", f64::max);
        if !busy.is_empty() {
            writeln!(to, "\n{:<28}{:>8}{:>8}{:>10}", "", "busy", "now", "wanted")?;
        }
        for (of, busy) in &busy {
            let there = match of.strip_prefix("instances of ") {
                Some(step) => instances.get(step).copied(),
                None => now.sum("lockstep_shards"),
            };
            let (there, wanted) = (count(there), count(wanted.get(of).copied()));
            writeln!(to, "{:<28}{:>6.0} %{there:>8}{wanted:>10}", shown(of), busy * 100.0)?;
        }
        writeln!(
            to,
            "{} shards, {:.0} streams, {:.0} samples in buffers",
            count(now.sum("lockstep_shards")),
            now.sum("lockstep_streams").unwrap_or(0.0),
            now.sum("lockstep_buffered_samples").unwrap_or(0.0)
        )?;

        writeln!(to, "\n{:<28}{:>8}{:>10}", "latency", "mean", "p99 up to")?;
        for part in PARTS {
            let times = look.recorded("lockstep_latency_seconds", ("part", part));
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

/// Escapes control characters: names come from outside and must not move the cursor.
fn shown(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn count(count: Option<f64>) -> String {
    count.map_or("-".to_owned(), |count| format!("{count:.0}"))
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
    use std::time::{Duration, Instant};

    use super::*;
    use lockstep_http::client::Scrape;

    fn scrape(records: u32, lag: u32) -> Scrape {
        Scrape::parse(&format!(
            "lockstep_records_total{{input=\"video\"}} {records}\nlockstep_results_total {records}\n\
             lockstep_arrival_records_per_second 120\n\
             lockstep_consumer_lag_records{{input=\"video\",partition=\"0\"}} {lag}\n\
             lockstep_oldest_event_age_seconds{{input=\"video\",partition=\"0\"}} 1.5\n\
             lockstep_busy_ratio{{of=\"shards\"}} 0.5\nlockstep_scaling_wanted{{of=\"shards\"}} 3\n\
             lockstep_busy_ratio{{of=\"in\u{1b}[2Jstances\"}} 0.25\n\
             lockstep_shards 2\nlockstep_desired_replicas 0.75\nlockstep_byte_budget 1048576\nlockstep_bytes_in_flight 524288\n\
             lockstep_latency_seconds_bucket{{part=\"total\",le=\"0.05\"}} {records}\n\
             lockstep_latency_seconds_sum{{part=\"total\"}} {}\nlockstep_latency_seconds_count{{part=\"total\"}} {records}\n",
            f64::from(records) * 0.02
        ))
    }

    #[test]
    fn a_screen_tells_rates_waiting_numbers_and_latency() {
        let mut view = View::new("host:1");
        let began = Instant::now();
        let before = (scrape(100, 0), began);
        let first = view.show(&Look::new(&before.0, began, None));
        assert!(first.contains("120.0/s arrive, - taken in"), "no rate at the first look: {first}");
        let now = scrape(300, 40);
        let second = view.show(&Look::new(&now, began + Duration::from_secs(2), Some(&before)));
        for words in [
            "100.0/s taken in, 100.0/s results",
            "40 records, the oldest 1.5 s old  ▁█",
            "0.5 MiB of 1.0 MiB",
            "0.75 asked for",
            "2 shards, ",
            "  total                      20.0 ms   50.0 ms",
        ] {
            assert!(second.contains(words), "{words:?} is not in\n{second}");
        }
        assert!(
            second.lines().any(|line| line.split_whitespace().eq(["shards", "50", "%", "2", "3"])),
            "{second}"
        );
    }

    #[test]
    fn names_from_outside_cannot_move_the_cursor() {
        let text = View::new("host:1").show(&Look::new(&scrape(1, 1), Instant::now(), None));
        assert!(!text.contains('\u{1b}') && text.contains("in\u{fffd}[2Jstances"), "{text}");
    }

    #[test]
    fn the_curve_remembers_a_bounded_number_of_looks() {
        let mut view = View::new("host:1");
        for look in 0..200 {
            view.show(&Look::new(&scrape(look, look), Instant::now(), None));
        }
        assert_eq!(view.lags.len(), LOOKS);
    }
}
