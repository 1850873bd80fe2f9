//! A step to three times the sustainable rate and back: memory, the age of events, and whether all comes out.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;

use lockstep_assemble::Failure;
use lockstep_engine::scaling::Policy;
use lockstep_engine::time::Timestamp;
use lockstep_http::StatusDocument;
use lockstep_kafka::tail::{From, Tail};
use lockstep_settings::{Overrides, load};
use serde::Deserialize;

use super::pairs::{Feeder, PARTITIONS, PairTopics, STREAMS, Settings, Workload};
use super::process::{Process, free_address};
use super::watch::{LoadMeasures, ProcessWatch, Sent};
use crate::ground::Ground;
use crate::memory::Memory;
use crate::pipelines::Folder;
use crate::report::{Case, Goal};

/// `limits.memory`, in MiB: so little that the backlog is many times as much.
const MEMORY: u64 = 32;
/// The load before and after the step, and below in the step, in multiples of the sustainable rate.
const CALM: f64 = 0.5;
const STEP: f64 = 3.0;
/// The age of the oldest event, in seconds, at which the age has recovered. Looks are a second apart and figures up to a
/// second old, so an event that waits for nothing may seem this old.
const RECOVERED: f64 = 2.0;
/// The time after which a measurement gives up, in multiples of the predicted time; below it the minimum.
const GIVEN_UP: f64 = 4.0;
const PATIENCE: Duration = Duration::from_secs(60);
/// The seconds in which the rate of the step settles: first the pipeline fills its budget.
const SETTLES: f64 = 2.0;
const MIB: f64 = 1_048_576.0;

/// The result of the measurement.
pub(super) struct StepMeasurement {
    pub(super) cases: Vec<Case>,
    pub(super) looks: Vec<LoadMeasures>,
}

/// When what happened.
struct StepTimes {
    began: Timestamp,
    ended: Timestamp,
    /// Pairs without a result when the step ended.
    backlog: f64,
    /// Pairs a second.
    sustainable: f64,
    calm: f64,
    recovered: Option<Timestamp>,
}

pub(super) fn run(
    ground: &Ground,
    folder: &Folder,
    workload: &Workload,
    sustainable: f64,
) -> Result<StepMeasurement, Failure> {
    let topics = PairTopics::new(ground)?;
    let address = free_address()?;
    let settings = Settings { policy: Policy::Target, memory: Some(MEMORY), listen: Some(&address) };
    let path = workload.write(ground, folder, &topics, &settings)?;
    let kafka = load(&path, &Overrides::default(), &lockstep_assemble::describe)?.kafka;
    let mut process = Process::start(&path, address.clone(), &[])?;
    let mut feeder = Feeder::start(&kafka, &topics, &workload.values)?;
    let sent = Sent::default();
    for _ in 0..STREAMS {
        let now = Timestamp::now();
        feeder.send(now);
        sent.add(now);
    }
    process.wait_for("has no results", |status| status.results.acknowledged >= STREAMS)?;
    let watch = ProcessWatch::start(process, sent.clone())?;
    let course = drive(ground, workload, sustainable, &mut feeder, &sent, &watch);
    let pairs = feeder.sent();
    feeder.finish()?;
    let course = course?;
    let (mut process, looks) = watch.end()?;
    wait_for_all(&mut process, pairs)?;
    let (status, memory) = (process.ask()?, process.memory());
    process.end()?;
    let ends = Ends::count(ground, &topics, &status, pairs)?;
    Ok(StepMeasurement { cases: cases(&course, &looks, memory, &ends), looks })
}

/// Drives half of the sustainable rate, then three times the sustainable rate, then half again until the backlog is gone.
fn drive(
    ground: &Ground,
    workload: &Workload,
    sustainable: f64,
    feeder: &mut Feeder<'_>,
    sent: &Sent,
    watch: &ProcessWatch,
) -> Result<StepTimes, Failure> {
    let (calm, steep) = (sustainable * CALM, sustainable * STEP);
    let seconds = step_lasts(ground, workload, sustainable);
    let before = ground.budget.div_f64(2.0).max(Duration::from_secs(3));
    pace_for(feeder, sent, calm, before);
    eprintln!("load: {seconds:.0} s at {steep:.0} pairs/s, of which it can take {sustainable:.0}");
    let began = Timestamp::now();
    pace_for(feeder, sent, steep, Duration::from_secs_f64(seconds));
    let ended = Timestamp::now();
    let last = watch.last().ok_or("the process under load could not be asked")?;
    let backlog = last.sent.saturating_sub(last.results) as f64;
    let predicted = backlog / (sustainable - calm);
    eprintln!("load: {backlog:.0} pairs wait; now {calm:.0} pairs/s for about {predicted:.0} s");

    let patience = PATIENCE.max(Duration::from_secs_f64(GIVEN_UP * predicted));
    let rest = ground.budget.div_f64(4.0).clamp(Duration::from_secs(2), Duration::from_secs(10));
    let mut recovered: Option<Timestamp> = None;
    feeder.pace(calm, |due| {
        sent.add(due);
        let looks = watch.last().filter(|look| look.at > ended);
        let seen = looks.filter(|look| look.age <= RECOVERED).map(|look| look.at);
        recovered = recovered.or(seen);
        let now = Timestamp::now();
        match recovered {
            Some(at) => now.since(at) < rest,
            None => now.since(ended) < patience,
        }
    });
    Ok(StepTimes { began, ended, backlog, sustainable, calm, recovered })
}

fn pace_for(feeder: &mut Feeder<'_>, sent: &Sent, rate: f64, lasts: Duration) {
    let since = Timestamp::now();
    feeder.pace(rate, |due| {
        sent.add(due);
        due.since(since) < lasts
    });
}

/// As long as was asked for, or until the embedded broker would be full.
fn step_lasts(ground: &Ground, workload: &Workload, sustainable: f64) -> f64 {
    let asked = ground.budget.as_secs_f64();
    let room = workload.room(ground).map(|room| room as f64 / (sustainable * (STEP - 1.0)) * 0.9);
    if let Some(room) = room.filter(|room| *room < asked) {
        eprintln!(
            "load: the embedded broker has room for {room:.0} s of the step, not {asked:.0}; give --brokers"
        );
        return room;
    }
    asked
}

/// Waits until nothing comes any more.
fn wait_for_all(process: &mut Process, pairs: u64) -> Result<(), Failure> {
    let mut before = None;
    loop {
        let outcome = process.wait_for("", |status| status.results.acknowledged >= pairs);
        let now = process.ask()?.results.acknowledged;
        match outcome {
            Ok(()) => return Ok(()),
            // Pairs that are missing then count as lost.
            Err(_) if before == Some(now) => return Ok(()),
            Err(_) => before = Some(now),
        }
    }
}

/// The fate of all pairs that were sent.
#[derive(Debug, Default)]
struct Ends {
    pairs: u64,
    /// Samples in results, late, and dead-lettered.
    in_results: u64,
    late: f64,
    dead_letters: f64,
    /// Results that were there already.
    twice: u64,
    /// Bundles of a single sample.
    incomplete: u64,
}

#[derive(Deserialize)]
struct PublishedResult {
    id: String,
    complete: bool,
}

impl Ends {
    /// Reads all results back: what the process says of itself does not count where the topic can tell.
    fn count(
        ground: &Ground,
        topics: &PairTopics,
        status: &StatusDocument,
        pairs: u64,
    ) -> Result<Self, Failure> {
        let late = status.inputs.values().map(|input| input.late_samples).sum::<u64>() as f64;
        let dead_letters = status.results.dead_letters.values().flat_map(|reasons| reasons.values());
        let dead_letters = dead_letters.sum::<u64>() as f64;
        let mut ends = Self { pairs, late, dead_letters, ..Self::default() };
        let mut tail = Tail::open(&ground.brokers, &BTreeMap::new(), &topics.results, From::Beginning)?;
        let mut known = BTreeMap::new();
        let (wanted, mut read) = (status.results.acknowledged, 0_u64);
        while read < wanted
            && let Some(record) = tail.next(Duration::from_secs(10))?
        {
            read += 1;
            let PublishedResult { id, complete } = serde_json::from_slice(&record.value)?;
            match known.entry(id) {
                Entry::Vacant(new) => _ = new.insert(complete),
                Entry::Occupied(_) => ends.twice += 1,
            }
        }
        ends.incomplete = known.values().filter(|complete| !**complete).count() as u64;
        ends.in_results = 2 * known.len() as u64 - ends.incomplete;
        Ok(ends)
    }

    fn lost(&self) -> f64 {
        (2 * self.pairs) as f64 - self.in_results as f64 - self.late - self.dead_letters
    }
}

fn cases(course: &StepTimes, looks: &[LoadMeasures], memory: Option<Memory>, ends: &Ends) -> Vec<Case> {
    let most = |what: fn(&LoadMeasures) -> f64, of: &dyn Fn(&LoadMeasures) -> bool| {
        looks.iter().filter(|look| of(look)).map(what).fold(0.0, f64::max)
    };
    let (any, calm) = (|_: &LoadMeasures| true, |look: &LoadMeasures| look.at < course.began);
    let mut cases = Vec::new();
    if let Some(memory) = memory {
        let base = most(|look| look.rss, &calm) / MIB;
        cases.extend([
            Case::alone("step: base, the most memory before it", base, "MiB"),
            Case::against(
                "step: most memory above the base, by the limit",
                memory.most / MIB - base,
                MEMORY as f64,
                "MiB",
            )
            .goal(Goal::RatioAtMost(1.0)),
        ]);
    }
    let budget = most(|look| look.budget, &any) / MIB;
    cases.extend([
        Case::against(
            "step: most bytes in flight, by their budget",
            most(|look| look.in_flight, &any) / MIB,
            budget,
            "MiB",
        ),
        Case::alone("step: most lag", most(|look| look.lag, &any), "records"),
        Case::alone("step: oldest event at most", most(|look| look.age, &any), "s"),
        Case::alone("step: pairs that wait when it ends", course.backlog, "pairs"),
        Case::alone("step: most shards", most(|look| look.shards, &any), "shards"),
    ]);
    let took = course.recovered.map_or(f64::NAN, |at| at.since(course.ended).as_secs_f64());
    let recovered = "step: age recovered in, by the prediction";
    cases.extend(match service_rate(course, looks) {
        Some(rate) if rate > course.calm => vec![
            Case::against("step: served in it, by the sustainable rate", rate, course.sustainable, "pairs/s"),
            Case::against(recovered, took, course.backlog / (rate - course.calm), "s")
                .goal(Goal::RatioAtMost(1.0)),
        ],
        _ => vec![Case::alone(recovered, took, "s")],
    });
    cases.extend([
        Case::against(
            "step: samples in results, by those sent",
            ends.in_results as f64,
            (2 * ends.pairs) as f64,
            "samples",
        ),
        Case::alone("step: late or dead-lettered", ends.late + ends.dead_letters, "samples"),
        Case::alone("step: results of one sample alone", ends.incomplete as f64, "results"),
        Case::alone("step: results twice", ends.twice as f64, "results"),
        Case::alone("step: samples lost", ends.lost(), "samples").goal(Goal::AtMost(0.0)),
    ]);
    cases
}

/// Results a second while more came than could be taken.
fn service_rate(course: &StepTimes, looks: &[LoadMeasures]) -> Option<f64> {
    let settled = course.began.after(Duration::from_secs_f64(SETTLES));
    let mut within = looks.iter().filter(|look| look.at >= settled && look.at <= course.ended);
    let first = within.next()?;
    let last = within.next_back()?;
    Some((last.results - first.results) as f64 / last.at.since(first.at).as_secs_f64())
}

const _: () =
    assert!(STREAMS.is_multiple_of(PARTITIONS.unsigned_abs() as u64), "each partition has as many streams");
