//! Starts the shards, the batch actors of the steps and their instances.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use actix::Arbiter;
use crossbeam_channel::RecvTimeoutError;
use lockstep_backend::Backend;
use lockstep_engine::align::AlignPolicy;
use lockstep_engine::infer::changelog::RestoredStates;
use lockstep_engine::infer::step::{OnOpenCircuit, kept_outputs};
use lockstep_engine::ingest::clock::IntakeClock;
use lockstep_engine::pipeline::Pipeline;
use lockstep_engine::supervision::breaker::BreakerState;
use lockstep_engine::supervision::restart::RestartPolicy;
use parking_lot::Mutex;

use super::footprints::{check_model_memory, footprint};
use super::outcome::StartError;
use crate::align::Align;
use crate::batch::{BatchStage, FirstInstance, PoolParts, PrepareBatch};
use crate::decoding::Decoding;
use crate::failure::Failures;
use crate::ingest::StartShard;
use crate::instance::{InstanceParts, Watchdog, Watched, WatchedInstance};
use crate::instance_handle::MakeInstance;
use crate::model_memory::ModelMemory;
use crate::prepare::prepare;
use crate::route::Routes;
use crate::stage_actor::StageActor;
use crate::status::{Status, shard_name};
use crate::step_runtime::StepRuntime;
use crate::stop::Stop;
use crate::unit_runtime::UnitRuntime;

/// The capacities of the mailboxes, in messages: enough to keep the next actor busy, few enough that backpressure acts at once.
pub(super) const INGEST_MAILBOX: usize = 4;
const ALIGN_MAILBOX: usize = 4;
const BATCH_MAILBOX: usize = 8;
pub(super) const PUBLISH_MAILBOX: usize = 32;

/// Returns the function that starts a shard, at the start and when the number of shards grows. The bounds are those of the
/// process; each shard gets its share.
pub(super) fn start_shards(
    pipeline: &Pipeline,
    routes: &Routes,
    status: &Arc<Status>,
    failures: &Failures,
    clock: Arc<Mutex<IntakeClock>>,
    shard_threads: Arc<Mutex<Vec<Arbiter>>>,
) -> StartShard {
    let ids = Arc::new(AtomicU64::new(0));
    let (align, routes, status) = (pipeline.align.clone(), routes.clone(), status.clone());
    let failures = failures.clone();
    Box::new(move |shard, of| {
        let policy = Arc::new(AlignPolicy { bounds: align.bounds.share_of(of), ..align.clone() });
        let align = Align::new(shard, policy, clock.clone(), routes.clone(), &status, ids.clone());
        let name = shard_name(shard);
        StageActor::start(
            name,
            "align",
            align,
            ALIGN_MAILBOX,
            thread(&mut shard_threads.lock()),
            failures.clone(),
        )
    })
}

/// Starts a thread for one actor.
pub(super) fn thread(arbiters: &mut Vec<Arbiter>) -> &Arbiter {
    arbiters.push(Arbiter::new());
    &arbiters[arbiters.len() - 1]
}

/// The parts that all steps share.
pub(super) struct SharedParts<'a> {
    pub(super) backends: &'a [Arc<dyn Backend>],
    pub(super) restored: &'a Arc<Mutex<RestoredStates>>,
    pub(super) decoding: &'a Decoding,
    pub(super) memory: &'a ModelMemory,
}

/// The parts of a step's instances.
struct InstanceSource {
    runtime: Arc<UnitRuntime>,
    backend: Arc<dyn Backend>,
    fallback: Option<Arc<dyn Backend>>,
    routes: Routes,
    failures: Failures,
    restarts: RestartPolicy,
    memory: ModelMemory,
    watched: Watched,
}

impl InstanceSource {
    /// Returns the function that creates an instance of the step.
    fn into_make(self) -> MakeInstance {
        Box::new(move |number, may_wait, orders| {
            let parts = InstanceParts {
                runtime: self.runtime.clone(),
                number,
                is_lazy: may_wait && self.runtime.unit.residency.is_lazy,
                backend: self.backend.clone(),
                fallback: self.fallback.clone(),
                orders,
                routes: self.routes.clone(),
                failures: self.failures.clone(),
                restarts: self.restarts,
                memory: self.memory.clone(),
                notify: self.watched.notify().clone(),
            };
            Arc::new(WatchedInstance::new(parts, self.watched.clone()))
        })
    }
}

/// Returns the function that prepares a batch of a step.
fn prepare_with(runtime: Arc<UnitRuntime>, routes: Routes) -> PrepareBatch {
    Arc::new(move |waiting, cut_at, slot| prepare(&runtime, &routes, waiting, cut_at, slot))
}

/// Starts the batch actors and the instances, and waits until all models are loaded.
///
/// # Errors
/// The models that could not be loaded, or the steps that could not be made ready.
pub(super) fn start_steps(
    pipeline: &Pipeline,
    SharedParts { backends, restored, decoding, memory }: SharedParts<'_>,
    routes: &Routes,
    failures: &Failures,
    stop: &Stop,
    watchdog: &mut Watchdog,
    arbiters: &mut Vec<Arbiter>,
) -> Result<Vec<Arc<UnitRuntime>>, StartError> {
    let supervision = &pipeline.supervision;
    let backend_of = |step: &str, name: &str| {
        let found = backends.iter().find(|backend| backend.name() == name);
        found.cloned().ok_or_else(|| StartError::Failed(format!("step {step}: there is no backend {name:?}")))
    };
    check_model_memory(pipeline, backends).map_err(|wrong| StartError::Failed(wrong.join("\n")))?;
    let mut mailboxes = Vec::new();
    let mut loading = Vec::new();
    let mut runtimes = Vec::new();
    for (index, step) in pipeline.steps.iter().enumerate() {
        let backend = backend_of(&step.name, &step.unit.backend)?;
        let fallback = match &step.care.on_open_circuit {
            OnOpenCircuit::Fallback(fallback) => Some(backend_of(&step.name, &fallback.backend)?),
            OnOpenCircuit::Wait | OnOpenCircuit::DeadLetter => None,
        };
        let prepared = StepRuntime::new(pipeline, index, decoding.clone(), routes.graph.clone())
            .map_err(StartError::Failed)?;
        let kept = kept_outputs(&pipeline.steps, index);
        let footprint = footprint(step, backends);
        let prepared = Arc::new(prepared);
        let runtime = UnitRuntime::new(prepared, kept, supervision.breaker, restored.clone(), footprint);
        let runtime = Arc::new(runtime);
        runtime.report_breaker(BreakerState::Closed, failures.status());
        runtimes.push(runtime.clone());
        let instances = InstanceSource {
            runtime: runtime.clone(),
            backend,
            fallback,
            routes: routes.clone(),
            failures: failures.clone(),
            restarts: supervision.restarts,
            memory: memory.clone(),
            watched: watchdog.watched().clone(),
        };
        let parts = PoolParts {
            runtime: runtime.clone(),
            failures: failures.clone(),
            restarts: supervision.restarts,
            make: instances.into_make(),
        };
        let (batch, first) =
            BatchStage::start(parts, prepare_with(runtime, routes.clone())).map_err(|error| {
                StartError::Failed(format!("step {}: the system gives no thread: {error}", step.name))
            })?;
        loading.extend(first.into_iter().map(|first| (step.name.clone(), first)));
        let name = format!("batch-{}", step.name);
        // Each of a full batch's bundles may come in a message of its own.
        let capacity = BATCH_MAILBOX.max(step.batch.max_size);
        mailboxes.push(StageActor::start(name, "batch", batch, capacity, thread(arbiters), failures.clone()));
    }
    let _ = routes.steps.set(mailboxes);
    let mut wrong = Vec::new();
    for (step, FirstInstance { number, loaded }) in loading {
        let answer = loop {
            match loaded.recv_timeout(Duration::from_millis(50)) {
                Err(RecvTimeoutError::Timeout) if stop.is_stopped() => {
                    return Err(StartError::Stopped);
                }
                Err(RecvTimeoutError::Timeout) => {}
                answer => break answer,
            }
        };
        match answer {
            Ok(Ok(Some(device))) => tracing::info!(step, instance = number, device, "model loaded"),
            Ok(Ok(None)) => tracing::info!(step, instance = number, "the model loads when a bundle needs it"),
            Ok(Err(error)) => wrong.push(error.to_string()),
            Err(_) => wrong.push(format!("step {step}: instance {number} ended before its model was loaded")),
        }
    }
    wrong.dedup();
    if !wrong.is_empty() {
        return Err(StartError::Failed(wrong.join("\n")));
    }
    watchdog.start().map_err(|error| {
        StartError::Failed(format!("the system gives no thread for the watchdog: {error}"))
    })?;
    Ok(runtimes)
}
