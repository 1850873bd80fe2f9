//! Starts the sync actors, and those of the steps with their instances.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use actix::Arbiter;
use crossbeam_channel::RecvTimeoutError;
use lockstep_engine::align::AlignPolicy;
use lockstep_engine::infer::backend::Backend;
use lockstep_engine::infer::changelog::Restored;
use lockstep_engine::infer::step::OnOpenCircuit;
use lockstep_engine::ingest::clock::IntakeClock;
use lockstep_engine::pipeline::Pipeline;
use lockstep_engine::supervision::breaker::BreakerState;
use parking_lot::Mutex;

use super::{ALIGN_LINK, BATCH_LINK};
use crate::align::Align;
use crate::batch::{BatchRoom, CrewParts};
use crate::decoding::Decoding;
use crate::failure::Failures;
use crate::ingest::StartShard;
use crate::instance::Watchdog;
use crate::prepare::StepRuntime;
use crate::route::Routes;
use crate::stage_actor::StageActor;
use crate::status::Status;
use crate::stop::Stop;

/// What starts a sync actor, at the start and when shards become more. The bounds are those of the process, and each shard
/// has its share of the streams.
pub(super) fn start_shards(
    pipeline: &Pipeline,
    routes: &Routes,
    status: &Arc<Status>,
    failures: &Failures,
    clock: Arc<Mutex<IntakeClock>>,
    of_shards: Arc<Mutex<Vec<Arbiter>>>,
) -> StartShard {
    let ids = Arc::new(AtomicU64::new(0));
    let (align, routes, status) = (pipeline.align.clone(), routes.clone(), status.clone());
    let failures = failures.clone();
    Box::new(move |shard, of| {
        let policy = Arc::new(AlignPolicy { bounds: align.bounds.share_of(of), ..align.clone() });
        let room = Align::new(shard, policy, clock.clone(), routes.clone(), &status, ids.clone());
        let name = Align::name(shard);
        StageActor::start(name, "align", room, ALIGN_LINK, thread(&mut of_shards.lock()), failures.clone())
    })
}

/// A thread of actors of its own.
pub(super) fn thread(arbiters: &mut Vec<Arbiter>) -> &Arbiter {
    arbiters.push(Arbiter::new());
    &arbiters[arbiters.len() - 1]
}

/// What all steps are given.
pub(super) struct Given<'a> {
    pub(super) backends: &'a [Arc<dyn Backend>],
    pub(super) restored: &'a Arc<Mutex<Restored>>,
    pub(super) decoding: &'a Decoding,
}

/// Starts the batch actors and the instances, and waits until all models are loaded.
pub(super) fn start_steps(
    pipeline: &Pipeline,
    Given { backends, restored, decoding }: Given<'_>,
    routes: &Routes,
    failures: &Failures,
    stop: &Stop,
    watch: &mut Watchdog,
    arbiters: &mut Vec<Arbiter>,
) -> Result<Vec<Arc<StepRuntime>>, String> {
    let supervision = &pipeline.supervision;
    let backend_of = |step: &str, name: &str| {
        let found = backends.iter().find(|backend| backend.name() == name);
        found.cloned().ok_or_else(|| format!("step {step}: there is no backend {name:?}"))
    };
    let mut links = Vec::new();
    let mut loading = Vec::new();
    let mut runtimes = Vec::new();
    for (index, step) in pipeline.steps.iter().enumerate() {
        let backend = backend_of(&step.name, &step.backend)?;
        let fallback = match &step.care.on_open_circuit {
            OnOpenCircuit::Fallback(fallback) => Some(backend_of(&step.name, &fallback.backend)?),
            OnOpenCircuit::Wait | OnOpenCircuit::DeadLetter => None,
        };
        let runtime = Arc::new(StepRuntime::new(pipeline, index, restored.clone(), decoding.clone())?);
        runtime.tell_of_breaker(BreakerState::Closed, failures.status());
        runtimes.push(runtime.clone());
        let (room, first) = BatchRoom::start(CrewParts {
            runtime,
            backend,
            fallback,
            routes: routes.clone(),
            failures: failures.clone(),
            restarts: supervision.restarts,
            watched: watch.watched().clone(),
        })
        .map_err(|error| format!("no thread for step {}: {error}", step.name))?;
        loading.extend(first.into_iter().map(|(number, answer)| (step.name.clone(), number, answer)));
        let name = format!("batch-{}", step.name);
        // Each of a full batch's bundles may come in a message of its own.
        let capacity = BATCH_LINK.max(step.batch.max_size);
        links.push(StageActor::start(name, "batch", room, capacity, thread(arbiters), failures.clone()));
    }
    let _ = routes.steps.set(links);
    let mut wrong = Vec::new();
    for (step, number, answer) in loading {
        let answer = loop {
            match answer.recv_timeout(Duration::from_millis(50)) {
                Err(RecvTimeoutError::Timeout) if stop.is_stopped() => {
                    return Err("stopped while the models were loading".into());
                }
                Err(RecvTimeoutError::Timeout) => {}
                answer => break answer,
            }
        };
        match answer {
            Ok(Ok(device)) => tracing::info!(step, instance = number, device, "model loaded"),
            Ok(Err(error)) => wrong.push(error.to_string()),
            Err(_) => wrong.push(format!("step {step}: instance {number} ended before its model was loaded")),
        }
    }
    wrong.dedup();
    if !wrong.is_empty() {
        return Err(wrong.join("\n"));
    }
    watch.start().map_err(|error| format!("no thread to watch the instances: {error}"))?;
    Ok(runtimes)
}
