//! The field of the status document that shows each metric. Some metrics are on `/metrics` alone.

use std::collections::BTreeMap;

use lockstep_http::{InputStatus, ModelStatus, PartitionStatus, StageScaling, StatusDocument, StepStatus};
use lockstep_telemetry::{HistogramSnapshot, Metric};

/// The prefix of the name under which the scaling policy knows the instances of a step.
const INSTANCES_OF: &str = "instances of ";

pub(super) fn add_counter(to: &mut StatusDocument, counter: &Metric<u64>) {
    let value = counter.value;
    match counter.name() {
        "lockstep_records_total" => input(to, counter).records += value,
        "lockstep_record_bytes_total" => input(to, counter).record_bytes += value,
        "lockstep_late_total" => input(to, counter).late_samples += value,
        "lockstep_evicted_total" => count(&mut input(to, counter).evicted_samples, counter, "reason"),
        "lockstep_shed_total" => count(&mut input(to, counter).shed_samples, counter, "reason"),
        "lockstep_dropped_total" => count(&mut input(to, counter).dropped_samples, counter, "reason"),
        "lockstep_damaged_total" => input(to, counter).damaged_samples += value,
        "lockstep_data_loss_records_total" => input(to, counter).lost_records += value,
        "lockstep_epochs_total" => input(to, counter).epochs += value,

        "lockstep_model_batches_total" => {
            let batches = &mut step(to, counter).batches;
            match counter.label("outcome") {
                "ok" => batches.succeeded += value,
                _ => batches.failed += value,
            }
        }
        "lockstep_batches_split_total" => count(&mut step(to, counter).batches.split, counter, "reason"),
        "lockstep_instances_abandoned_total" => step(to, counter).abandoned_calls += value,
        "lockstep_states_refused_total" => step(to, counter).refused_states += value,

        "lockstep_model_loads_total" => model(to, counter).loads += value,
        "lockstep_model_load_failures_total" => model(to, counter).load_failures += value,
        "lockstep_model_unloads_total" => count(&mut model(to, counter).unloads, counter, "reason"),

        "lockstep_results_total" => to.results.acknowledged += value,
        "lockstep_bundles_total" => count(&mut to.results.closed_bundles, counter, "outcome"),
        "lockstep_bundles_abandoned_total" => to.results.abandoned_bundles += value,
        "lockstep_dead_letters_total" => {
            let stage = counter.label("stage").to_owned();
            count(to.results.dead_letters.entry(stage).or_default(), counter, "reason");
        }
        "lockstep_delivery_failures_total" => to.results.delivery_failures += value,
        "lockstep_undeliverable_total" => count(&mut to.results.undeliverable_records, counter, "topic"),
        "lockstep_transactions_total" => count(&mut to.results.transactions, counter, "outcome"),

        "lockstep_moved_streams_total" => to.shards.moved_streams += value,
        "lockstep_restarts_total" => {
            to.actors.entry(counter.label("actor").to_owned()).or_default().restarts += value;
        }
        "lockstep_panics_total" => {
            to.actors.entry(counter.label("actor").to_owned()).or_default().panics += value;
        }
        "lockstep_scaling_decisions_total" => {
            if let Some(scaling) = scaling(to, counter.label("of")) {
                match counter.label("way") {
                    "up" => scaling.decisions_up += value,
                    _ => scaling.decisions_down += value,
                }
            }
        }
        _ => {}
    }
}

pub(super) fn add_gauge(to: &mut StatusDocument, gauge: &Metric<f64>) {
    let (value, whole) = (gauge.value, whole(gauge.value));
    match gauge.name() {
        "lockstep_consumer_lag_records" => partition(to, gauge).lag_records = Some(whole),
        "lockstep_oldest_event_age_seconds" => partition(to, gauge).oldest_event_age_seconds = Some(value),
        "lockstep_held_back_records" => partition(to, gauge).held_back_offsets = Some(whole),

        "lockstep_paused_partitions" => to.partitions.paused = whole,
        "lockstep_ahead_partitions" => to.partitions.ahead = whole,
        "lockstep_metadata_pressure_partitions" => match gauge.label("intake") {
            "slow" => to.partitions.metadata_slow = whole,
            _ => to.partitions.metadata_paused = whole,
        },
        "lockstep_bytes_in_flight" => to.memory.in_flight_bytes = Some(whole),
        "lockstep_byte_budget" => to.memory.budget_bytes = Some(whole),
        "lockstep_decoding_blocked_seconds_total" => to.memory.decoding_blocked_seconds = value,

        "lockstep_arrival_records_per_second" => to.load.arrival_records_per_second = Some(value),
        "lockstep_served_records_per_second" => to.load.served_records_per_second = Some(value),
        "lockstep_desired_replicas" => to.load.desired_replicas = Some(value),
        "lockstep_busy_ratio" => {
            if let Some(scaling) = scaling(to, gauge.label("of")) {
                scaling.busy_ratio = Some(value);
            }
        }
        "lockstep_scaling_wanted" => {
            if let Some(scaling) = scaling(to, gauge.label("of")) {
                scaling.wanted = usize::try_from(whole).ok();
            }
        }

        "lockstep_streams" => to.shards.streams += whole,
        "lockstep_buffered_samples" => to.shards.buffered_samples += whole,
        "lockstep_mailbox_blocked_seconds_total" => {
            to.mailboxes.entry(gauge.label("mailbox").to_owned()).or_default().blocked_seconds += value;
        }

        "lockstep_model_busy_seconds_total" => step(to, gauge).model_busy_seconds += value,
        "lockstep_model_resident_bytes" => model(to, gauge).resident_bytes += whole,
        "lockstep_batch_limit" => step(to, gauge).batches.limit_bundles = Some(whole),
        "lockstep_batch_chosen_size" => step(to, gauge).batches.target_bundles = Some(whole),
        "lockstep_batch_chosen_delay_seconds" => step(to, gauge).batches.delay_seconds = Some(value),
        "lockstep_batch_cost_seconds" => {
            let batches = &mut step(to, gauge).batches;
            match gauge.label("part") {
                "fixed" => batches.cost_fixed_seconds = Some(value),
                _ => batches.cost_per_bundle_seconds = Some(value),
            }
        }
        _ => {}
    }
}

pub(super) fn add_histogram(to: &mut StatusDocument, histogram: &Metric<HistogramSnapshot>) {
    let value = histogram.value.clone();
    match histogram.name() {
        "lockstep_latency_seconds" => {
            to.results.latency_seconds.insert(histogram.label("part").to_owned(), value);
        }
        "lockstep_skew_seconds" => input(to, histogram).skew_seconds = value,
        "lockstep_batch_size" => step(to, histogram).batches.size_bundles = value,
        "lockstep_moved_stream_pause_seconds" => to.shards.moved_stream_pause_seconds = value,
        _ => {}
    }
}

/// The numbers of a stage, by the name under which the scaling policy knows it.
pub(super) fn scaling<'a>(of: &'a mut StatusDocument, stage: &str) -> Option<&'a mut StageScaling> {
    match stage.strip_prefix(INSTANCES_OF) {
        Some(step) => Some(&mut of.steps.entry(step.to_owned()).or_default().scaling),
        None => (stage == "shards").then_some(&mut of.shards.scaling),
    }
}

fn input<'a, T>(to: &'a mut StatusDocument, metric: &Metric<T>) -> &'a mut InputStatus {
    to.inputs.entry(metric.label("input").to_owned()).or_default()
}

fn partition<'a>(to: &'a mut StatusDocument, gauge: &Metric<f64>) -> &'a mut PartitionStatus {
    // The label is a number that this process wrote.
    let number = gauge.label("partition").parse().unwrap_or(-1);
    input(to, gauge).partitions.entry(number).or_default()
}

fn step<'a, T>(to: &'a mut StatusDocument, metric: &Metric<T>) -> &'a mut StepStatus {
    to.steps.entry(metric.label("step").to_owned()).or_default()
}

fn model<'a, T>(to: &'a mut StatusDocument, metric: &Metric<T>) -> &'a mut ModelStatus {
    step(to, metric).versions.entry(metric.label("version").to_owned()).or_default()
}

/// Adds a counter to the count of its label.
fn count(counts: &mut BTreeMap<String, u64>, counter: &Metric<u64>, label: &str) {
    *counts.entry(counter.label(label).to_owned()).or_default() += counter.value;
}

/// The nearest whole number from 0 on.
fn whole(value: f64) -> u64 {
    // The conversion of a float saturates.
    value.round() as u64
}
