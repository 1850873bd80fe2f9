//! The policies of scaling side by side: the same backlog with each, and a trickle.

use std::time::Duration;

use lockstep_assemble::Failure;
use lockstep_engine::scaling::Policy;

use super::pairs::{Feeder, PairTopics, Workload, fill};
use crate::drive::{Round, drive, flood};
use crate::ground::Ground;
use crate::pipelines::Folder;
use crate::report::{Case, median, quantile};

/// Pairs a second when idle.
const TRICKLE: f64 = 20.0;
/// The rate of the backlog, in multiples of the sustainable rate.
const CAME_AT: f64 = 3.0;
/// The rounds of each policy: as many as policies, so that each is once first, once in the middle and once last.
const ROUNDS: usize = Policy::ALL.len();

/// The measurements of one policy, by round.
#[derive(Default)]
struct PolicyRounds {
    drained: Vec<f64>,
    age: Vec<f64>,
    latency: Vec<f64>,
    shards: usize,
}

pub(super) fn run(
    ground: &Ground,
    folder: &Folder,
    workload: &Workload,
    sustainable: f64,
) -> Result<Vec<Case>, Failure> {
    let part = ground.budget.as_secs_f64() / 3.0;
    let wanted = (sustainable * part).ceil() as u64;
    let pairs = workload.room(ground).map_or(wanted, |room| wanted.min(room)).max(1);
    eprintln!("load: {pairs} pairs wait for each policy");
    let mut found = Policy::ALL.map(|_| PolicyRounds::default());
    for round in 0..ROUNDS {
        let mut order: Vec<(Policy, &mut PolicyRounds)> = Policy::ALL.into_iter().zip(&mut found).collect();
        order.rotate_left(round);
        for (policy, found) in order {
            let Drained { seconds, age, shards } =
                drain(ground, folder, workload, policy, pairs, sustainable)?;
            found.drained.push(seconds);
            found.age.push(age);
            found.shards = found.shards.max(shards);
            found.latency.push(idle(ground, folder, workload, policy, part / 3.0)?);
        }
    }
    Ok(cases(&found))
}

/// The measures of a backlog while it drains.
struct Drained {
    /// The time that it takes, in seconds.
    seconds: f64,
    /// The 99th percentile of the ages of events when their results come, in seconds.
    age: f64,
    /// The most shards.
    shards: usize,
}

fn drain(
    ground: &Ground,
    folder: &Folder,
    workload: &Workload,
    policy: Policy,
    pairs: u64,
    sustainable: f64,
) -> Result<Drained, Failure> {
    let topics = PairTopics::new(ground)?;
    let pipeline = workload.pipeline(ground, folder, &topics, policy)?;
    let feeder = Feeder::start(&pipeline.kafka, &topics, &workload.values)?;
    let filled = fill(feeder, pairs, sustainable * CAME_AT)?;
    let Round { seconds, spans, shards } = flood(pipeline, pairs, true)?;
    // Joining the group takes how long it takes: the ages are as if the first record had been polled at once.
    let polled = spans.iter().map(|span| span.polled_at).min().unwrap_or(filled);
    let joining = polled.since(filled);
    let ages: Vec<f64> = spans
        .iter()
        .map(|span| span.acknowledged_at.since(span.event_time.after(joining)).as_secs_f64())
        .collect();
    Ok(Drained { seconds, age: quantile(&ages, 0.99), shards })
}

/// The mean time from when a pair was due to be sent until its result was acknowledged, in seconds.
fn idle(
    ground: &Ground,
    folder: &Folder,
    workload: &Workload,
    policy: Policy,
    seconds: f64,
) -> Result<f64, Failure> {
    let topics = PairTopics::new(ground)?;
    let pipeline = workload.pipeline(ground, folder, &topics, policy)?;
    let kafka = pipeline.kafka.clone();
    let pairs = (TRICKLE * seconds).ceil().max(10.0) as u64;
    let round = drive(pipeline, pairs, true, |live| {
        let mut feeder = Feeder::start(&kafka, &topics, &workload.values)?;
        feeder.pace_behind_first(live, TRICKLE, pairs, |_| {})?;
        feeder.finish()
    })?;
    let first = round.spans.iter().map(|span| span.event_time).min();
    let whole: Vec<Duration> = round
        .spans
        .iter()
        .filter(|span| Some(span.event_time) > first)
        .map(|span| span.acknowledged_at.since(span.event_time))
        .collect();
    Ok(whole.iter().sum::<Duration>().as_secs_f64() / whole.len().max(1) as f64)
}

fn cases(found: &[PolicyRounds]) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |what: &str, unit: &'static str, of: &dyn Fn(&PolicyRounds) -> f64| {
        let fixed = found.first().map_or(0.0, of);
        for (policy, found) in Policy::ALL.into_iter().zip(found) {
            let name = format!("policy {}: {what}", policy.as_str());
            cases.push(match policy {
                Policy::Fixed => Case::alone(name, of(found), unit),
                Policy::Step | Policy::Target => {
                    Case::against(format!("{name}, by fixed"), of(found), fixed, unit)
                }
            });
        }
    };
    add("drained in", "s", &|found| median(&found.drained));
    add("age while draining, p99", "s", &|found| median(&found.age));
    add("mean latency when idle", "ms", &|found| median(&found.latency) * 1e3);
    add("most shards", "shards", &|found| found.shards as f64);
    cases
}
