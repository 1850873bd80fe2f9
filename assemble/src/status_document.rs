//! The status document of this process: its metrics and the health of its pipeline, gathered for `/v1/status`.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use lockstep_actors::Status;
use lockstep_actors::counts::Instances;
use lockstep_actors::desired::Desired;
use lockstep_engine::condition::Condition;
use lockstep_engine::pipeline::Pipeline;
use lockstep_http::{
    ConditionStatus, InputStatus, InstanceLoading, RunProgress, STATUS_VERSION, ScalingDecision,
    StageScaling, StatusCheck, StatusDocument, StepStatus,
};
use lockstep_telemetry::Metrics;

mod measures;

/// The subjects that the document lists even before anything is measured.
#[derive(Clone, Debug, Default)]
pub struct Subjects {
    pipeline: String,
    inputs: Vec<String>,
    steps: Vec<String>,
}

impl Subjects {
    /// A process that runs no pipeline of a file.
    pub fn nameless(name: &str) -> Self {
        Self { pipeline: name.to_owned(), ..Self::default() }
    }

    /// The inputs and steps of a pipeline.
    pub fn of(pipeline: &Pipeline) -> Self {
        Self {
            pipeline: pipeline.name.clone(),
            inputs: pipeline.inputs.iter().map(|input| input.name.clone()).collect(),
            steps: pipeline.steps.iter().map(|step| step.name.clone()).collect(),
        }
    }
}

/// The answer of the status endpoint.
pub fn check(subjects: Subjects, status: Arc<Status>, metrics: Metrics) -> StatusCheck {
    Arc::new(move || gather(&subjects, &status, &metrics))
}

fn gather(subjects: &Subjects, status: &Status, metrics: &Metrics) -> StatusDocument {
    let mut document = StatusDocument {
        version: STATUS_VERSION,
        pipeline: subjects.pipeline.clone(),
        inputs: subjects.inputs.iter().map(|input| (input.clone(), InputStatus::default())).collect(),
        steps: subjects.steps.iter().map(|step| (step.clone(), StepStatus::default())).collect(),
        ..StatusDocument::default()
    };
    metrics.counters().iter().for_each(|counter| measures::add_counter(&mut document, counter));
    metrics.gauges().iter().for_each(|gauge| measures::add_gauge(&mut document, gauge));
    metrics.histograms().iter().for_each(|histogram| measures::add_histogram(&mut document, histogram));
    add_health(&mut document, status);
    document
}

fn add_health(to: &mut StatusDocument, status: &Status) {
    to.ready = status.is_ready();
    to.failure = status.failure();
    to.live = to.failure.is_none();
    to.conditions = status.conditions().into_iter().map(condition).collect();
    to.upstream = status.upstream().into_iter().map(|(subject, wrong)| (subject.to_owned(), wrong)).collect();
    let progress = |(read_offsets, all_offsets)| RunProgress { read_offsets, all_offsets };
    to.progress = status.progress().map(progress);
    to.partitions.assigned = status.partitions.load(Ordering::Relaxed) as u64;
    to.results.bundles_in_flight = status.bundles_in_flight() as u64;
    for input in to.inputs.values_mut() {
        let partitions = || input.partitions.values();
        input.lag_records = partitions().filter_map(|of| of.lag_records).reduce(|a, b| a + b);
        input.oldest_event_age_seconds =
            partitions().filter_map(|of| of.oldest_event_age_seconds).reduce(f64::max);
    }
    set_count(&mut to.shards.scaling, &status.shards);
    for (name, instances) in status.instances() {
        let step = to.steps.entry(name).or_default();
        set_count(&mut step.scaling, &instances);
        step.loading = loading(&instances);
        step.queued_bundles = instances.queued() as u64;
    }
    for (step, breaker) in status.breakers() {
        to.steps.entry(step).or_default().breaker = Some(breaker.state.as_str().to_owned());
    }
    for (stage, last) in status.decisions() {
        if let Some(scaling) = measures::scaling(to, &stage) {
            scaling.last_decision = Some(ScalingDecision {
                at: last.at.to_string(),
                from: last.decision.from,
                to: last.decision.to,
                policy: last.decision.policy.as_str().to_owned(),
                reason: last.decision.reason.to_string(),
            });
        }
    }
    for (name, health) in status.actors() {
        let actor = to.actors.entry(name).or_default();
        actor.state = Some(health.state.as_str().to_owned());
        actor.last_error = health.last_error;
    }
    for (name, pending) in status.pending_messages() {
        to.actors.entry(name).or_default().pending_messages = Some(pending);
    }
}

fn set_count<const MOST: usize>(to: &mut StageScaling, count: &Desired<MOST>) {
    to.current = count.current();
    to.desired = count.desired();
    to.manual_override = count.is_overridden();
}

fn loading(instances: &Instances) -> InstanceLoading {
    let coming = instances.coming();
    InstanceLoading {
        is_loading: coming.is_loading,
        failures: coming.failures,
        last_error: coming.last_error,
        most_instances: coming.most,
    }
}

fn condition(condition: Condition) -> ConditionStatus {
    ConditionStatus {
        work: condition.work.as_str().to_owned(),
        on: condition.on,
        cause: condition.cause.what,
        remedy: condition.cause.remedy,
        since: condition.since.to_string(),
        reports: condition.reports,
    }
}

#[cfg(test)]
#[path = "status_document_tests.rs"]
mod tests;
