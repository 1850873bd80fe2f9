//! The only module that names concrete types: Kafka's source and sink, and all backends.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use lockstep_actors::status::BreakerHealth;
use lockstep_actors::{
    ModelMemory, Observer, PipelineEnd, PipelineError, PipelineParts, SharedObserver, StartError, Status,
    Stop,
};
use lockstep_backend::Backend;
use lockstep_builtin::Builtin;
use lockstep_engine::condition::Condition;
use lockstep_engine::infer::load_model::Device;
use lockstep_engine::infer::manifest::Description;
use lockstep_engine::infer::view::{LabelledView, TokenDecoder, labels};
use lockstep_engine::ingest::source::SourceControl;
use lockstep_engine::ingest::until::EndOffsets;
use lockstep_engine::pipeline::{Guarantee, Pipeline};
use lockstep_engine::publish::sink::GuaranteedSink;
use lockstep_engine::supervision::breaker::BreakerState;
use lockstep_engine::telemetry;
use lockstep_http::{Changes, Endpoints, Health, HealthCheck, HttpHandle, HttpServer};
use lockstep_kafka::Error as KafkaError;
use lockstep_kafka::admin;
use lockstep_kafka::membership::Membership;
use lockstep_kafka::sink::KafkaSink;
use lockstep_kafka::source::{KafkaSource, SourceParts};
use lockstep_kafka::transactional_id::TransactionalId;
use lockstep_onnx::OnnxBackend;
use lockstep_pt2::Pt2Backend;
use lockstep_telemetry::install_recorder;
use lockstep_torch::TorchBackend;

mod manual_override;
pub mod status_document;

use manual_override::ManualOverride;
use status_document::Subjects;

/// An error for people: what was wrong, where, and what would be right.
pub type Failure = Box<dyn std::error::Error>;

/// The share of the memory limit for records that Kafka's client reads ahead: one part in this many.
pub const READ_AHEAD: u64 = 4;
/// The share for records that wait to be sent. The rest is the budget of records in flight.
pub const SEND_QUEUE: u64 = 8;

/// Runs a pipeline on this thread until it reaches the given ends or is stopped. A pipeline that fails is replaced within
/// `[supervision]`.
pub fn run(
    mut pipeline: Pipeline,
    observer: Box<dyn Observer>,
    status: Arc<Status>,
    stop: &Stop,
    until: Option<&EndOffsets>,
) -> Result<PipelineEnd, Failure> {
    let read_ahead = usize::try_from(pipeline.limits.memory / READ_AHEAD)?;
    let send_queue = usize::try_from(pipeline.limits.memory / SEND_QUEUE)?;
    pipeline.limits.memory -= (read_ahead + send_queue) as u64;
    let (views, backends, observer) = (views(&pipeline)?, backends(&pipeline), SharedObserver::new(observer));
    // A replaced pipeline must not leave a transaction open, which would block readers.
    let id = TransactionalId::new(&pipeline.kafka);
    // A replaced pipeline's threads may still hold models.
    let model_memory = ModelMemory::new(pipeline.limits.model_memory.clone());
    let parts = || {
        let (spec, inputs) = (pipeline.kafka.clone(), pipeline.inputs.clone());
        let outputs = admin::output_topics(&pipeline).into_iter().chain(pipeline.publish.state.as_deref());
        let outputs: Vec<String> = outputs.map(str::to_owned).collect();
        let (producer, produced) = (spec.clone(), inputs.clone());
        let id = id.clone();
        let (guarantee, state) = (pipeline.delivery.guarantee, pipeline.publish.state.clone());
        let membership = Arc::new(Membership::default());
        let (member, tells_ends) = (membership.clone(), until.is_some());
        let (source_status, sink_status) = (status.clone(), status.clone());
        PipelineParts {
            pipeline: pipeline.clone(),
            views: views.clone(),
            backends: backends.clone(),
            source: Box::new(move |sink| {
                let parts = SourceParts {
                    spec: &spec,
                    inputs: &inputs,
                    state: state.as_deref(),
                    prefetch: read_ahead,
                    membership,
                    conditions: source_status,
                    reports_ends: tells_ends,
                };
                let source = KafkaSource::start(parts, sink).map_err(not_started)?;
                Ok(source as Arc<dyn SourceControl>)
            }),
            send_queue,
            sink: Box::new(move |on_delivery| {
                let outputs: Vec<&str> = outputs.iter().map(String::as_str).collect();
                Ok(match guarantee {
                    Guarantee::AtLeastOnce => {
                        let sink = KafkaSink::start_in_order(&producer, send_queue, on_delivery, sink_status);
                        let sink = sink.map_err(not_started)?.for_topics(&outputs);
                        GuaranteedSink::AtLeastOnce(Box::new(sink))
                    }
                    Guarantee::ExactlyOnce => {
                        let started = KafkaSink::start_transactional(
                            &producer,
                            &id,
                            &produced,
                            send_queue,
                            member,
                            sink_status,
                            on_delivery,
                        );
                        let (sink, transactions) = started.map_err(not_started)?;
                        let sink = sink.for_topics(&outputs);
                        GuaranteedSink::Transactional(Box::new(sink), Box::new(transactions))
                    }
                })
            }),
            observer: Box::new(observer.clone()),
            status: status.clone(),
            model_memory: model_memory.clone(),
            until: until.cloned(),
        }
    };
    lockstep_actors::supervise(parts, pipeline.supervision.restarts, &status, stop).map_err(|error| {
        match error {
            PipelineError::Start(why) => format!("the pipeline did not start: {why}").into(),
            PipelineError::Failed(why) => format!("the pipeline failed: {why}").into(),
        }
    })
}

fn not_started(error: KafkaError) -> StartError {
    StartError::Failed(error.to_string())
}

/// All model runtimes, for the models of a pipeline.
pub fn backends(pipeline: &Pipeline) -> Vec<Arc<dyn Backend>> {
    backends_for(pipeline.steps.iter().map(|step| step.unit.model.device))
}

/// All model runtimes, for models on these devices.
pub fn backends_for(devices: impl IntoIterator<Item = Device>) -> Vec<Arc<dyn Backend>> {
    let torch = TorchBackend::new(devices);
    vec![Arc::new(torch), Arc::new(Pt2Backend), Arc::new(OnnxBackend), Arc::new(Builtin)]
}

/// The description that a model's file tells by itself.
///
/// # Errors
/// The fault of the file, or that files of its kind tell nothing.
pub fn describe(file: &Path) -> Result<Description, String> {
    let (torch, pt2) = (TorchBackend::new([]), Pt2Backend);
    let backend: &dyn Backend = match file.extension().and_then(OsStr::to_str) {
        Some("onnx") => &OnnxBackend,
        Some("pt2") => &pt2,
        Some("pt" | "pth" | "ts") => &torch,
        _ => {
            let file = file.display();
            return Err(format!(
                "{file}: no runtime is known for a file of this name; write .onnx, .pt2 or .pt at its end"
            ));
        }
    };
    Ok(Description { backend: backend.name(), signature: backend.describe(file)? })
}

/// The views of each step, with the labels and tokenizers from their files.
fn views(pipeline: &Pipeline) -> Result<Vec<Vec<LabelledView>>, Failure> {
    let mut all = Vec::new();
    for step in &pipeline.steps {
        let mut views = Vec::new();
        for view in &step.outputs {
            if let Some(file) = view.tokenizer_file() {
                let content = std::fs::read(file);
                let content =
                    content.map_err(|error| format!("the tokenizer {}: {error}", file.display()))?;
                let decoder =
                    TokenDecoder::read(&content).map_err(|error| format!("{} {error}", file.display()))?;
                views.push(LabelledView::decoding(view.clone(), Arc::new(decoder)));
                continue;
            }
            let names = match view.labels_file() {
                Some(file) => {
                    let text = std::fs::read_to_string(file);
                    Some(labels(&text.map_err(|error| format!("the labels {}: {error}", file.display()))?))
                }
                None => None,
            };
            views.push(LabelledView::new(view.clone(), names));
        }
        all.push(views);
    }
    Ok(all)
}

/// Starts to record metrics. Serves them and the pipeline's health and status if `[http]` has an address.
pub fn serve(pipeline: &Pipeline, status: &Arc<Status>) -> Result<Option<HttpHandle>, Failure> {
    let metrics = install_recorder()?;
    telemetry::describe();
    let Some(listen) = &pipeline.http else { return Ok(None) };
    let endpoints = Endpoints {
        metrics: metrics.clone(),
        health: health(pipeline.name.clone(), status.clone()),
        status: status_document::check(Subjects::of(pipeline), status.clone(), metrics),
        scaling: Some(Changes {
            scaling: Arc::new(ManualOverride::new(pipeline, status.clone())),
            token: pipeline.http_token.clone(),
        }),
    };
    Ok(Some(HttpServer::start(listen, endpoints)?))
}

/// The answer of the health endpoint.
pub fn health(name: String, status: Arc<Status>) -> HealthCheck {
    Arc::new(move || Health {
        ready: status.is_ready(),
        live: status.failure().is_none(),
        details: details(&name, &status),
    })
}

fn details(name: &str, status: &Status) -> serde_json::Value {
    let actors = status.actors().into_iter().map(|(who, actor)| {
        let health = serde_json::json!({
            "state": actor.state.as_str(),
            "restarts": actor.restarts,
            "last_error": actor.last_error,
        });
        (who, health)
    });
    let instances = status.instances().into_iter().map(|(step, instances)| {
        let coming = instances.coming();
        let of_step = serde_json::json!({
            "current": instances.current(),
            "asked": instances.desired(),
            "loading": coming.is_loading,
            "load_failures": coming.failures,
            "last_error": coming.last_error,
            "most": coming.most,
        });
        (step, of_step)
    });
    let conditions = status.conditions();
    let breakers = status.breakers().into_iter();
    let breakers = breakers.map(|(step, breaker)| (step, breaker.state.as_str().into()));
    let blocked = conditions
        .first()
        .map(|condition| format!("cannot {}: {}", condition.work.as_str(), condition.cause))
        .or_else(|| held_up(status));
    serde_json::json!({
        "pipeline": name,
        "partitions": status.partitions.load(Ordering::Relaxed),
        "bundles_in_flight": status.bundles_in_flight(),
        "results": status.results.load(Ordering::Relaxed),
        "trouble": blocked,
        "conditions": conditions.iter().map(shown).collect::<Vec<_>>(),
        "upstream": status.upstream(),
        "failure": status.failure(),
        "actors": actors.collect::<serde_json::Map<_, _>>(),
        "instances": instances.collect::<serde_json::Map<_, _>>(),
        "breakers": breakers.collect::<serde_json::Map<String, serde_json::Value>>(),
    })
}

/// The step whose bundles wait because its circuit breaker is not closed, with the last reason for which its model could not be loaded.
fn held_up(status: &Status) -> Option<String> {
    let is_open = |breaker: &BreakerHealth| breaker.holds_up && breaker.state != BreakerState::Closed;
    let (step, _) = status.breakers().into_iter().find(|(_, breaker)| is_open(breaker))?;
    let why = status.instances_of(&step).coming().last_error;
    let why = why.unwrap_or_else(|| "the model has failed too often in a row".to_owned());
    Some(format!("cannot run step {step}: its circuit breaker is open: {why}"))
}

/// A condition that blocks work, for people.
fn shown(condition: &Condition) -> serde_json::Value {
    serde_json::json!({
        "work": condition.work.as_str(),
        "on": condition.on,
        "cause": condition.cause.what,
        "remedy": condition.cause.remedy,
        "since": condition.since.to_string(),
        "reports": condition.reports,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_follows_each_actor_and_breaker() {
        let status = Arc::new(Status::default());
        let check = health("faces".into(), status.clone());
        status.running.store(true, Ordering::Relaxed);
        for who in ["pipeline", "publish", "infer-faces-0"] {
            status.starting(who);
            assert!(!check().ready, "{who} is not ready yet");
            status.running(who);
        }
        assert!(check().ready && check().live);
        status.failed("infer-faces-0", "the device is gone");
        assert!(!check().ready && check().live, "it is being replaced");
        status.starting("infer-faces-0");
        status.running("infer-faces-0");
        assert!(check().ready);
        let shown = check().details["actors"]["infer-faces-0"].to_string();
        assert_eq!(shown, r#"{"last_error":"the device is gone","restarts":1,"state":"running"}"#);
        status.set_breaker("faces", BreakerState::Open, true);
        assert_eq!((check().ready, &check().details["breakers"]["faces"]), (false, &"open".into()));
        let trouble = check().details["trouble"].to_string();
        assert!(trouble.contains("cannot run step faces: its circuit breaker is open"), "{trouble}");
        status.set_breaker("faces", BreakerState::Open, false);
        assert!(check().ready, "bundles that take the fallback do not wait");
        status.instances_of("faces").override_with(3);
        let shown = &check().details["instances"]["faces"];
        assert_eq!(
            (&shown["current"], &shown["asked"], &shown["loading"]),
            (&0.into(), &3.into(), &false.into())
        );
        assert!(check().ready, "readiness does not wait for a new instance");
        status.set_failure("it failed too often");
        assert!(!check().ready && !check().live);
        assert_eq!(check().details["actors"]["pipeline"]["state"], "failed");
    }
}
