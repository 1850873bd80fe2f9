//! The one place that names concrete types: a pipeline's source and sink are Kafka's, its backends are
//! those that there are.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use lockstep_actors::{Ended, Observer, Parts, PipelineError, Status, Stop};
use lockstep_backends::builtin::Builtin;
use lockstep_backends::torch::TorchBackend;
use lockstep_connectors::http::{Health, HealthCheck, HttpHandle, HttpServer, install_recorder};
use lockstep_connectors::kafka::Error as KafkaError;
use lockstep_connectors::kafka::membership::Membership;
use lockstep_connectors::kafka::sink::KafkaSink;
use lockstep_connectors::kafka::source::KafkaSource;
use lockstep_engine::infer::backend::Backend;
use lockstep_engine::infer::view::{Shown, labels};
use lockstep_engine::ingest::source::SourceControl;
use lockstep_engine::pipeline::{Guarantee, Pipeline};
use lockstep_engine::telemetry;

use crate::commands::Failure;

/// The shares of the memory limit that Kafka's client may take for itself: what it reads ahead, and what
/// waits to be sent. The rest is the budget of records in flight.
pub(crate) const READ_AHEAD: u64 = 4;
pub(crate) const SEND_QUEUE: u64 = 8;

/// Runs a pipeline on this thread until it is stopped or fails.
pub(crate) fn run(
    mut pipeline: Pipeline,
    observer: Box<dyn Observer>,
    status: Arc<Status>,
    stop: &Stop,
) -> Result<Ended, Failure> {
    let (spec, inputs) = (pipeline.kafka.clone(), pipeline.inputs.clone());
    let read_ahead = usize::try_from(pipeline.limits.memory / READ_AHEAD)?;
    let send_queue = usize::try_from(pipeline.limits.memory / SEND_QUEUE)?;
    pipeline.limits.memory -= (read_ahead + send_queue) as u64;
    let (producer, produced) = (spec.clone(), inputs.clone());
    let guarantee = pipeline.delivery.guarantee;
    let membership = Arc::new(Membership::default());
    let member = membership.clone();
    let parts = Parts {
        views: views(&pipeline)?,
        backends: backends(&pipeline),
        pipeline,
        source: Box::new(move |sink| {
            let source = KafkaSource::start(&spec, &inputs, read_ahead, membership, sink)
                .map_err(|error| error.to_string())?;
            Ok(source as Arc<dyn SourceControl>)
        }),
        sink: Box::new(move |on_delivery| {
            let failed = |error: KafkaError| error.to_string();
            Ok(match guarantee {
                Guarantee::AtLeastOnce => {
                    (Box::new(KafkaSink::start(&producer, send_queue, on_delivery).map_err(failed)?), None)
                }
                Guarantee::ExactlyOnce => {
                    let started =
                        KafkaSink::start_transactional(&producer, &produced, send_queue, member, on_delivery);
                    let (sink, transactions) = started.map_err(failed)?;
                    (Box::new(sink), Some(Box::new(transactions)))
                }
            })
        }),
        observer,
        status,
    };
    lockstep_actors::run(parts, stop).map_err(|error| match error {
        PipelineError::Start(why) => format!("the pipeline did not start: {why}").into(),
        PipelineError::Failed(why) => format!("the pipeline failed: {why}").into(),
    })
}

/// All model runtimes.
pub(crate) fn backends(pipeline: &Pipeline) -> Vec<Arc<dyn Backend>> {
    let torch = TorchBackend::new(pipeline.steps.iter().map(|step| step.model.device));
    vec![Arc::new(torch), Arc::new(Builtin)]
}

/// The views of each step, with their labels read.
fn views(pipeline: &Pipeline) -> Result<Vec<Vec<Shown>>, Failure> {
    let mut all = Vec::new();
    for step in &pipeline.steps {
        let mut views = Vec::new();
        for view in &step.outputs {
            let names = match view.labels_file() {
                Some(file) => {
                    let text = std::fs::read_to_string(file);
                    Some(labels(&text.map_err(|error| format!("the labels {}: {error}", file.display()))?))
                }
                None => None,
            };
            views.push(Shown::new(view.clone(), names));
        }
        all.push(views);
    }
    Ok(all)
}

/// Records metrics from here on, and serves them and the pipeline's health where the pipeline says, if it does.
pub(crate) fn serve(pipeline: &Pipeline, status: &Arc<Status>) -> Result<Option<HttpHandle>, Failure> {
    let recorder = install_recorder()?;
    telemetry::describe();
    let Some(listen) = &pipeline.http else { return Ok(None) };
    let health = health(pipeline.name.clone(), status.clone());
    Ok(Some(HttpServer::start(listen, recorder, health)?))
}

/// What the health endpoint says of a pipeline.
pub(crate) fn health(name: String, status: Arc<Status>) -> HealthCheck {
    Arc::new(move || Health {
        ready: status.is_ready(),
        live: status.failure().is_none(),
        details: serde_json::json!({
            "pipeline": name,
            "partitions": status.partitions.load(Ordering::Relaxed),
            "bundles_in_flight": status.bundles_in_flight.load(Ordering::Relaxed),
            "results": status.results.load(Ordering::Relaxed),
            "trouble": status.trouble(),
            "failure": status.failure(),
        }),
    })
}
