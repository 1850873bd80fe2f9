//! `lockstep bench delivery`: the cost of exactly-once delivery.

use lockstep_assemble::Failure;
use lockstep_engine::pipeline::Guarantee;

use super::drive::flood;
use super::overhead::{by_turns, filled};
use super::pipelines::{Folder, Plan};
use super::report::{Case, Goal, Report, median};
use crate::ground::Ground;

/// Each transaction tells the broker of every partition that it writes to.
const PARTITIONS: i32 = 16;

const ABOUT: &str = "\
A pipeline of one input and the built-in identity model over records of 1 kB and 100 kB in 16 partitions, with results and positions in
transactions of 100 ms, or up to a second while a backlog is read (exactly-once), against the same with positions committed once a second (at-least-once). Both
read everything from the beginning, by turns; seconds run from the first record polled to the last acknowledgement;
medians of the rounds.";

pub(super) fn run(ground: &Ground) -> Result<Report, Failure> {
    if ground.embedded.is_some() {
        return Err("the embedded broker has no transactions to speak of: give --brokers, as in \
                    `config/kafka/kafka run -- sh -c 'lockstep bench delivery --brokers $KAFKA_BOOTSTRAP_SERVERS'`"
            .into());
    }
    // Enough records in a partition that a round takes some seconds: one transaction more or less must not matter.
    let cases = [("1kB", 1000, 256, 64 << 20), ("100kB", 100_000, 16, 256 << 20)]
        .into_iter()
        .map(|(name, bytes, batch, in_a_partition)| size(ground, name, bytes, in_a_partition, batch))
        .collect::<Result<Vec<_>, Failure>>()?;
    Ok(Report::new("delivery", ABOUT, cases))
}

fn size(
    ground: &Ground,
    name: &str,
    bytes: usize,
    in_a_partition: usize,
    max_size: usize,
) -> Result<Case, Failure> {
    let (topics, records) = filled(ground, bytes, PARTITIONS, in_a_partition)?;
    eprintln!("delivery {name}: {records} records");
    let folder = Folder::new()?;
    folder.add_identity()?;
    let binding = format!("payload = {{ from = \"records\", bytes = {{ length = {bytes} }} }}");
    let plan = Plan::identity(&binding, max_size);
    let rate = |guarantee: Guarantee| {
        let mut pipeline = plan.pipeline(ground, &folder, &topics)?;
        pipeline.delivery.guarantee = guarantee;
        Ok(records as f64 / flood(pipeline, records, false)?.seconds)
    };
    let exactly_once = || rate(Guarantee::ExactlyOnce);
    let at_least_once = || rate(Guarantee::AtLeastOnce);
    // The broker has to be warm for both.
    exactly_once()?;
    at_least_once()?;
    let (ours, theirs) = by_turns(ground.budget, exactly_once, at_least_once)?;
    Ok(Case::against(name, median(&ours), median(&theirs), "records/s").goal(Goal::RatioAtLeast(0.9)))
}
