//! `lockstep bench overhead`: everything but a model, against the least that a program can do.

use std::time::{Duration, Instant};

use lockstep_assemble::Failure;
use lockstep_assemble::{READ_AHEAD, SEND_QUEUE};
use lockstep_engine::pipeline::Pipeline;
use lockstep_kafka::baseline::{self, ClientBaseline};

use super::cpu;
use super::drive::flood;
use super::pipelines::{Folder, Plan, Topics};
use super::report::{Case, Goal, Report, median};
use crate::ground::{Ground, PARTITION_BYTES};

/// Rounds of each at least, whatever the time.
const ROUNDS: usize = 3;
/// Results that are looked at to learn how large they are.
const LOOKED_AT: u64 = 500;

const ABOUT: &str = "\
A pipeline of one input and the built-in identity model, whose output is not shown, against a bare librdkafka loop on
the same records and broker, with a read-ahead of the same size. The loop produces one record for each, as large as a
result (value and headers), under the same key; it commits nothing. Both read everything from the beginning, by turns;
seconds run from the first record polled to the last acknowledgement; medians of the rounds. Beside it the processor
time that each takes for a record, all threads and the starts and stops of both counted. On the embedded broker, the
broker's own thread shares the machine with both, and its time is in that of both.";

pub(super) fn run(ground: &Ground) -> Result<Report, Failure> {
    let cases = [("1kB", 1000, 256, 128), ("100kB", 100_000, 16, 128)]
        .into_iter()
        .map(|(name, bytes, batch, partitions)| size(ground, name, bytes, batch, partitions))
        .collect::<Result<Vec<_>, Failure>>()?;
    Ok(Report::new("overhead", ABOUT, cases.into_iter().flatten().collect()))
}

/// Large records need many partitions, so that those that fit into the broker take more than a moment.
fn size(
    ground: &Ground,
    name: &str,
    bytes: usize,
    max_size: usize,
    partitions: i32,
) -> Result<Vec<Case>, Failure> {
    let (topics, records) = filled(ground, bytes, partitions, PARTITION_BYTES)?;
    eprintln!("overhead {name}: {records} records");

    let folder = Folder::new()?;
    folder.add_identity()?;
    let binding = format!("payload = {{ from = \"records\", bytes = {{ length = {bytes} }} }}");
    let plan = Plan::identity(&binding, max_size);
    let ours = || {
        let pipeline = plan.pipeline(ground, &folder, &topics)?;
        OverheadRound::of(records, || Ok(flood(pipeline, records, false)?.seconds))
    };
    // The first round warms up both, and shows how large results are.
    ours()?;
    let pipeline = plan.pipeline(ground, &folder, &topics)?;
    let looked_at = records.min(LOOKED_AT);
    let shape = baseline::shape(&pipeline.kafka, &topics.results, partitions, looked_at)?;
    let name = format!(
        "{name} in, {} B out",
        shape.value + shape.headers.iter().map(|(_, size)| size).sum::<usize>()
    );
    let bare = bare_loop(&pipeline, &topics, partitions, records, shape)?;
    let theirs = || OverheadRound::of(records, || Ok(baseline::consume_and_produce(&bare)?));
    theirs()?;

    let (ours, theirs) = by_turns(ground.budget, ours, theirs)?;
    let of = |rounds: &[OverheadRound], what: fn(&OverheadRound) -> f64| {
        median(&rounds.iter().map(what).collect::<Vec<_>>())
    };
    let rate = Case::against(&name, of(&ours, |r| r.rate), of(&theirs, |r| r.rate), "records/s");
    let (ours, theirs) = (of(&ours, |r| r.cpu), of(&theirs, |r| r.cpu));
    let cpu = (theirs > 0.0).then(|| Case::against(format!("{name}, CPU"), ours, theirs, "us/record"));
    Ok([rate.goal(Goal::RatioAtLeast(0.9))].into_iter().chain(cpu).collect())
}

/// Creates topics and fills the input with records of a size. Returns their number.
pub(super) fn filled(
    ground: &Ground,
    bytes: usize,
    partitions: i32,
    bytes_each: usize,
) -> Result<(Topics, u64), Failure> {
    let topics = Topics::new(ground, partitions)?;
    // What a record takes in a partition beside its value is less than this.
    let each = (bytes_each / (bytes + 100)) as u64;
    let value: Vec<u8> = (0..bytes).map(|place| (place * 31 % 251) as u8).collect();
    baseline::fill(&ground.brokers, &topics.input, partitions, each, &value)?;
    Ok((topics, each * u64::from(partitions.unsigned_abs())))
}

/// The measurements of one round.
#[derive(Debug)]
struct OverheadRound {
    /// Records a second.
    rate: f64,
    /// Processor time of a record, in microseconds; 0 where the system does not say.
    cpu: f64,
}

impl OverheadRound {
    fn of(records: u64, run: impl FnOnce() -> Result<f64, Failure>) -> Result<Self, Failure> {
        let (seconds, cpu) = cpu::measured(run);
        let records = records as f64;
        Ok(Self { rate: records / seconds?, cpu: cpu.unwrap_or(0.0) * 1e6 / records })
    }
}

fn bare_loop(
    pipeline: &Pipeline,
    topics: &Topics,
    partitions: i32,
    records: u64,
    shape: baseline::RecordShape,
) -> Result<ClientBaseline, Failure> {
    Ok(ClientBaseline {
        spec: pipeline.kafka.clone(),
        input: topics.input.clone(),
        output: topics.results.clone(),
        partitions,
        records,
        shape,
        read_ahead: usize::try_from(pipeline.limits.memory / READ_AHEAD)?,
        send_queue: usize::try_from(pipeline.limits.memory / SEND_QUEUE)?,
    })
}

/// Measures two things by turns, one first and then the other first, until the time is up.
#[allow(clippy::disallowed_methods, reason = "it measures: it reads the clock itself")]
pub(super) fn by_turns<T: std::fmt::Debug>(
    budget: Duration,
    ours: impl Fn() -> Result<T, Failure>,
    theirs: impl Fn() -> Result<T, Failure>,
) -> Result<(Vec<T>, Vec<T>), Failure> {
    let since = Instant::now();
    let (mut of_ours, mut of_theirs) = (Vec::new(), Vec::new());
    while of_ours.len() < ROUNDS || since.elapsed() < budget {
        if of_ours.len() % 2 == 0 {
            of_ours.push(ours()?);
            of_theirs.push(theirs()?);
        } else {
            of_theirs.push(theirs()?);
            of_ours.push(ours()?);
        }
        tracing::info!(ours = ?of_ours.last(), theirs = ?of_theirs.last(), "a round");
    }
    Ok((of_ours, of_theirs))
}
