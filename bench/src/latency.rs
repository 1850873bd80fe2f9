//! `lockstep bench latency`: what Lockstep adds to the time of a result while it has room to breathe.

use std::time::Duration;

use bytes::Bytes;
use lockstep_assemble::Failure;

use super::drive::{Span, drive, flood};
use super::efficiency::{Stack, fill, image, topics};
use super::feed::Feed;
use super::report::{Case, Goal, Report, quantile};
use crate::ground::Ground;

const MAX_DELAY_US: u64 = 5000;
/// The share of the records at the beginning that do not count.
const WARM_UP: f64 = 0.1;

const ABOUT: &str = "\
The pipeline of `bench efficiency` (batches of 8, max_delay 5 ms). First everything at once shows the rate that it can
take; then single records come steadily at half of that. `added` is the time from the poll to handing the result to
Kafka's client, less the model's run, less the wait for a batch as far as max_delay allows it, less the wait of a filled
batch for a model that is busy with the one before: what is left is aligning, waiting for a batch beyond max_delay,
preprocessing, and making and handing over the result, with all queues and threads between them. `busy model` is that
last wait; `whole` is from when the record was due to be sent to its result's acknowledgement, Kafka on both
sides included.";

pub(super) fn run(ground: &Ground) -> Result<Report, Failure> {
    let stack = Stack::new()?;
    let bare = stack.bare()?;
    let full = topics(ground)?;
    let records = fill(ground, &full, bare.batches as f64 * super::efficiency::BATCH as f64 / bare.seconds)?;
    let saturated =
        records as f64 / flood(stack.pipeline(ground, &full, MAX_DELAY_US)?, records, false)?.seconds;
    let rate = saturated / 2.0;
    let records = (rate * ground.budget.as_secs_f64()).ceil() as u64;
    eprintln!("latency: it takes {saturated:.0} records/s; now {records} at {rate:.0} records/s");

    let paced = topics(ground)?;
    let pipeline = stack.pipeline(ground, &paced, MAX_DELAY_US)?;
    let kafka = pipeline.kafka.clone();
    let feed = Feed {
        topic: paced.input.as_str().into(),
        value: Bytes::from(image()),
        records,
        every: Duration::from_secs_f64(1.0 / rate),
        one_at_a_time: false,
    };
    let round = drive(pipeline, records, true, |live| feed.run(&kafka, live))?;
    let counted = settled(round.spans);
    let millis = |part: &dyn Fn(&Span) -> i64| -> Vec<f64> {
        counted.iter().map(|span| part(span) as f64 / 1e6).collect()
    };
    let p99 =
        |name: &str, part: &dyn Fn(&Span) -> i64| Case::alone(name, quantile(&millis(part), 0.99), "ms");
    let added = millis(&|span| span.added);
    let busy = millis(&|span| span.model_busy);
    let whole = millis(&|span| span.acknowledged_at.nanos_since(span.event_time));
    let cases = vec![
        Case::alone("added p50", quantile(&added, 0.5), "ms"),
        Case::alone("added p99", quantile(&added, 0.99), "ms").goal(Goal::Below(5.0)),
        p99("of it: align p99", &|span| span.align),
        p99("of it: batch p99", &|span| span.batch),
        p99("of it: preprocess p99", &|span| span.preprocess),
        p99("of it: result p99", &|span| span.result),
        Case::alone("busy model p50", quantile(&busy, 0.5), "ms"),
        Case::alone("busy model p99", quantile(&busy, 0.99), "ms"),
        Case::alone("whole p50", quantile(&whole, 0.5), "ms"),
        Case::alone("whole p99", quantile(&whole, 0.99), "ms"),
        Case::alone("rate", rate, "records/s"),
    ];
    Ok(Report::new("latency", ABOUT, cases))
}

/// The spans without those of the beginning.
pub(super) fn settled(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort_unstable_by_key(|span| span.event_time);
    let warm_up = (spans.len() as f64 * WARM_UP) as usize;
    spans.split_off(warm_up)
}
