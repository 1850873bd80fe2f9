//! Assembles the actors of a pipeline, watches them, and stops them in order.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use actix::{Arbiter, System};
use lockstep_backend::Backend;
use lockstep_engine::budget::Budget;
use lockstep_engine::infer::changelog::RestoredStates;
use lockstep_engine::infer::job::Graph;
use lockstep_engine::infer::view::LabelledView;
use lockstep_engine::ingest::InputSpec;
use lockstep_engine::ingest::gate::{DriftLimit, Gate};
use lockstep_engine::ingest::source::{SourceControl, SourceSink};
use lockstep_engine::ingest::until::EndOffsets;
use lockstep_engine::pipeline::Pipeline;
use lockstep_engine::publish::result::ResultMaker;
use lockstep_engine::publish::sink::{GuaranteedSink, OnDelivery};
use lockstep_engine::time::Timestamp;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::autoscaler::{Autoscaler, Measured};
use crate::decoding::Decoding;
use crate::failure::{Failures, PipelineFailure};
use crate::ingest::{Ingest, IngestParts, Intake, Shards};
use crate::instance::Watchdog;
use crate::load::Load;
use crate::model_memory::ModelMemory;
use crate::observer::Observer;
use crate::preload::Preload;
use crate::publish::{Inbox, Publish, PublishParts};
use crate::route::Routes;
use crate::stage_actor::StageActor;
use crate::stall::StallDetector;
use crate::status::{PIPELINE, Status};
use crate::stop::Stop;

use leave::{leave, stop_in_order};
use start::{INGEST_MAILBOX, PUBLISH_MAILBOX, SharedParts, start_shards, start_steps, thread};

mod footprints;
mod leave;
mod outcome;
mod start;

pub use footprints::{check_model_memory, footprint};
pub use outcome::{PipelineEnd, PipelineError, StartError};

/// The time within which the actors' threads must end.
const JOIN_WITHIN: Duration = Duration::from_secs(5);

/// Starts a source that puts its events into a sink.
pub type MakeSource =
    Box<dyn FnOnce(Box<dyn SourceSink>) -> Result<Arc<dyn SourceControl>, StartError> + Send>;
/// Starts a sink that reports its deliveries.
pub type MakeSink = Box<dyn FnOnce(OnDelivery) -> Result<GuaranteedSink, StartError> + Send>;

/// The parts of a pipeline.
pub struct PipelineParts {
    /// The pipeline.
    pub pipeline: Pipeline,
    /// The views of each step, with their labels loaded.
    pub views: Vec<Vec<LabelledView>>,
    /// The model runtimes.
    pub backends: Vec<Arc<dyn Backend>>,
    /// Starts the source.
    pub source: MakeSource,
    /// Starts the sink.
    pub sink: MakeSink,
    /// The most bytes that may wait to be sent: in the sink, or for the next transaction.
    pub send_queue: usize,
    /// The observer of outcomes.
    pub observer: Box<dyn Observer>,
    /// The pipeline's health.
    pub status: Arc<Status>,
    /// The account of the memory for models. Pipelines that replace one another share it.
    pub model_memory: ModelMemory,
    /// The end of reading, for a source that reports [`SourceEvent::AtEnd`]; none to run until stopped.
    ///
    /// [`SourceEvent::AtEnd`]: lockstep_engine::ingest::source::SourceEvent::AtEnd
    pub until: Option<EndOffsets>,
}

/// Runs a pipeline on this thread until it is stopped or fails. [`crate::supervise()`] restarts failed pipelines.
///
/// # Errors
/// The reason why the pipeline did not start or failed. Records that had not ended are not committed.
pub fn run(parts: PipelineParts, stop: &Stop) -> Result<PipelineEnd, PipelineError> {
    let system = System::new();
    let mut watchdog = Watchdog::default();
    let join_within = parts.pipeline.limits.stop_within.min(JOIN_WITHIN);
    parts.status.begin();
    let outcome = system.block_on(async {
        let mut arbiters = Vec::new();
        let shard_threads = Arc::default();
        let outcome =
            start_and_watch(parts, stop, &mut watchdog, &mut arbiters, Arc::clone(&shard_threads)).await;
        arbiters.append(&mut shard_threads.lock());
        join(arbiters, join_within);
        outcome
    });
    watchdog.close();
    outcome
}

/// Ends the actors' threads and with the actors the last senders of the instances' orders. The wait is bounded: an actor that
/// hangs must not keep the process.
fn join(arbiters: Vec<Arbiter>, within: Duration) {
    let (over, all_over) = crossbeam_channel::bounded(1);
    let join = move || {
        for arbiter in &arbiters {
            arbiter.stop();
        }
        for arbiter in arbiters {
            if arbiter.join().is_err() {
                tracing::error!("actor thread panicked");
            }
        }
        let _ = over.send(());
    };
    let started = std::thread::Builder::new().name("join".into()).spawn(join);
    if started.is_err() || all_over.recv_timeout(within).is_err() {
        tracing::error!("actor did not return, thread abandoned");
    }
}

async fn start_and_watch(
    parts: PipelineParts,
    stop: &Stop,
    watchdog: &mut Watchdog,
    arbiters: &mut Vec<Arbiter>,
    shard_threads: Arc<Mutex<Vec<Arbiter>>>,
) -> Result<PipelineEnd, PipelineError> {
    let PipelineParts {
        pipeline,
        views,
        backends,
        source,
        sink,
        send_queue,
        observer,
        status,
        model_memory,
        until,
    } = parts;
    let (failures, mut failed) = Failures::new(status.clone());
    let control: Arc<Mutex<Option<Arc<dyn SourceControl>>>> = Arc::default();
    let inputs: Arc<[InputSpec]> = pipeline.inputs.clone().into();

    // The actors start from the last to the first, since each needs the mailbox of the next.
    let inbox = Arc::new(Inbox::default());
    let on_delivery = inbox.clone();
    let sink = sink(Arc::new(move |delivery| on_delivery.put(delivery)))?;
    let (done, mut all_done) = oneshot::channel();
    let names: Vec<String> = pipeline.inputs.iter().map(|input| input.name.clone()).collect();
    let graph = Arc::new(Graph::new(&pipeline.steps, views.clone(), names.clone()));
    let pivot = pipeline.align.pivot();
    let maker =
        ResultMaker::new(&pipeline.name, &pipeline.publish.results, names, pivot, &pipeline.steps, views);
    let budget = Budget::new(pipeline.limits.memory);
    let load = Load::new(pipeline.scaling.smooth);
    let publish = Publish::new(PublishParts {
        inputs: inputs.clone(),
        maker,
        dead_letters: pipeline.publish.dead_letters.as_str().into(),
        late: pipeline.publish.late.as_deref().map(Arc::from),
        state: pipeline.publish.state.as_deref().map(Arc::from),
        steps: pipeline.steps.clone().into(),
        sink,
        send_queue,
        budget: budget.clone(),
        load: load.clone(),
        delivery: pipeline.delivery.clone(),
        inbox,
        control: control.clone(),
        observer,
        commit_every: pipeline.limits.commit_every,
        done,
        status: status.clone(),
    });
    let publish = StageActor::start(
        "publish".into(),
        "publish",
        publish,
        PUBLISH_MAILBOX,
        thread(arbiters),
        failures.clone(),
    );

    let routes = Routes { graph, publish: publish.clone(), steps: Arc::new(OnceLock::new()) };
    // State from further away belongs to another epoch, which begins without state.
    let near = pipeline.align.inputs.iter().filter_map(|input| input.clock.epoch_after).max();
    let restored = Arc::new(Mutex::new(RestoredStates::new(near)));
    let decoding = Decoding::new(budget.clone());
    let shared =
        SharedParts { backends: &backends, restored: &restored, decoding: &decoding, memory: &model_memory };
    let steps = start_steps(&pipeline, shared, &routes, &failures, stop, watchdog, arbiters)?;

    let clock = Arc::default();
    let start_shard = start_shards(&pipeline, &routes, &status, &failures, Arc::clone(&clock), shard_threads);
    let shards = Shards::start(pipeline.shards, start_shard, pipeline.align.bounds, status.clone());
    let idle = pipeline.align.inputs.iter().map(|input| input.idle_timeout).collect();
    let gate = Gate::new(budget.limit(), DriftLimit { most: pipeline.limits.max_drift, idle });
    let preload = Preload::new(&pipeline, &steps);
    let scaling = Autoscaler::new(Measured {
        pipeline: &pipeline,
        load: load.clone(),
        budget: budget.clone(),
        status: status.clone(),
        steps,
    });
    let ingest = Ingest::new(IngestParts {
        inputs,
        shards,
        publish: publish.clone(),
        control: control.clone(),
        budget,
        gate,
        clock,
        load,
        restored,
        until,
        status: status.clone(),
    });
    let ingest = StageActor::start(
        "ingest".into(),
        "ingest",
        ingest,
        INGEST_MAILBOX,
        thread(arbiters),
        failures.clone(),
    );

    let source = source(Box::new(Intake { ingest: ingest.clone(), preload }))?;
    *control.lock() = Some(source.clone());
    status.running(PIPELINE);
    status.running.store(true, Ordering::Relaxed);
    tracing::info!(pipeline = pipeline.name, "running");

    let detector = StallDetector::new(pipeline.supervision.stall_after);
    let cause = tokio::select! {
        () = stop.stopped() => EndCause::Stopped,
        Ok(()) = &mut all_done => EndCause::AtEnd,
        why = failed.recv() => EndCause::of(why),
        () = stalled(detector, &failures) => EndCause::of(failed.recv().await),
        never = scaling.run() => match never {},
    };
    status.running.store(false, Ordering::Relaxed);
    let within = pipeline.limits.stop_within;
    match cause {
        EndCause::Stopped => {
            Ok(stop_in_order(&source, &ingest, &publish, all_done, &mut failed, within).await)
        }
        EndCause::AtEnd => {
            tracing::info!("all records processed");
            source.stop();
            Ok(leave(&source, &publish, true, Instant::now(), within).await)
        }
        EndCause::Failed(failure) => {
            source.stop();
            // An actor that returns late must not commit beside the next pipeline.
            *control.lock() = None;
            routes.close();
            if let Err(error) = source.close(Vec::new(), within) {
                tracing::warn!(%error, "leaving the group failed");
            }
            Err(failure.into())
        }
    }
}

/// The cause of a pipeline's end.
enum EndCause {
    Stopped,
    /// Every record to read has been read and has ended.
    AtEnd,
    Failed(PipelineFailure),
}

impl EndCause {
    fn of(failure: Option<PipelineFailure>) -> Self {
        // The channel closes only once all actors have ended.
        failure.map_or(Self::Stopped, Self::Failed)
    }
}

/// Waits until an actor stalls, and reports it.
async fn stalled(mut detector: StallDetector, failures: &Failures) {
    loop {
        tokio::time::sleep(detector.every()).await;
        if let Some((who, why)) = detector.stalled(failures.status(), Timestamp::now()) {
            return failures.report(who, PipelineFailure::Restart(why));
        }
    }
}
