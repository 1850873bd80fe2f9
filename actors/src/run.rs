//! Puts the actors of a pipeline together, watches them, and stops them in order.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use actix::{Arbiter, System};
use lockstep_engine::budget::Budget;
use lockstep_engine::infer::backend::Backend;
use lockstep_engine::infer::changelog::Restored;
use lockstep_engine::infer::job::Graph;
use lockstep_engine::infer::view::Shown;
use lockstep_engine::ingest::InputSpec;
use lockstep_engine::ingest::gate::{Drift, Gate};
use lockstep_engine::ingest::source::{SourceControl, SourceSink};
use lockstep_engine::ingest::until::Ends;
use lockstep_engine::pipeline::Pipeline;
use lockstep_engine::publish::result::ResultMaker;
use lockstep_engine::publish::sink::{Delivery, Sink, Transactions};
use lockstep_engine::time::Timestamp;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::autoscaler::{Autoscaler, Load, Watched};
use crate::decoding::Decoding;
use crate::failure::{Failures, Remedy};
use crate::heartbeat::Pulses;
use crate::ingest::{Ingest, IngestParts, Intake, Shards};
use crate::instance::Watchdog;
use crate::observer::Observer;
use crate::publish::{Inbox, Publish, PublishParts};
use crate::route::Routes;
use crate::stage_actor::StageActor;
use crate::status::{PIPELINE, Status};
use crate::stop::Stop;

use leave::{leave, stop_in_order};
use start::{Given, start_shards, start_steps, thread};

mod leave;
mod start;

/// Messages that may wait in each link: enough to keep the next actor busy, few enough that backpressure
/// is felt at once.
const INGEST_LINK: usize = 4;
const ALIGN_LINK: usize = 4;
const BATCH_LINK: usize = 8;
const PUBLISH_LINK: usize = 32;
/// How long the actors' threads may take to end at most.
const JOIN_WITHIN: Duration = Duration::from_secs(5);

/// Told of what the sink's records became.
pub type OnDelivery = Arc<dyn Fn(Delivery) + Send + Sync>;
/// Starts a source that puts its events into a sink.
pub type MakeSource = Box<dyn FnOnce(Box<dyn SourceSink>) -> Result<Arc<dyn SourceControl>, String> + Send>;
/// Starts a sink that tells of its deliveries, and its transactions where results go in such.
pub type MakeSink =
    Box<dyn FnOnce(OnDelivery) -> Result<(Box<dyn Sink>, Option<Box<dyn Transactions>>), String> + Send>;

/// What a pipeline is put together from.
pub struct Parts {
    /// The pipeline.
    pub pipeline: Pipeline,
    /// The views of each step, with their labels read.
    pub views: Vec<Vec<Shown>>,
    /// The model runtimes.
    pub backends: Vec<Arc<dyn Backend>>,
    /// Starts the source.
    pub source: MakeSource,
    /// Starts the sink.
    pub sink: MakeSink,
    /// How much may wait to be sent, in bytes: with the sink, or for the next transaction.
    pub send_queue: usize,
    /// Who watches.
    pub observer: Box<dyn Observer>,
    /// The pipeline's health.
    pub status: Arc<Status>,
    /// Where to end by itself, for a source that tells of [`SourceEvent::AtEnd`]; none to go on until stopped.
    ///
    /// [`SourceEvent::AtEnd`]: lockstep_engine::ingest::source::SourceEvent::AtEnd
    pub until: Option<Ends>,
}

/// How a pipeline ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Ended {
    /// In order: all that was taken in has ended and is committed.
    InOrder,
    /// The deadline came first. What had not ended is not committed and will be read again.
    CutShort(String),
}

/// Why a pipeline could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// It did not start.
    #[error("{0}")]
    Start(String),
    /// It failed while it ran. A new one may do better.
    #[error("{0}")]
    Failed(String),
    /// It failed while it ran, and a new one would as well.
    #[error("{0}")]
    Final(String),
}

/// Runs a pipeline on this thread until it is stopped or fails. [`crate::supervise()`] does so again and again.
///
/// # Errors
/// What kept it from starting, or why it could not go on. What had not ended is not committed.
pub fn run(parts: Parts, stop: &Stop) -> Result<Ended, PipelineError> {
    let system = System::new();
    let mut watch = Watchdog::default();
    let join_within = parts.pipeline.limits.stop_within.min(JOIN_WITHIN);
    parts.status.begin();
    let outcome = system.block_on(async {
        let mut arbiters = Vec::new();
        let of_shards = Arc::default();
        let outcome = start_and_watch(parts, stop, &mut watch, &mut arbiters, Arc::clone(&of_shards)).await;
        arbiters.append(&mut of_shards.lock());
        join(arbiters, join_within);
        outcome
    });
    watch.close();
    outcome
}

/// Ends the threads of actors, and with the actors the instances' last senders. Not for ever: an actor that does not
/// come back from what it does must not keep the process.
fn join(arbiters: Vec<Arbiter>, within: Duration) {
    let (over, all_over) = crossbeam_channel::bounded(1);
    let join = move || {
        for arbiter in &arbiters {
            arbiter.stop();
        }
        for arbiter in arbiters {
            if arbiter.join().is_err() {
                tracing::error!("a thread of actors panicked");
            }
        }
        let _ = over.send(());
    };
    let started = std::thread::Builder::new().name("join".into()).spawn(join);
    if started.is_err() || all_over.recv_timeout(within).is_err() {
        tracing::error!("an actor has not returned; its thread is left behind");
    }
}

async fn start_and_watch(
    parts: Parts,
    stop: &Stop,
    watch: &mut Watchdog,
    arbiters: &mut Vec<Arbiter>,
    of_shards: Arc<Mutex<Vec<Arbiter>>>,
) -> Result<Ended, PipelineError> {
    let Parts { pipeline, views, backends, source, sink, send_queue, observer, status, until } = parts;
    let start = PipelineError::Start;
    let (failures, mut failed) = Failures::new(status.clone());
    let control: Arc<Mutex<Option<Arc<dyn SourceControl>>>> = Arc::default();
    let inputs: Arc<[InputSpec]> = pipeline.inputs.clone().into();

    // From the end to the start, since each actor needs the link to the next.
    let inbox = Arc::new(Inbox::default());
    let on_delivery = inbox.clone();
    let (sink, transactions) = sink(Arc::new(move |delivery| on_delivery.put(delivery))).map_err(start)?;
    let (done, mut all_done) = oneshot::channel();
    let names: Vec<String> = pipeline.inputs.iter().map(|input| input.name.clone()).collect();
    let graph = Arc::new(Graph::new(&pipeline.steps, names.clone()));
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
        transactions,
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
        PUBLISH_LINK,
        thread(arbiters),
        failures.clone(),
    );

    let routes = Routes { graph, publish: publish.clone(), steps: Arc::new(OnceLock::new()) };
    // What is further away is an epoch of its own, which begins with nothing.
    let near = pipeline.align.inputs.iter().filter_map(|input| input.clock.epoch_after).max();
    let restored = Arc::new(Mutex::new(Restored::new(near)));
    let decoding = Decoding::new(budget.clone());
    let given = Given { backends: &backends, restored: &restored, decoding: &decoding };
    let steps = start_steps(&pipeline, given, &routes, &failures, stop, watch, arbiters).map_err(start)?;

    let clock = Arc::default();
    let start_shard = start_shards(&pipeline, &routes, &status, &failures, Arc::clone(&clock), of_shards);
    let shards = Shards::start(pipeline.shards, start_shard, pipeline.align.bounds, status.clone());
    let idle = pipeline.align.inputs.iter().map(|input| input.idle_timeout).collect();
    let gate = Gate::new(budget.limit(), Drift { most: pipeline.limits.max_drift, idle });
    let scaling = Autoscaler::new(Watched {
        pipeline: &pipeline,
        load: load.clone(),
        budget: budget.clone(),
        status: status.clone(),
        steps,
    });
    let room = Ingest::new(IngestParts {
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
    let ingest =
        StageActor::start("ingest".into(), "ingest", room, INGEST_LINK, thread(arbiters), failures.clone());

    let source = source(Box::new(Intake(ingest.clone()))).map_err(start)?;
    *control.lock() = Some(source.clone());
    status.running(PIPELINE);
    status.running.store(true, Ordering::Relaxed);
    tracing::info!(pipeline = pipeline.name, "running");

    let heartbeats = Pulses::new(pipeline.supervision.stall_after);
    let cause = tokio::select! {
        () = stop.asked() => Cause::Asked,
        Ok(()) = &mut all_done => Cause::AtEnd,
        why = failed.recv() => Cause::of(why),
        () = stands_still(heartbeats, &failures) => Cause::of(failed.recv().await),
        never = scaling.watch() => match never {},
    };
    status.running.store(false, Ordering::Relaxed);
    let within = pipeline.limits.stop_within;
    match cause {
        Cause::Asked => Ok(stop_in_order(&source, (&ingest, &publish), all_done, &mut failed, within).await),
        Cause::AtEnd => {
            tracing::info!("all that was there has been processed");
            source.stop();
            Ok(leave(&source, &publish, true, Instant::now(), within).await)
        }
        Cause::Failed(why, remedy) => {
            source.stop();
            // An actor that comes back late must not commit beside the pipeline that follows.
            *control.lock() = None;
            routes.close();
            if let Err(error) = source.close(Vec::new(), within) {
                tracing::warn!("leaving the group: {error}");
            }
            Err(match remedy {
                Remedy::Restart => PipelineError::Failed(why),
                Remedy::None => PipelineError::Final(why),
            })
        }
    }
}

/// Why a pipeline ends.
enum Cause {
    Asked,
    /// All has been read that it was to read, and has ended.
    AtEnd,
    Failed(String, Remedy),
}

impl Cause {
    fn of(failure: Option<(String, Remedy)>) -> Self {
        // None when everybody who could report is gone, and with them the work.
        failure.map_or(Self::Asked, |(why, remedy)| Self::Failed(why, remedy))
    }
}

/// Ends when an actor stands still, which is reported.
async fn stands_still(mut heartbeats: Pulses, failures: &Failures) {
    loop {
        tokio::time::sleep(heartbeats.every()).await;
        if let Some((who, why)) = heartbeats.still(failures.status(), Timestamp::now()) {
            return failures.report(who, &why);
        }
    }
}

/// Waits for a future on a thread that runs no actors.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}
