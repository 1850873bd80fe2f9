//! A unit that is ready to run: the breaker, batch limit, costs and tensor memory of one version of a step's model. Prepare, the
//! instances and the autoscaler share it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use lockstep_engine::batch::BatchCosts;
use lockstep_engine::infer::changelog::RestoredStates;
use lockstep_engine::infer::job::Job;
use lockstep_engine::infer::state::StateStore;
use lockstep_engine::infer::step::{OnOpenCircuit, Step};
use lockstep_engine::infer::unit::{ModelUnit, UnitId};
use lockstep_engine::models::Need;
use lockstep_engine::supervision::breaker::{Admit, Breaker, BreakerPolicy, BreakerState};
use lockstep_engine::telemetry;
use lockstep_engine::time::Timestamp;
use parking_lot::Mutex;

use crate::heartbeat::Heartbeat;
use crate::status::Status;
use crate::step_runtime::StepRuntime;
use crate::tensor_pool::TensorPool;

/// A unit that is ready to run.
pub struct UnitRuntime {
    /// Its step.
    pub step: Arc<StepRuntime>,
    /// Its key.
    pub id: UnitId,
    /// Its model, and the runtime of the model.
    pub unit: ModelUnit,
    /// One flag per output of the model: true if a later step, a view or the state uses the output.
    pub kept: Vec<bool>,
    /// Reused memory for batches.
    pub tensors: TensorPool,
    /// The circuit breaker of the model. All instances share it.
    breaker: Mutex<Breaker>,
    /// The most bundles of a batch that fit into memory.
    most: AtomicUsize,
    /// The measured costs of batches.
    costs: Mutex<BatchCosts>,
    /// The working time of the instances.
    heartbeat: Heartbeat,
    /// Stream state that was restored from before the partitions came to this process.
    restored: Arc<Mutex<RestoredStates>>,
    /// The device, and what a copy needs of its memory.
    pub(crate) footprint: Footprint,
    /// The request to load a copy before a bundle needs it.
    demand: CopyDemand,
    /// The reason why the model could not be loaded last time.
    load_error: Mutex<Option<String>>,
}

/// What a copy of a model needs of a device's memory.
#[derive(Clone, Debug)]
pub struct Footprint {
    /// The name of the device: `cpu`, `cuda:0`.
    pub device: Arc<str>,
    /// The need of one copy.
    pub need: Need,
}

/// The request to load a copy ahead of the first bundle.
struct CopyDemand {
    /// The copies in memory, or on the way there.
    copies: AtomicUsize,
    is_asked: AtomicBool,
    ask: Sender<()>,
    asked: Receiver<()>,
}

impl UnitRuntime {
    /// The unit of a step, with the outputs that are used, a closed breaker and no measured costs.
    pub(crate) fn new(
        step: Arc<StepRuntime>,
        kept: Vec<bool>,
        breaker: BreakerPolicy,
        restored: Arc<Mutex<RestoredStates>>,
        footprint: Footprint,
    ) -> Self {
        let (ask, asked) = crossbeam_channel::bounded(1);
        Self {
            id: step.spec.unit_id(),
            unit: step.spec.unit.clone(),
            step,
            kept,
            tensors: TensorPool::default(),
            breaker: Mutex::new(Breaker::new(breaker)),
            most: AtomicUsize::new(usize::MAX),
            costs: Mutex::default(),
            heartbeat: Heartbeat::default(),
            restored,
            footprint,
            demand: CopyDemand { copies: AtomicUsize::new(0), is_asked: AtomicBool::new(false), ask, asked },
            load_error: Mutex::default(),
        }
    }

    /// The configuration of its step.
    pub fn spec(&self) -> &Step {
        &self.step.spec
    }

    /// The place of its step in the pipeline.
    pub fn index(&self) -> usize {
        self.step.index
    }

    /// Prepares the stream state for a bundle: keeps it, takes the restored state, or begins anew.
    pub fn admit_state(&self, state: &mut StateStore, job: &Job) {
        let bundle = &job.bundle;
        let refuse = |why: &str| {
            tracing::warn!(unit = %self.id, stream = %bundle.stream, why, "restored stream state refused");
            telemetry::state_refused(&self.id);
        };
        let restored = || {
            let taken = self.restored.lock().take(&self.id, &bundle.stream, bundle.event_time);
            taken.unwrap_or_else(|error| {
                refuse(&error.to_string());
                None
            })
        };
        if state.admit(&bundle.stream, job.assignment(), bundle.first, restored) {
            refuse("it does not match the state of this model");
        }
    }

    /// Asks for a copy, since a sample was read that will need the model. Does nothing if there is one, or if the model cannot be
    /// loaded at present.
    pub(crate) fn want(&self) {
        let demand = &self.demand;
        let is_loaded = demand.copies.load(Ordering::Relaxed) > 0;
        if is_loaded || demand.is_asked.load(Ordering::Relaxed) {
            return;
        }
        if self.breaker.lock().state() == BreakerState::Closed
            && !demand.is_asked.swap(true, Ordering::Relaxed)
        {
            let _ = demand.ask.try_send(());
        }
    }

    /// Gets a message when a copy is wanted ahead of the first bundle.
    pub(crate) fn wanted(&self) -> &Receiver<()> {
        &self.demand.asked
    }

    /// Counts a copy that begins to load.
    pub(crate) fn copy_begins(&self) {
        self.demand.copies.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a copy that could not load or has left.
    pub(crate) fn copy_ended(&self) {
        self.demand.is_asked.store(false, Ordering::Relaxed);
        self.demand.copies.fetch_sub(1, Ordering::Relaxed);
    }

    /// Notes that the model cannot be loaded: the breaker opens, and its next probe loads again.
    pub(crate) fn load_failed(&self, why: &str, now: Timestamp, status: &Status) {
        *self.load_error.lock() = Some(why.to_owned());
        self.with_breaker(status, |breaker| breaker.trip(now));
    }

    /// Notes that the model has loaded.
    pub(crate) fn load_succeeded(&self) {
        *self.load_error.lock() = None;
    }

    /// The reason why the breaker is open.
    pub(crate) fn why_open(&self) -> String {
        match &*self.load_error.lock() {
            Some(why) => format!("the circuit breaker is open: the model could not be loaded: {why}"),
            None => "the circuit breaker is open: the model has failed too often in a row".to_owned(),
        }
    }

    /// Adds the run time of a batch to the instances' working time.
    pub(crate) fn worked(&self, time: Duration) {
        self.heartbeat.worked(time);
    }

    /// Returns the working time of all instances together.
    pub(crate) fn busy(&self) -> Duration {
        self.heartbeat.busy()
    }

    /// Returns the most bundles of a batch that fit into memory.
    pub fn most(&self) -> usize {
        self.most.load(Ordering::Relaxed)
    }

    /// Lowers the batch limit after a larger batch ran out of memory, and returns the new limit. The limit holds for as
    /// long as the pipeline runs: a size that does not fit once mostly does not fit again, and each try costs a batch.
    pub fn shrink(&self, most: usize) -> usize {
        self.most.fetch_min(most.max(1), Ordering::Relaxed).min(most.max(1))
    }

    /// Records the model's time for a successful batch of `size` bundles.
    pub fn batch_took(&self, size: usize, took: Duration) {
        self.costs.lock().ran(size, took);
    }

    /// Records the time that a batch's preparation took.
    pub(crate) fn batch_prepared(&self, took: Duration) {
        self.costs.lock().prepared(took);
    }

    /// Returns the measured costs of batches.
    pub fn costs(&self) -> BatchCosts {
        *self.costs.lock()
    }

    /// Returns the cost of a bundle in a full batch as a share of its recent cost, if known.
    pub(crate) fn share_in_full(&self) -> Option<f64> {
        self.costs().share_in(self.spec().batch.max_size.min(self.most()).max(1))
    }

    /// Asks the breaker for a call of the model.
    pub fn admit(&self, now: Timestamp, status: &Status) -> Admit {
        self.with_breaker(status, |breaker| breaker.admit(now)).0
    }

    /// Reports a successful call to the breaker. Returns true if the breaker closed because of it.
    pub fn succeeded(&self, status: &Status) -> bool {
        self.with_breaker(status, Breaker::succeeded).1
    }

    /// Reports a failed call to the breaker. `is_final` is true if the model failed for good with one bundle alone. During
    /// a probe every failure counts. Returns true if the breaker opened because of it.
    pub fn failed(&self, is_final: bool, now: Timestamp, status: &Status) -> bool {
        let failed = |breaker: &mut Breaker| {
            (is_final || breaker.state() == BreakerState::HalfOpen) && breaker.failed(now)
        };
        self.with_breaker(status, failed).0
    }

    /// Runs `act` on the breaker and reports a change of its state.
    fn with_breaker<T>(&self, status: &Status, act: impl FnOnce(&mut Breaker) -> T) -> (T, bool) {
        let mut breaker = self.breaker.lock();
        let before = breaker.state();
        let answer = act(&mut breaker);
        let state = breaker.state();
        if state != before {
            tracing::warn!(unit = %self.id, state = state.as_str(), "circuit breaker changed");
            self.report_breaker(state, status);
        }
        (answer, state != before)
    }

    /// Reports the breaker's state to the metrics and to the health endpoint.
    pub fn report_breaker(&self, state: BreakerState, status: &Status) {
        telemetry::breaker(&self.id, state);
        status.set_breaker(self.id.step(), state, self.spec().care.on_open_circuit == OnOpenCircuit::Wait);
    }
}
