//! What a simulation tells: tables, or JSON.

use std::fmt::{self, Write};

use lockstep_engine::scaling::model::{SimulationPoint, SimulationSummary};
use serde_json::{Value, json};

use super::{Simulated, Simulation};

/// Lines of the table over time.
const LINES: usize = 20;
/// No more decisions are listed of each run.
const DECISIONS: usize = 40;

/// Everything for people.
pub(super) fn tables(simulation: &Simulation) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write_tables(&mut text, simulation);
    text
}

fn write_tables(to: &mut String, simulation: &Simulation) -> fmt::Result {
    let Simulation { plant, spec, seconds, seed, predicted, runs } = simulation;
    writeln!(
        to,
        "{seconds} s of virtual time on {} cores, seed {seed}; the numbers at the start sustain {:.1} records/s",
        plant.cores,
        plant.sustainable()
    )?;
    if let [run] = runs.as_slice() {
        writeln!(to, "\npolicy {}", run.policy.as_str())?;
        over_time(to, run)?;
        decisions(to, run)?;
    }
    writeln!(to, "\n{:<34}{}", "", columns(runs.iter().map(|run| run.policy.as_str().to_owned())))?;
    for (name, value) in ROWS {
        writeln!(to, "{name:<34}{}", columns(runs.iter().map(|run| value(&run.summary))))?;
    }
    writeln!(
        to,
        "\ntarget {:.1} s; predicted with the policy target, if its limits suffice: too old for at most {predicted:.0} s",
        spec.target.age.as_secs_f64()
    )
}

type ReportRow = (&'static str, fn(&SimulationSummary) -> String);

const ROWS: [ReportRow; 12] = [
    ("results", |summary| summary.done.to_string()),
    ("left at the end", |summary| summary.left.to_string()),
    ("most lag, records", |summary| summary.most_lag.to_string()),
    ("oldest event, s: at most", |summary| format!("{:.1}", summary.age.0)),
    ("  in 99 % of all seconds", |summary| format!("{:.1}", summary.age.1)),
    ("too old, s at a stretch", |summary| {
        format!("{:.0}{}", summary.over, if summary.over_at_end { ", to the end" } else { "" })
    }),
    ("latency, s: mean", |summary| format!("{:.3}", summary.latency.0)),
    ("  99th percentile", |summary| format!("{:.3}", summary.latency.1)),
    ("calm latency, s: mean", |summary| format!("{:.3}", summary.calm)),
    ("changes", |summary| summary.changes.to_string()),
    ("shards by seconds", |summary| format!("{:.0}", summary.unit_seconds.0)),
    ("instances by seconds", |summary| format!("{:.0}", summary.unit_seconds.1)),
];

fn columns(values: impl Iterator<Item = String>) -> String {
    values.map(|value| format!("{value:>18}")).collect()
}

fn over_time(to: &mut String, run: &Simulated) -> fmt::Result {
    let points = &run.course.points;
    write!(to, "{:>7}{:>11}{:>10}{:>9}{:>10}{:>8}", "s", "arrive/s", "done/s", "lag", "oldest s", "shards")?;
    for step in &run.course.steps {
        write!(to, "{:>w$}", step, w = width(step))?;
    }
    writeln!(to, "{:>11}{:>11}{:>11}", "mean s", "p99 s", "processes")?;
    let every = points.len().div_ceil(LINES).max(1);
    for point in points.iter().skip(every - 1).step_by(every) {
        let SimulationPoint { at, rate, done, lag, age, shards, .. } = point;
        write!(to, "{at:>7.0}{rate:>11.1}{done:>10}{lag:>9}{age:>10.1}{shards:>8}")?;
        for (step, count) in run.course.steps.iter().zip(&point.instances) {
            write!(to, "{:>w$}", count, w = width(step))?;
        }
        let seconds = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.3}"));
        let (mean, p99) = point.latency.unzip();
        let replicas = point.replicas.map_or("-".to_owned(), |replicas| format!("{replicas:.2}"));
        writeln!(to, "{:>11}{:>11}{replicas:>11}", seconds(mean), seconds(p99))?;
    }
    Ok(())
}

fn width(step: &str) -> usize {
    step.chars().count().max(5) + 2
}

fn decisions(to: &mut String, run: &Simulated) -> fmt::Result {
    let decisions = &run.course.decisions;
    writeln!(to, "\n{} decisions", decisions.len())?;
    for (at, decision) in decisions.iter().take(DECISIONS) {
        writeln!(to, "{at:>7.0} s  {decision}")?;
    }
    let more = decisions.len().saturating_sub(DECISIONS);
    if more > 0 { writeln!(to, "           and {more} more, which --json tells") } else { Ok(()) }
}

/// Everything for programs; times are in seconds.
pub(super) fn json(simulation: &Simulation) -> Value {
    let Simulation { plant, spec, seconds, seed, predicted, runs } = simulation;
    json!({
        "seconds": seconds,
        "seed": seed,
        "cores": plant.cores,
        "sustainable": plant.sustainable(),
        "target_age": spec.target.age.as_secs_f64(),
        "predicted": predicted,
        "steps": plant.steps.iter().map(|step| &step.name).collect::<Vec<_>>(),
        "runs": runs.iter().map(json_of_run).collect::<Vec<_>>(),
    })
}

fn json_of_run(run: &Simulated) -> Value {
    let Simulated { policy, course, summary } = run;
    let point = |point: &SimulationPoint| {
        let (mean, p99) = point.latency.unzip();
        json!({
            "at": point.at, "rate": point.rate, "done": point.done, "lag": point.lag, "age": point.age,
            "shards": point.shards, "instances": point.instances, "latency_mean": mean, "latency_p99": p99,
            "desired_replicas": point.replicas,
        })
    };
    let decisions = course.decisions.iter().map(|(at, decision)| {
        json!({
            "at": at, "what": &*decision.name, "from": decision.from, "to": decision.to,
            "why": decision.to_string(),
        })
    });
    json!({
        "policy": policy.as_str(),
        "summary": {
            "results": summary.done, "left": summary.left, "most_lag": summary.most_lag,
            "age_max": summary.age.0, "age_p99": summary.age.1,
            "too_old": summary.over, "too_old_at_end": summary.over_at_end,
            "latency_mean": summary.latency.0, "latency_p99": summary.latency.1, "calm_latency_mean": summary.calm,
            "changes": summary.changes,
            "shard_seconds": summary.unit_seconds.0, "instance_seconds": summary.unit_seconds.1,
        },
        "decisions": decisions.collect::<Vec<_>>(),
        "points": course.points.iter().map(point).collect::<Vec<_>>(),
    })
}
