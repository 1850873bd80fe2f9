//! `lockstep bench overhead`: everything but a model, against the least that a program can do.

use std::time::{Duration, Instant};

use lockstep_connectors::kafka::bare::{self, Bare};
use lockstep_engine::pipeline::Pipeline;

use super::drive::flood;
use super::pipelines::{Folder, Plan, Topics};
use super::report::{Case, Goal, Report, median};
use super::{Ground, PARTITION_BYTES};
use crate::assemble::{READ_AHEAD, SEND_QUEUE};
use crate::commands::Failure;

/// Rounds of each at least, whatever the time.
const ROUNDS: usize = 3;
/// Results that are looked at to learn how large they are.
const LOOKED_AT: u64 = 500;

const ABOUT: &str = "\
A pipeline of one input and the built-in identity model, whose output is not shown, against a bare librdkafka loop on
the same records and broker, with a read-ahead of the same size. The loop produces one record for each, as large as a
result (value and headers), under the same key; it commits nothing. Both read everything from the beginning, by turns;
seconds run from the first record polled to the last acknowledgement; medians of the rounds. On the embedded
broker, the broker's own thread shares the machine with both.";

pub(super) fn run(ground: &Ground) -> Result<Report, Failure> {
    let cases = [("1kB", 1000, 256, 32), ("100kB", 100_000, 16, 128)]
        .into_iter()
        .map(|(name, bytes, batch, partitions)| case(ground, name, bytes, batch, partitions))
        .collect::<Result<_, Failure>>()?;
    Ok(Report::new("overhead", ABOUT, cases))
}

/// Large records need many partitions, so that those that fit into the broker take more than a moment.
fn case(
    ground: &Ground,
    name: &str,
    bytes: usize,
    max_size: usize,
    partitions: i32,
) -> Result<Case, Failure> {
    let topics = Topics::new(ground, partitions)?;
    // What a record takes in a partition beside its value is less than this.
    let each = (PARTITION_BYTES / (bytes + 100)) as u64;
    let records = each * u64::from(partitions.unsigned_abs());
    eprintln!("overhead {name}: {records} records");
    let value: Vec<u8> = (0..bytes).map(|place| (place * 31 % 251) as u8).collect();
    bare::fill(&ground.brokers, &topics.input, partitions, each, &value)?;

    let folder = Folder::new()?;
    folder.add_identity()?;
    let binding = format!("payload = {{ from = \"records\", bytes = {{ length = {bytes} }} }}");
    let plan = Plan {
        content_type: "application/octet-stream",
        model: "identity",
        binding: &binding,
        outputs: "",
        max_size,
        max_delay_us: 1000,
        device: "cpu",
    };
    let ours = || -> Result<f64, Failure> {
        let pipeline = plan.pipeline(ground, &folder, &topics)?;
        Ok(records as f64 / flood(pipeline, records, false)?.seconds)
    };
    // The first round warms up both, and shows how large results are.
    ours()?;
    let pipeline = plan.pipeline(ground, &folder, &topics)?;
    let looked_at = records.min(LOOKED_AT);
    let result_bytes = bare::mean_size(&pipeline.kafka, &topics.results, partitions, looked_at)?;
    let bare = bare_loop(&pipeline, &topics, partitions, records, result_bytes)?;
    let theirs = || -> Result<f64, Failure> { Ok(records as f64 / bare::consume_and_produce(&bare)?) };
    theirs()?;

    let (ours, theirs) = by_turns(ground.budget, ours, theirs)?;
    let name = format!("{name} in, {result_bytes} B out");
    Ok(Case::against(name, ours, theirs, "records/s").goal(Goal::RatioAtLeast(0.9)))
}

fn bare_loop(
    pipeline: &Pipeline,
    topics: &Topics,
    partitions: i32,
    records: u64,
    result_bytes: usize,
) -> Result<Bare, Failure> {
    Ok(Bare {
        spec: pipeline.kafka.clone(),
        input: topics.input.clone(),
        output: topics.results.clone(),
        partitions,
        records,
        result_bytes,
        read_ahead: usize::try_from(pipeline.limits.memory / READ_AHEAD)?,
        send_queue: usize::try_from(pipeline.limits.memory / SEND_QUEUE)?,
    })
}

/// Measures two things by turns, one first and then the other first, until the time is up; their medians.
#[allow(clippy::disallowed_methods, reason = "it measures: it reads the clock itself")]
pub(super) fn by_turns(
    budget: Duration,
    ours: impl Fn() -> Result<f64, Failure>,
    theirs: impl Fn() -> Result<f64, Failure>,
) -> Result<(f64, f64), Failure> {
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
        tracing::info!(ours = of_ours.last(), theirs = of_theirs.last(), "a round");
    }
    Ok((median(&of_ours), median(&of_theirs)))
}
