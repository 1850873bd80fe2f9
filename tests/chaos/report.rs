//! What came of it, as a table and as JSON.

use serde_json::json;

use crate::load::Account;

/// One scenario under one guarantee.
pub(crate) struct Row {
    pub(crate) scenario: String,
    pub(crate) guarantee: &'static str,
    /// The number of times that a process was killed, stopped or frozen.
    pub(crate) kills: usize,
    pub(crate) samples: usize,
    /// The number of samples that were dead-lettered.
    pub(crate) dead: usize,
    pub(crate) account: Account,
    /// The longest that a sample waited for its result after each of these, in milliseconds.
    pub(crate) recoveries: Vec<u128>,
    /// The same of the stream that waited least: one whose partition did not move, if there was such.
    pub(crate) calm: Vec<u128>,
    /// True if the scenario stalled, so that its samples were not accounted for.
    pub(crate) has_stopped: bool,
    /// The number of plays: more than one if the broker failed.
    pub(crate) runs: usize,
}

impl Row {
    /// The row of a scenario that stalled.
    pub(crate) fn stopped(scenario: String, guarantee: &'static str) -> Self {
        Self {
            scenario,
            guarantee,
            kills: 0,
            samples: 0,
            dead: 0,
            account: Account::default(),
            recoveries: Vec::new(),
            calm: Vec::new(),
            has_stopped: true,
            runs: 1,
        }
    }

    /// Returns true if hidden results and positions explain the broken promise.
    pub(crate) fn may_be_hidden(&self) -> bool {
        let Account { duplicated, out_of_order, .. } = self.account;
        self.guarantee == "exactly-once" && duplicated == 0 && out_of_order == 0 && !self.keeps_its_promise()
    }

    /// Nothing missing; and, exactly once, nothing twice and everything in order.
    pub(crate) fn keeps_its_promise(&self) -> bool {
        let Account { lost, duplicated, out_of_order } = self.account;
        let once = duplicated == 0 && out_of_order == 0;
        !self.has_stopped && lost == 0 && (once || self.guarantee == "at-least-once")
    }

    fn recovery(&self) -> (u128, u128) {
        let mut sorted = self.recoveries.clone();
        sorted.sort_unstable();
        let middle = sorted.get(sorted.len() / 2).copied().unwrap_or(0);
        (middle, sorted.last().copied().unwrap_or(0))
    }
}

pub(crate) fn line(row: &Row) -> String {
    let (middle, most) = row.recovery();
    let Account { lost, duplicated, out_of_order } = row.account;
    format!(
        "{:<32} {:<14} {:>5} {:>8} {:>5} {:>5} {:>10} {:>12} {:>8} {:>8} {:>8}  {}",
        row.scenario,
        row.guarantee,
        row.kills,
        row.samples,
        row.dead,
        lost,
        duplicated,
        out_of_order,
        middle,
        most,
        row.calm.iter().max().copied().unwrap_or(0),
        match (row.keeps_its_promise(), row.has_stopped) {
            (true, _) => "kept",
            (false, true) => "STOPPED",
            (false, false) => "BROKEN",
        }
    )
}

pub(crate) fn table(rows: &[Row]) -> String {
    let head = format!(
        "{:<32} {:<14} {:>5} {:>8} {:>5} {:>5} {:>10} {:>12} {:>8} {:>8} {:>8}",
        "scenario",
        "guarantee",
        "kills",
        "samples",
        "dead",
        "lost",
        "duplicated",
        "out of order",
        "p50 ms",
        "max ms",
        "calm ms"
    );
    std::iter::once(head).chain(rows.iter().map(line)).collect::<Vec<_>>().join("\n")
}

pub(crate) fn write(rows: &[Row]) {
    let rows: Vec<_> = rows
        .iter()
        .map(|row| {
            let (middle, most) = row.recovery();
            json!({
                "scenario": row.scenario,
                "guarantee": row.guarantee,
                "broker": "Apache Kafka",
                "runs": row.runs,
                "kills": row.kills,
                "samples": row.samples,
                "dead_lettered": row.dead,
                "lost": row.account.lost,
                "duplicated": row.account.duplicated,
                "out_of_order": row.account.out_of_order,
                "recovery_ms_p50": middle as u64,
                "recovery_ms_max": most as u64,
                "calm_ms_max": row.calm.iter().max().copied().unwrap_or(0) as u64,
            })
        })
        .collect();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/target/chaos.json");
    let text = serde_json::to_string_pretty(&rows).expect("JSON");
    std::fs::write(path, text + "\n").expect("target/ can be written to");
    println!("chaos: written to {path}");
}
