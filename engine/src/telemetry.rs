//! The names of all metrics. Other crates report metrics only through these functions: a lint bans the raw macros. So
//! a metric's name, unit and labels are defined once.
#![allow(clippy::disallowed_macros, reason = "the one place where metrics are named")]

use std::sync::OnceLock;
use std::time::Duration;

use metrics::{
    Counter, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

use crate::align::{Bound, Quantity};
use crate::batch::{BatchDecision, CostModel};
use crate::fault::{Reason, StageKind};
use crate::infer::unit::UnitId;
use crate::ingest::shed::Shed;
use crate::position::PartitionId;
use crate::publish::sink::Ended;
use crate::publish::transaction::TransactionRequest;
use crate::scaling::{Decision, Measures};
use crate::supervision::breaker::BreakerState;

pub use latencies::Latencies;
use latencies::PARTS;

pub mod delivery;
pub mod instances;
mod latencies;
pub mod models;
pub mod pictures;
pub mod samples;
pub mod shards;
pub mod upstream;

/// Describes every metric. Call it once, after a recorder is installed.
pub fn describe() {
    let counters = [
        ("lockstep_records_total", "records consumed"),
        ("lockstep_record_bytes_total", "bytes of the values of records consumed"),
        ("lockstep_bundles_total", "bundles closed, by their outcome at alignment"),
        ("lockstep_results_total", "results acknowledged by the broker"),
        ("lockstep_late_total", "samples that came too late for any bundle"),
        ("lockstep_evicted_total", "samples evicted from alignment buffers, by the bound that was exceeded"),
        (
            "lockstep_shed_total",
            "samples shed unread because the pipeline is behind, by the rule that applied",
        ),
        ("lockstep_dropped_total", "samples in no bundle, or only in dropped bundles"),
        ("lockstep_dead_letters_total", "records dead-lettered"),
        ("lockstep_data_loss_records_total", "records that the broker deleted before they were read"),
        ("lockstep_epochs_total", "steps of a source's clock; each starts its stream again"),
        ("lockstep_model_batches_total", "batches run"),
        ("lockstep_panics_total", "panics caught in actors"),
        ("lockstep_restarts_total", "actors, instances and pipelines restarted after a failure"),
        (
            "lockstep_instances_abandoned_total",
            "model calls that did not return in time and whose threads were abandoned",
        ),
        (
            "lockstep_batches_split_total",
            "batches split to find the bundle that fails, or because memory was short",
        ),
        ("lockstep_delivery_failures_total", "records that the broker did not accept"),
        ("lockstep_transactions_total", "transactions that have ended, by outcome"),
        (
            "lockstep_states_refused_total",
            "streams that start again because their stored state could not be restored",
        ),
        ("lockstep_scaling_decisions_total", "decisions to scale shards or instances, by direction"),
        (
            "lockstep_bundles_abandoned_total",
            "bundles in flight whose partitions were assigned to another member",
        ),
    ];
    for (name, help) in counters {
        describe_counter!(name, help);
    }
    describe_histogram!(
        "lockstep_latency_seconds",
        Unit::Seconds,
        "latency of results, by part of the pipeline"
    );
    describe_histogram!(
        "lockstep_skew_seconds",
        Unit::Seconds,
        "distance in event time of an input's samples from the pivot"
    );
    describe_histogram!(
        "lockstep_transaction_end_seconds",
        Unit::Seconds,
        "time from the request to end a transaction until the next one has begun"
    );
    describe_histogram!("lockstep_batch_size", "rows in a batch: bundles, or detections of a step with each");
    delivery::describe();
    describe_gauge!(
        "lockstep_model_busy_seconds_total",
        Unit::Seconds,
        "time that an instance spent in its model"
    );
    describe_gauge!(
        "lockstep_mailbox_blocked_seconds_total",
        Unit::Seconds,
        "time spent waiting for space in a mailbox"
    );
    describe_gauge!("lockstep_bytes_in_flight", Unit::Bytes, "bytes of all records from poll to outcome");
    describe_gauge!("lockstep_byte_budget", Unit::Bytes, "limit on the bytes in flight");
    describe_gauge!(
        "lockstep_paused_partitions",
        "partitions paused because of the byte budget or the drift bound"
    );
    describe_gauge!(
        "lockstep_ahead_partitions",
        "partitions paused because they are further ahead in event time than the drift bound allows"
    );
    describe_gauge!(
        "lockstep_metadata_pressure_partitions",
        "partitions whose completion map is close to the metadata limit"
    );
    describe_gauge!(
        "lockstep_oldest_event_age_seconds",
        Unit::Seconds,
        "age of the oldest event that waits in Kafka, by partition; 0 where none waits"
    );
    describe_gauge!(
        "lockstep_arrival_records_per_second",
        "records per second that arrive in Kafka, averaged"
    );
    describe_gauge!(
        "lockstep_served_records_per_second",
        "records per second that the pipeline reads, averaged"
    );
    describe_gauge!(
        "lockstep_busy_ratio",
        "share of time for which shards or the instances of a step are busy, averaged"
    );
    describe_gauge!(
        "lockstep_scaling_wanted",
        "number of shards, or of instances of a step, that the scaling rule wants"
    );
    describe_gauge!(
        "lockstep_desired_replicas",
        "processes that the load of this one's partitions needs; the sum over all processes, rounded up, is the number to run"
    );
    describe_gauge!(
        "lockstep_input_drift_ppm",
        "largest clock drift among the monitored streams of an input: real rate over nominal rate, less 1, by event times"
    );
    describe_gauge!(
        "lockstep_input_clock_offset_seconds",
        Unit::Seconds,
        "last estimate of the offset to add to an input's event times so that they agree with the pivot's"
    );
    describe_gauge!(
        "lockstep_breaker_state",
        "circuit breaker of a step's model: 0 closed, 1 half-open, 2 open"
    );
    describe_gauge!(
        "lockstep_batch_limit",
        "most bundles in a batch, after larger batches ran out of memory"
    );
    describe_gauge!(
        "lockstep_batch_cost_seconds",
        Unit::Seconds,
        "expected time of a batch in the model, from measurements: a fixed part, and a part for each bundle"
    );
    describe_gauge!("lockstep_batch_chosen_size", "target size in bundles of the last batch");
    describe_gauge!(
        "lockstep_batch_chosen_delay_seconds",
        Unit::Seconds,
        "time that the oldest bundle of the last batch had waited"
    );
    describe_gauge!("lockstep_streams", "streams held by the sync actors");
    describe_gauge!("lockstep_buffered_samples", "samples in alignment buffers");
    instances::describe();
    models::describe();
    shards::describe();
    pictures::describe();
    upstream::describe();
}

/// Counts consumed records of an input.
pub fn consumed(input: &str, records: usize, bytes: usize) {
    counter!("lockstep_records_total", "input" => input.to_owned()).increment(records as u64);
    counter!("lockstep_record_bytes_total", "input" => input.to_owned()).increment(bytes as u64);
}

/// Counts records that the broker deleted before they were read.
pub fn data_lost(input: &str, records: u64) {
    counter!("lockstep_data_loss_records_total", "input" => input.to_owned()).increment(records);
}

/// Counts closed bundles; `outcome` is `emitted`, `dropped` or `dead-lettered`.
pub fn bundles_closed(outcome: &'static str, count: usize) {
    counter!("lockstep_bundles_total", "outcome" => outcome).increment(count as u64);
}

/// Counts a sample that came too late.
pub fn late(input: &str) {
    counter!("lockstep_late_total", "input" => input.to_owned()).increment(1);
}

/// Counts a step of the clock of an input's source.
pub fn epoch(input: &str) {
    counter!("lockstep_epochs_total", "input" => input.to_owned()).increment(1);
}

/// Counts a sample evicted because alignment held more than `bound` allows.
pub fn evicted(input: &str, bound: Bound) {
    counter!("lockstep_evicted_total", "input" => input.to_owned(), "reason" => bound.as_str()).increment(1);
}

/// Sets a shard's estimate of the clocks of an input; NaN when it is no longer known.
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

/// Counts a dead-lettered record.
pub fn dead_lettered(stage: StageKind, reason: Reason) {
    counter!("lockstep_dead_letters_total", "stage" => stage.code(), "reason" => reason.code()).increment(1);
}

/// Counts acknowledged results, and records their latencies.
pub fn published(latencies: &mut Latencies) {
    static RESULTS: OnceLock<(Counter, [Histogram; PARTS.len()])> = OnceLock::new();
    let (results, histograms) = RESULTS.get_or_init(|| {
        let histograms = PARTS.map(|part| histogram!("lockstep_latency_seconds", "part" => part));
        (counter!("lockstep_results_total"), histograms)
    });
    results.increment(latencies.take_results());
    for (histogram, tally) in histograms.iter().zip(latencies.parts()) {
        tally.drain(|nanos, count| histogram.record_many(nanos / 1e9, count));
    }
}

/// Counts a record that the broker did not accept.
pub fn delivery_failed() {
    counter!("lockstep_delivery_failures_total").increment(1);
}

/// Counts an ended transaction, and records the time of its end. The first `Begin` ends none and is not counted.
pub fn transaction(asked: TransactionRequest, ended: &Ended, took: Duration) {
    let outcome = match (asked, ended) {
        (TransactionRequest::Begin, Ended::AsAsked) => return,
        (TransactionRequest::Commit, Ended::AsAsked) => "committed",
        (_, Ended::Failed(_)) => "failed",
        (TransactionRequest::Abort, _) | (_, Ended::Aborted(_)) => "aborted",
    };
    counter!("lockstep_transactions_total", "outcome" => outcome).increment(1);
    histogram!("lockstep_transaction_end_seconds").record(took.as_secs_f64());
}

/// Counts a stream whose stored state could not be restored.
pub fn state_refused(unit: &UnitId) {
    counter!("lockstep_states_refused_total", "step" => unit.step().to_owned(), "version" => unit.version().to_owned()).increment(1);
}

/// Counts a bundle in flight that was abandoned because its records were read under an assignment that has ended.
pub fn bundle_abandoned() {
    counter!("lockstep_bundles_abandoned_total").increment(1);
}

/// Sets the numbers of partitions that are read slowly, or paused, because of offset-metadata pressure.
pub fn metadata_pressure(slow: usize, paused: usize) {
    gauge!("lockstep_metadata_pressure_partitions", "intake" => "slow").set(slow as f64);
    gauge!("lockstep_metadata_pressure_partitions", "intake" => "paused").set(paused as f64);
}

/// Counts a batch that was run, and records its size and time.
pub fn batch_run(unit: &UnitId, instance: usize, size: usize, busy: Duration, succeeded: bool) {
    let outcome = if succeeded { "ok" } else { "failed" };
    histogram!("lockstep_batch_size", "step" => unit.step().to_owned(), "version" => unit.version().to_owned()).record(size as f64);
    counter!("lockstep_model_batches_total", "step" => unit.step().to_owned(), "version" => unit.version().to_owned(), "outcome" => outcome).increment(1);
    // The facade's counters take whole numbers only, and the convention asks for seconds: so it is a gauge that only
    // grows.
    gauge!("lockstep_model_busy_seconds_total", "step" => unit.step().to_owned(), "version" => unit.version().to_owned(), "instance" => instance.to_string())
        .increment(busy.as_secs_f64());
}

/// Adds time that a sender waited for space in a mailbox.
pub fn mailbox_blocked(mailbox: &'static str, waited: Duration) {
    gauge!("lockstep_mailbox_blocked_seconds_total", "mailbox" => mailbox).increment(waited.as_secs_f64());
}

/// Counts a caught panic of an actor.
pub fn panicked(actor: &str) {
    counter!("lockstep_panics_total", "actor" => actor.to_owned()).increment(1);
}

/// Counts a restart of an actor, an instance or the pipeline.
pub fn restarted(who: &str) {
    counter!("lockstep_restarts_total", "actor" => who.to_owned()).increment(1);
}

/// Counts a model call that did not return in time.
pub fn abandoned(unit: &UnitId) {
    counter!("lockstep_instances_abandoned_total", "step" => unit.step().to_owned(), "version" => unit.version().to_owned()).increment(1);
}

/// Counts a split batch; `reason` is `failure` or `memory`.
pub fn batch_split(unit: &UnitId, reason: &'static str) {
    counter!("lockstep_batches_split_total", "step" => unit.step().to_owned(), "version" => unit.version().to_owned(), "reason" => reason).increment(1);
}

/// Sets the most bundles of a step's batches from now on.
pub fn batch_limit(unit: &UnitId, most: usize) {
    gauge!("lockstep_batch_limit", "step" => unit.step().to_owned(), "version" => unit.version().to_owned())
        .set(most as f64);
}

/// Sets the size and delay of the batch that was cut last, and the cost model of the step.
pub fn batch_chosen(unit: &UnitId, chosen: BatchDecision, cost: &CostModel) {
    let (fixed, per_item) = cost.parts();
    gauge!("lockstep_batch_cost_seconds", "step" => unit.step().to_owned(), "version" => unit.version().to_owned(), "part" => "fixed").set(fixed);
    gauge!("lockstep_batch_cost_seconds", "step" => unit.step().to_owned(), "version" => unit.version().to_owned(), "part" => "item").set(per_item);
    gauge!("lockstep_batch_chosen_size", "step" => unit.step().to_owned(), "version" => unit.version().to_owned()).set(chosen.size as f64);
    gauge!("lockstep_batch_chosen_delay_seconds", "step" => unit.step().to_owned(), "version" => unit.version().to_owned()).set(chosen.waited.as_secs_f64());
}

/// Sets the state of the circuit breaker of a step's model.
pub fn breaker(unit: &UnitId, state: BreakerState) {
    let value = match state {
        BreakerState::Closed => 0.0,
        BreakerState::HalfOpen => 1.0,
        BreakerState::Open => 2.0,
    };
    gauge!("lockstep_breaker_state", "step" => unit.step().to_owned(), "version" => unit.version().to_owned()).set(value);
}

/// Counts a sample that was shed unread.
pub fn shed(input: &str, why: Shed) {
    counter!("lockstep_shed_total", "input" => input.to_owned(), "reason" => why.as_str()).increment(1);
}

/// Sets the memory in flight, its budget, the number of paused partitions, and how many of these are too far ahead.
pub fn memory(used: u64, limit: u64, paused: usize, ahead: usize) {
    gauge!("lockstep_ahead_partitions").set(ahead as f64);
    gauge!("lockstep_bytes_in_flight").set(used as f64);
    gauge!("lockstep_byte_budget").set(limit as f64);
    gauge!("lockstep_paused_partitions").set(paused as f64);
}

/// Sets the age of the oldest event that waits in a partition; NaN when it is no longer known.
pub fn oldest_event(input: &str, partition: PartitionId, age: Option<Duration>) {
    let partition = partition.partition.to_string();
    gauge!("lockstep_oldest_event_age_seconds", "input" => input.to_owned(), "partition" => partition)
        .set(age.map_or(f64::NAN, |age| age.as_secs_f64()));
}

/// Sets the measures of the scaling rule.
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

/// Sets the wanted number of shards, or of instances of a step.
pub fn scaling_wanted(of: &str, count: usize) {
    gauge!("lockstep_scaling_wanted", "of" => of.to_owned()).set(count as f64);
}

/// Counts a decision to scale up or down.
pub fn scaling_decided(decision: &Decision) {
    let way = if decision.to > decision.from { "up" } else { "down" };
    counter!("lockstep_scaling_decisions_total", "of" => decision.name.to_string(), "way" => way)
        .increment(1);
}

/// Sets the number of processes that the load of this one needs.
pub fn desired_replicas(processes: f64) {
    gauge!("lockstep_desired_replicas").set(processes);
}

/// Sets the streams and samples that a sync actor holds.
pub fn alignment(shard: usize, streams: usize, buffered: usize) {
    gauge!("lockstep_streams", "shard" => shard.to_string()).set(streams as f64);
    gauge!("lockstep_buffered_samples", "shard" => shard.to_string()).set(buffered as f64);
}
