//! The status for people, one screen at a time.

use std::collections::VecDeque;
use std::fmt::{self, Write};

use lockstep_http::{HistogramSnapshot, InputStatus, StatusDocument};

use super::look::Look;

/// The number of looks in the curve of the lag.
const LOOKS: usize = 60;
const PARTS: [&str; 7] = ["kafka", "align", "batch", "preprocess", "model", "publish", "total"];
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
        self.lags.push_back(look.now.lag_records().unwrap_or(0) as f64);
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
            rate(now.load.arrival_records_per_second),
            rate(look.per_second(StatusDocument::records)),
            rate(look.per_second(|status| status.results.acknowledged)),
        )?;
        let lag = self.lags.back().copied().unwrap_or(0.0);
        let oldest = now.oldest_event_age_seconds().unwrap_or(0.0);
        writeln!(to, "waiting    {lag:.0} records, the oldest {oldest:.1} s old  {}", curve(&self.lags))?;
        writeln!(
            to,
            "memory     {} of {}, {} partitions paused",
            mebibytes(now.memory.in_flight_bytes),
            mebibytes(now.memory.budget_bytes),
            now.partitions.paused
        )?;
        let processes = now.load.desired_replicas;
        writeln!(
            to,
            "processes  {} asked for",
            processes.map_or("-".to_owned(), |count| format!("{count:.2}"))
        )?;
        stages(to, now)?;

        writeln!(to, "\n{:<28}{:>8}{:>10}", "latency", "mean", "p99 up to")?;
        for part in PARTS {
            let times = look.latency(part);
            let mean = times.as_ref().and_then(HistogramSnapshot::mean);
            let p99 = times.as_ref().and_then(|times| times.quantile(0.99));
            writeln!(to, "  {part:<26}{:>8}{:>10}", seconds(mean), seconds(p99))?;
        }

        writeln!(to, "\n{:<28}{:>8}{:>10}", "input", "lag", "oldest")?;
        for (name, input) in &now.inputs {
            if let Some(lag) = input.lag_records {
                let oldest = seconds(input.oldest_event_age_seconds);
                writeln!(to, "  {:<26}{lag:>8}{oldest:>10}", shown(name))?;
            }
        }
        writeln!(to, "\nsince its start: {}", losses(now))
    }
}

/// The shards and the instances of each step, with the share of time for which they are busy.
fn stages(to: &mut String, now: &StatusDocument) -> fmt::Result {
    let steps = now.steps.iter().map(|(name, step)| (format!("instances of {}", shown(name)), &step.scaling));
    let all = steps.chain([("shards".to_owned(), &now.shards.scaling)]);
    let busy: Vec<_> = all.filter_map(|(name, scaling)| Some((name, scaling, scaling.busy_ratio?))).collect();
    if !busy.is_empty() {
        writeln!(to, "\n{:<28}{:>8}{:>8}{:>10}", "", "busy", "now", "wanted")?;
    }
    for (name, scaling, busy) in busy {
        let wanted = scaling.wanted.map_or("-".to_owned(), |wanted| wanted.to_string());
        writeln!(to, "{name:<28}{:>6.0} %{:>8}{wanted:>10}", busy * 100.0, scaling.current)?;
    }
    let shards = &now.shards;
    writeln!(
        to,
        "{} shards, {} streams, {} samples in buffers",
        shards.scaling.current, shards.streams, shards.buffered_samples
    )
}

/// Counts of samples and records that ended in no result, and of restarts.
fn losses(now: &StatusDocument) -> String {
    let samples = |of: fn(&InputStatus) -> u64| now.inputs.values().map(of).sum::<u64>();
    let late = samples(|input| input.late_samples);
    let dropped = samples(|input| input.dropped_samples.values().sum());
    let evicted = samples(|input| input.evicted_samples.values().sum());
    let shed = samples(|input| input.shed_samples.values().sum());
    let dead: u64 = now.results.dead_letters.values().flat_map(|reasons| reasons.values()).sum();
    let restarts: u64 = now.actors.values().map(|actor| actor.restarts).sum();
    format!(
        "late {late}, dropped {dropped}, evicted {evicted}, shed {shed}, dead-lettered {dead}, restarts {restarts}"
    )
}

/// Escapes control characters: names come from outside and must not move the cursor.
fn shown(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn rate(per_second: Option<f64>) -> String {
    per_second.map_or("-".to_owned(), |rate| format!("{rate:.1}/s"))
}

fn mebibytes(bytes: Option<u64>) -> String {
    bytes.map_or("-".to_owned(), |bytes| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20)))
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

    use lockstep_http::{StageScaling, StepStatus};

    use super::*;
    use crate::commands::top::testing::{latencies, with_input};

    fn status(records: u64, lag: u64) -> StatusDocument {
        let mut status = with_input("video", lag, Some(1.5));
        if let Some(input) = status.inputs.get_mut("video") {
            input.records = records;
            input.late_samples = 4;
            input.shed_samples = [("rate".to_owned(), 2), ("age".to_owned(), 3)].into();
        }
        status.results.acknowledged = records;
        status.results.latency_seconds = [("total".to_owned(), latencies(records, 0.02))].into();
        status.load.arrival_records_per_second = Some(120.0);
        status.load.desired_replicas = Some(0.75);
        status.memory.in_flight_bytes = Some(524_288);
        status.memory.budget_bytes = Some(1_048_576);
        status.shards.scaling =
            StageScaling { current: 2, wanted: Some(3), busy_ratio: Some(0.5), ..Default::default() };
        let mut step = StepStatus::default();
        step.scaling.busy_ratio = Some(0.25);
        status.steps.insert("in\u{1b}[2Jstances".to_owned(), step);
        status
    }

    #[test]
    fn screen_shows_rates_waiting_numbers_and_latency() {
        let mut view = View::new("host:1");
        let began = Instant::now();
        let before = (status(100, 0), began);
        let first = view.show(&Look::new(&before.0, began, None));
        assert!(first.contains("120.0/s arrive, - taken in"), "no rate at the first look: {first}");
        let now = status(300, 40);
        let second = view.show(&Look::new(&now, began + Duration::from_secs(2), Some(&before)));
        for words in [
            "100.0/s taken in, 100.0/s results",
            "40 records, the oldest 1.5 s old  ▁█",
            "0.5 MiB of 1.0 MiB",
            "0.75 asked for",
            "2 shards, ",
            "  video                           40     1.5 s",
            "late 4, dropped 0, evicted 0, shed 5, dead-lettered 0",
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
    fn screen_escapes_names_from_outside() {
        let text = View::new("host:1").show(&Look::new(&status(1, 1), Instant::now(), None));
        assert!(!text.contains('\u{1b}') && text.contains("in\u{fffd}[2Jstances"), "{text}");
    }

    #[test]
    fn screen_keeps_a_bounded_number_of_looks() {
        let mut view = View::new("host:1");
        for look in 0..200 {
            view.show(&Look::new(&status(look, look), Instant::now(), None));
        }
        assert_eq!(view.lags.len(), LOOKS);
    }
}
