//! What streams cost: pairs a second of one stream and of many, and the memory that one takes of which nothing comes.

use std::time::Duration;

use lockstep_actors::Stop;
use lockstep_assemble::Failure;
use lockstep_engine::scaling::Policy;

use super::pairs::{Feeder, PairTopics, Settings, Workload, fill};
use super::process::{Process, free_address};
use crate::drive::flood;
use crate::ground::Ground;
use crate::pipelines::Folder;
use crate::report::{Case, Goal, median};

/// The partitions of each input and of the results. One stream fills one partition, so with more of them the runs would differ in
/// more than the number of streams.
const PARTITIONS: i32 = 1;
/// The numbers of streams; those with too few pairs are skipped.
const COUNTS: [u64; 4] = [1, 100, 10_000, 100_000];
/// The least number of pairs of a stream.
const PAIRS_EACH: u64 = 2;
/// Pairs for each second that the bench may take.
const PAIRS: f64 = 10_000.0;
/// The rate at which they are said to have come.
const CAME_AT: f64 = 10_000.0;
const ROUNDS: usize = 3;
/// The number of streams with which memory is compared.
const FEW: u64 = 100;
/// Makes the allocator return freed memory to the system at once; it would count as used otherwise.
const FREED_AT_ONCE: (&str, &str) = ("MIMALLOC_PURGE_DELAY", "0");
/// The last results are acknowledged, and timers fire.
const SETTLES: Duration = Duration::from_secs(2);

/// Pairs that wait to be read.
struct Waiting {
    topics: PairTopics,
    rates: Vec<f64>,
}

pub(super) fn run(ground: &Ground) -> Result<Vec<Case>, Failure> {
    let folder = Folder::new()?;
    folder.add_identity()?;
    let workload = Workload::identity();
    let wanted = (ground.budget.as_secs_f64() * PAIRS) as u64;
    let pairs =
        workload.room_of(ground, PARTITIONS).map_or(wanted, |room| room.min(wanted)).max(PAIRS_EACH * FEW);
    let mut all = Vec::new();
    for streams in COUNTS.into_iter().filter(|streams| streams * PAIRS_EACH <= pairs) {
        eprintln!("load: {pairs} pairs of {streams} streams");
        let topics = PairTopics::with(ground, PARTITIONS, streams)?;
        let kafka = workload.pipeline(ground, &folder, &topics, Policy::Fixed)?.kafka;
        fill(Feeder::start(&kafka, &topics, &workload.values)?, pairs, CAME_AT)?;
        all.push(Waiting { topics, rates: Vec::new() });
    }
    for round in 0..=ROUNDS {
        for waiting in &mut all {
            let pipeline = workload.pipeline(ground, &folder, &waiting.topics, Policy::Fixed)?;
            let rate = pairs as f64 / flood(pipeline, pairs, false)?.seconds;
            // The first time the broker is not warm yet.
            if round > 0 {
                waiting.rates.push(rate);
            }
        }
    }
    let one = all.first().map_or(0.0, |waiting| median(&waiting.rates));
    let rate = |waiting: &Waiting| {
        let name = format!("streams: pairs of {}, by those of one", waiting.topics.streams);
        Case::against(name, median(&waiting.rates), one, "pairs/s").goal(Goal::RatioAtLeast(0.9))
    };
    let mut cases: Vec<Case> = all.iter().skip(1).map(rate).collect();
    let few = all.iter().find(|waiting| waiting.topics.streams == FEW);
    if let (Some(few), Some(most)) = (few, all.last().filter(|most| most.topics.streams > FEW)) {
        let (mut bases, mut takens) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let memory = |waiting: &Waiting| memory(ground, &folder, &workload, waiting, pairs);
            bases.extend(memory(few)?);
            takens.extend(memory(most)?);
        }
        if !takens.is_empty() {
            let taken = (median(&takens) - median(&bases)).max(0.0);
            let each = taken / (most.topics.streams - few.topics.streams) as f64;
            let name = format!("streams: memory of an idle one of {}", most.topics.streams);
            cases.push(Case::alone(name, each, "B").goal(Goal::Below(1024.0)));
        }
    }
    Ok(cases)
}

/// The memory of a process that has read all pairs, in bytes. None if the system does not report it.
fn memory(
    ground: &Ground,
    folder: &Folder,
    workload: &Workload,
    waiting: &Waiting,
    pairs: u64,
) -> Result<Option<f64>, Failure> {
    let address = free_address()?;
    let settings = Settings { policy: Policy::Fixed, memory: None, listen: Some(&address) };
    let path = workload.write(ground, folder, &waiting.topics, &settings)?;
    let mut process = Process::start(&path, address.clone(), &[FREED_AT_ONCE])?;
    process.wait_for("has not read all", |status| status.results.acknowledged >= pairs)?;
    Stop::default().wait(SETTLES);
    let memory = process.memory().map(|memory| memory.now);
    process.end()?;
    Ok(memory)
}
