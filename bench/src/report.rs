//! Figures as a table and as JSON.

use std::fmt::Write;

use lockstep_assemble::Failure;
use serde::Serialize;

use super::load::watch::LoadMeasures;

/// The result of a bench.
#[derive(Serialize)]
pub(super) struct Report {
    pub(super) bench: &'static str,
    pub(super) cases: Vec<Case>,
    /// The measures of each second, for a bench that records them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) looks: Vec<LoadMeasures>,
    /// The meaning of the figures and how they were measured.
    pub(super) about: String,
    pub(super) machine: Machine,
}

/// One line of the table.
#[derive(Serialize)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) ours: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) theirs: Option<f64>,
    pub(super) unit: &'static str,
    /// Ours by theirs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ratio: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) goal: Option<Goal>,
}

/// The target of a figure.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Goal {
    RatioAtLeast(f64),
    RatioAtMost(f64),
    AtLeast(f64),
    Below(f64),
    AtMost(f64),
}

impl Case {
    /// A figure beside that of a bare library.
    pub(super) fn against(name: impl Into<String>, ours: f64, theirs: f64, unit: &'static str) -> Self {
        let ratio = (theirs > 0.0).then(|| ours / theirs);
        Self { name: name.into(), ours, theirs: Some(theirs), unit, ratio, goal: None }
    }

    /// A figure alone.
    pub(super) fn alone(name: impl Into<String>, ours: f64, unit: &'static str) -> Self {
        Self { name: name.into(), ours, theirs: None, unit, ratio: None, goal: None }
    }

    pub(super) fn goal(self, goal: Goal) -> Self {
        Self { goal: Some(goal), ..self }
    }

    fn verdict(&self) -> String {
        let Some(goal) = self.goal else { return String::new() };
        let ratio = self.ratio.unwrap_or(f64::NAN);
        let (words, met) = match goal {
            Goal::RatioAtLeast(least) => (format!("ratio >= {least}"), ratio >= least),
            Goal::RatioAtMost(most) => (format!("ratio <= {most}"), ratio <= most),
            Goal::AtLeast(least) => (format!(">= {least}"), self.ours >= least),
            Goal::Below(most) => (format!("< {most}"), self.ours < most),
            Goal::AtMost(most) => (format!("<= {most}"), self.ours <= most),
        };
        format!("{words} {}", if met { "(met)" } else { "(missed)" })
    }
}

impl Report {
    pub(super) fn new(bench: &'static str, about: impl Into<String>, cases: Vec<Case>) -> Self {
        Self { bench, cases, looks: Vec::new(), about: about.into(), machine: Machine::this() }
    }

    pub(super) fn json(&self) -> Result<String, Failure> {
        Ok(serde_json::to_string(self)?)
    }

    pub(super) fn table(&self) -> String {
        let width = self.cases.iter().map(|case| case.name.chars().count()).max().unwrap_or(0).max(4);
        let mut text = format!("{} on {}\n", self.bench, self.machine.words());
        let _ = writeln!(
            text,
            "  {:width$}  {:>12}  {:>12}  {:10}  {:>6}  goal",
            "case", "ours", "theirs", "unit", "ratio"
        );
        for case in &self.cases {
            let or_dash = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
            let _ = writeln!(
                text,
                "  {:width$}  {:>12}  {:>12}  {:10}  {:>6}  {}",
                case.name,
                shown(case.ours),
                or_dash(case.theirs.map(shown)),
                case.unit,
                or_dash(case.ratio.map(|ratio| format!("{ratio:.3}"))),
                case.verdict()
            );
        }
        let _ = writeln!(text, "{}", self.about);
        text
    }
}

fn shown(value: f64) -> String {
    if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.3}") }
}

/// Where the figures were taken.
#[derive(Serialize)]
pub(super) struct Machine {
    cpu: String,
    cores: usize,
    system: String,
    build: &'static str,
}

impl Machine {
    fn this() -> Self {
        let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = info.lines().find(|line| line.starts_with("model name"));
        let cpu = model.and_then(|line| line.split_once(':')).map_or("unknown", |(_, name)| name.trim());
        Self {
            cpu: cpu.to_owned(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            build: if cfg!(debug_assertions) { "debug" } else { "release" },
        }
    }

    fn words(&self) -> String {
        format!("{}, {} cores, {}, {} build", self.cpu, self.cores, self.system, self.build)
    }
}

/// The median; 0 of nothing.
pub(super) fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// The smallest value that at least a share of them do not exceed; 0 of nothing.
pub(super) fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let place = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(place.saturating_sub(1)).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_were_measured() {
        let values = [3.0, 1.0, 2.0, 4.0];
        assert_eq!((median(&values), quantile(&values, 0.99), quantile(&values, 0.0)), (2.0, 4.0, 1.0));
        assert_eq!(median(&[]), 0.0);
    }

    #[test]
    fn a_report_has_the_figures_under_their_names() {
        let case = Case::against("1kB", 90.0, 100.0, "records/s").goal(Goal::RatioAtLeast(0.9));
        let report =
            Report::new("overhead", "", vec![case, Case::alone("p99", 6.0, "ms").goal(Goal::Below(5.0))]);
        let json: serde_json::Value = serde_json::from_str(&report.json().expect("JSON")).expect("JSON");
        assert_eq!(json["cases"][0]["ratio"], 0.9);
        assert_eq!(json["cases"][0]["unit"], "records/s");
        assert!(json["cases"][1].get("theirs").is_none());
        let table = report.table();
        assert!(table.contains("ratio >= 0.9 (met)") && table.contains("< 5 (missed)"), "{table}");
    }
}
