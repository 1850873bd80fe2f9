//! The vocabulary of metrics. Shells report what happened through these functions and through nothing
//! else: the raw macros are banned by lint, so a metric's name, unit and labels are said once.
#![allow(clippy::disallowed_macros, reason = "the one place where metrics are named")]

use std::sync::OnceLock;
use std::time::Duration;

use metrics::{
    Counter, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

use crate::align::{Bound, Quantity};
use crate::batch::{Chosen, CostModel};
use crate::fault::{Reason, StageKind};
use crate::ingest::shed::Shed;
use crate::position::PartitionId;
use crate::publish::sink::Ended;
use crate::publish::transaction::Ask;
use crate::scaling::{Decision, Measures};
use crate::supervision::breaker::BreakerState;

pub use latencies::Latencies;
use latencies::PARTS;

pub mod delivery;
pub mod instances;
mod latencies;
pub mod pictures;
pub mod samples;
pub mod shards;
pub mod upstream;

/// Says what every metric means; once, after a recorder is installed.
pub fn describe() {
    let counters = [
        ("lockstep_records_total", "records consumed"),
        ("lockstep_record_bytes_total", "bytes of the values of records consumed"),
        ("lockstep_bundles_total", "bundles closed, by what became of them at alignment"),
        ("lockstep_results_total", "results acknowledged by the broker"),
        ("lockstep_late_total", "samples that came too late for any bundle"),
        (
            "lockstep_evicted_total",
            "samples that had to make room in alignment, by the bound that asked for it",
        ),
        (
            "lockstep_shed_total",
            "samples put aside unread as the pipeline is behind, by the rule that says so",
        ),
        ("lockstep_dropped_total", "samples in no bundle or only in dropped ones"),
        ("lockstep_dead_letters_total", "records dead-lettered"),
        ("lockstep_data_loss_records_total", "records that the broker deleted before they were read"),
        ("lockstep_epochs_total", "steps of a source's clock, each of which begins a stream anew"),
        ("lockstep_model_batches_total", "batches run"),
        ("lockstep_panics_total", "panics caught in actors"),
        (
            "lockstep_restarts_total",
            "actors, instances and pipelines that were started again after a failure",
        ),
        (
            "lockstep_instances_abandoned_total",
            "calls of a model that did not return in time and were left behind",
        ),
        (
            "lockstep_batches_split_total",
            "batches split to find what is to blame, or because memory was short",
        ),
        ("lockstep_delivery_failures_total", "records that the broker did not take"),
        ("lockstep_transactions_total", "transactions that have ended, by how"),
        ("lockstep_states_refused_total", "streams whose kept state could not be taken up, which begin anew"),
        (
            "lockstep_scaling_decisions_total",
            "decisions that there are to be more or fewer shards or instances, by which way",
        ),
        ("lockstep_bundles_abandoned_total", "bundles in flight whose partitions went to another member"),
    ];
    for (name, help) in counters {
        describe_counter!(name, help);
    }
    describe_histogram!(
        "lockstep_latency_seconds",
        Unit::Seconds,
        "where the time of a bundle goes, by part"
    );
    describe_histogram!(
        "lockstep_skew_seconds",
        Unit::Seconds,
        "distance of an input's samples from the pivot"
    );
    describe_histogram!(
        "lockstep_transaction_end_seconds",
        Unit::Seconds,
        "from asking for a transaction's end to the next's beginning"
    );
    describe_histogram!("lockstep_batch_size", "bundles of a batch");
    delivery::describe();
    describe_gauge!(
        "lockstep_model_busy_seconds_total",
        Unit::Seconds,
        "time that an instance spent in its model"
    );
    describe_gauge!(
        "lockstep_mailbox_blocked_seconds_total",
        Unit::Seconds,
        "time spent waiting for room in a link"
    );
    describe_gauge!("lockstep_bytes_in_flight", Unit::Bytes, "bytes of all records from poll to outcome");
    describe_gauge!("lockstep_byte_budget", Unit::Bytes, "the most that bytes in flight should be");
    describe_gauge!(
        "lockstep_paused_partitions",
        "partitions paused to keep to the budget or to the drift bound"
    );
    describe_gauge!(
        "lockstep_ahead_partitions",
        "partitions paused since they are further ahead in event time than the drift bound allows"
    );
    describe_gauge!(
        "lockstep_metadata_pressure_partitions",
        "partitions whose completion map nears the limit"
    );
    describe_gauge!(
        "lockstep_oldest_event_age_seconds",
        Unit::Seconds,
        "age of the oldest event of a partition that waits in Kafka; 0 where none does"
    );
    describe_gauge!("lockstep_arrival_records_per_second", "records that arrive in Kafka, averaged");
    describe_gauge!("lockstep_served_records_per_second", "records that are taken in, averaged");
    describe_gauge!(
        "lockstep_busy_ratio",
        "share of their time for which shards or the instances of a step work, averaged"
    );
    describe_gauge!(
        "lockstep_scaling_wanted",
        "shards, or instances of a step, that the law of scaling asks for"
    );
    describe_gauge!(
        "lockstep_desired_replicas",
        "processes that the work of this one's partitions asks for; the sum over all, rounded up, is how many there should be"
    );
    describe_gauge!(
        "lockstep_input_drift_ppm",
        "the drift furthest from 0 among the streams of an input that are followed: real rate over nominal less 1, by event times"
    );
    describe_gauge!(
        "lockstep_input_clock_offset_seconds",
        Unit::Seconds,
        "what to add to the event times of an input so that they agree with the pivot's, as estimated last"
    );
    describe_gauge!("lockstep_breaker_state", "the breaker of a step's model: 0 closed, 1 half-open, 2 open");
    describe_gauge!("lockstep_batch_limit", "the most bundles of a batch, since larger ones found no memory");
    describe_gauge!(
        "lockstep_batch_cost_seconds",
        Unit::Seconds,
        "what a batch is expected to take in the model, as measured: a fixed part, and a part for each bundle"
    );
    describe_gauge!("lockstep_batch_chosen_size", "the most bundles that the last batch was to have");
    describe_gauge!(
        "lockstep_batch_chosen_delay_seconds",
        Unit::Seconds,
        "how long the oldest bundle of the last batch had waited for it"
    );
    describe_gauge!("lockstep_streams", "streams known to the sync actors");
    describe_gauge!("lockstep_buffered_samples", "samples in alignment buffers");
    instances::describe();
    shards::describe();
    pictures::describe();
    upstream::describe();
}

/// Records of an input were consumed.
pub fn consumed(input: &str, records: usize, bytes: usize) {
    counter!("lockstep_records_total", "input" => input.to_owned()).increment(records as u64);
    counter!("lockstep_record_bytes_total", "input" => input.to_owned()).increment(bytes as u64);
}

/// The broker deleted records before they were read.
pub fn data_lost(input: &str, records: u64) {
    counter!("lockstep_data_loss_records_total", "input" => input.to_owned()).increment(records);
}

/// Bundles closed: `emitted`, `dropped` or `dead-lettered`.
pub fn bundles_closed(outcome: &'static str, count: usize) {
    counter!("lockstep_bundles_total", "outcome" => outcome).increment(count as u64);
}

/// A sample came too late.
pub fn late(input: &str) {
    counter!("lockstep_late_total", "input" => input.to_owned()).increment(1);
}

/// The clock of an input's source has stepped.
pub fn epoch(input: &str) {
    counter!("lockstep_epochs_total", "input" => input.to_owned()).increment(1);
}

/// A sample had to make room, since more was held than this bound allows.
pub fn evicted(input: &str, bound: Bound) {
    counter!("lockstep_evicted_total", "input" => input.to_owned(), "reason" => bound.as_str()).increment(1);
}

/// What a shard's look at the clocks of an input has found; not a number when it is no longer known.
pub fn clock(shard: usize, input: &str, quantity: Quantity, value: Option<f64>) {
    let (shard, input, value) = (shard.to_string(), input.to_owned(), value.unwrap_or(f64::NAN));
    match quantity {
        Quantity::DriftPpm => {
            gauge!("lockstep_input_drift_ppm", "shard" => shard, "input" => input).set(value);
        }
        Quantity::OffsetSeconds => {
            gauge!("lockstep_input_clock_offset_seconds", "shard" => shard, "input" => input).set(value);
        }
    }
}

/// A record was dead-lettered.
pub fn dead_lettered(stage: StageKind, reason: Reason) {
    counter!("lockstep_dead_letters_total", "stage" => stage.code(), "reason" => reason.code()).increment(1);
}

/// Results were acknowledged: where their time went.
pub fn published(latencies: &mut Latencies) {
    static OF_RESULTS: OnceLock<(Counter, [Histogram; PARTS.len()])> = OnceLock::new();
    let (results, histograms) = OF_RESULTS.get_or_init(|| {
        let histograms = PARTS.map(|part| histogram!("lockstep_latency_seconds", "part" => part));
        (counter!("lockstep_results_total"), histograms)
    });
    results.increment(latencies.take_results());
    for (histogram, tally) in histograms.iter().zip(latencies.parts()) {
        tally.drain(|nanos, count| histogram.record_many(nanos / 1e9, count));
    }
}

/// The broker did not take a record.
pub fn delivery_failed() {
    counter!("lockstep_delivery_failures_total").increment(1);
}

/// A transaction has ended, or the first has begun.
pub fn transaction(asked: Ask, ended: &Ended, took: Duration) {
    let outcome = match (asked, ended) {
        (Ask::Begin, Ended::AsAsked) => return,
        (Ask::Commit, Ended::AsAsked) => "committed",
        (_, Ended::Failed(_)) => "failed",
        (Ask::Abort, _) | (_, Ended::Aborted(_)) => "aborted",
    };
    counter!("lockstep_transactions_total", "outcome" => outcome).increment(1);
    histogram!("lockstep_transaction_end_seconds").record(took.as_secs_f64());
}

/// What a stream had carried on could not be taken up.
pub fn state_refused(step: &str) {
    counter!("lockstep_states_refused_total", "step" => step.to_owned()).increment(1);
}

/// A bundle in flight was let go, as its records were read under an assignment that has ended.
pub fn bundle_abandoned() {
    counter!("lockstep_bundles_abandoned_total").increment(1);
}

/// How many partitions are read slowly, or not at all, as so much of them has ended out of order.
pub fn crowded(slow: usize, paused: usize) {
    gauge!("lockstep_metadata_pressure_partitions", "intake" => "slow").set(slow as f64);
    gauge!("lockstep_metadata_pressure_partitions", "intake" => "paused").set(paused as f64);
}

/// A batch was run.
pub fn batch_run(step: &str, instance: usize, size: usize, busy: Duration, succeeded: bool) {
    let outcome = if succeeded { "ok" } else { "failed" };
    histogram!("lockstep_batch_size", "step" => step.to_owned()).record(size as f64);
    counter!("lockstep_model_batches_total", "step" => step.to_owned(), "outcome" => outcome).increment(1);
    // The facade's counters take whole numbers only, and the convention wants seconds: a gauge that only grows.
    gauge!("lockstep_model_busy_seconds_total", "step" => step.to_owned(), "instance" => instance.to_string())
        .increment(busy.as_secs_f64());
}

/// Somebody waited for room in a link.
pub fn link_blocked(link: &'static str, waited: Duration) {
    gauge!("lockstep_mailbox_blocked_seconds_total", "link" => link).increment(waited.as_secs_f64());
}

/// An actor panicked and the panic was caught.
pub fn panicked(actor: &str) {
    counter!("lockstep_panics_total", "actor" => actor.to_owned()).increment(1);
}

/// Something that failed is started again: an instance, or the pipeline.
pub fn restarted(who: &str) {
    counter!("lockstep_restarts_total", "actor" => who.to_owned()).increment(1);
}

/// A call of a model did not return in time.
pub fn abandoned(step: &str) {
    counter!("lockstep_instances_abandoned_total", "step" => step.to_owned()).increment(1);
}

/// A batch was split: `failure` or `memory`.
pub fn batch_split(step: &str, reason: &'static str) {
    counter!("lockstep_batches_split_total", "step" => step.to_owned(), "reason" => reason).increment(1);
}

/// A step's batches have at most so many bundles from here on.
pub fn batch_limit(step: &str, most: usize) {
    gauge!("lockstep_batch_limit", "step" => step.to_owned()).set(most as f64);
}

/// What was decided of the batch that was cut last, and what batches have cost so far.
pub fn batch_chosen(step: &str, chosen: Chosen, cost: &CostModel) {
    let (fixed, per_item) = cost.parts();
    gauge!("lockstep_batch_cost_seconds", "step" => step.to_owned(), "part" => "fixed").set(fixed);
    gauge!("lockstep_batch_cost_seconds", "step" => step.to_owned(), "part" => "item").set(per_item);
    gauge!("lockstep_batch_chosen_size", "step" => step.to_owned()).set(chosen.size as f64);
    gauge!("lockstep_batch_chosen_delay_seconds", "step" => step.to_owned()).set(chosen.waited.as_secs_f64());
}

/// What the breaker of a step's model does.
pub fn breaker(step: &str, state: BreakerState) {
    let value = match state {
        BreakerState::Closed => 0.0,
        BreakerState::HalfOpen => 1.0,
        BreakerState::Open => 2.0,
    };
    gauge!("lockstep_breaker_state", "step" => step.to_owned()).set(value);
}

/// A sample was put aside unread.
pub fn shed(input: &str, why: Shed) {
    counter!("lockstep_shed_total", "input" => input.to_owned(), "reason" => why.as_str()).increment(1);
}

/// Memory in flight, its budget, partitions that are paused, and how many of them for being too far ahead.
pub fn memory(used: u64, limit: u64, paused: usize, ahead: usize) {
    gauge!("lockstep_ahead_partitions").set(ahead as f64);
    gauge!("lockstep_bytes_in_flight").set(used as f64);
    gauge!("lockstep_byte_budget").set(limit as f64);
    gauge!("lockstep_paused_partitions").set(paused as f64);
}

/// How old the oldest event is that waits in a partition; not a number when it is no longer known.
pub fn oldest_event(input: &str, partition: PartitionId, age: Option<Duration>) {
    let partition = partition.partition.to_string();
    gauge!("lockstep_oldest_event_age_seconds", "input" => input.to_owned(), "partition" => partition)
        .set(age.map_or(f64::NAN, |age| age.as_secs_f64()));
}

/// What the law of scaling goes by.
pub fn measured(measures: &Measures) {
    if let Some(arrival) = measures.arrival {
        gauge!("lockstep_arrival_records_per_second").set(arrival);
    }
    if let Some(served) = measures.served {
        gauge!("lockstep_served_records_per_second").set(served);
    }
    for stage in &measures.stages {
        gauge!("lockstep_busy_ratio", "of" => stage.name.to_string()).set(stage.busy);
    }
}

/// There are to be so many of something.
pub fn scaling_wanted(of: &str, count: usize) {
    gauge!("lockstep_scaling_wanted", "of" => of.to_owned()).set(count as f64);
}

/// It was decided that there are to be more of something, or fewer.
pub fn scaling_decided(decision: &Decision) {
    let way = if decision.to > decision.from { "up" } else { "down" };
    counter!("lockstep_scaling_decisions_total", "of" => decision.name.to_string(), "way" => way)
        .increment(1);
}

/// How many processes the work of this one asks for.
pub fn desired_replicas(processes: f64) {
    gauge!("lockstep_desired_replicas").set(processes);
}

/// What a sync actor holds.
pub fn alignment(shard: usize, streams: usize, buffered: usize) {
    gauge!("lockstep_streams", "shard" => shard.to_string()).set(streams as f64);
    gauge!("lockstep_buffered_samples", "shard" => shard.to_string()).set(buffered as f64);
}
