//! A step that is ready to run: its preprocessors, breaker, batch limit and costs. Prepare, the instances and the autoscaler
//! share it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lockstep_engine::batch::BatchCosts;
use lockstep_engine::infer::changelog::RestoredStates;
use lockstep_engine::infer::job::Job;
use lockstep_engine::infer::state::StateStore;
use lockstep_engine::infer::step::{Binding, OnOpenCircuit, Step, kept_outputs};
use lockstep_engine::pipeline::Pipeline;
use lockstep_engine::preprocess::Preprocessor;
use lockstep_engine::supervision::breaker::{Admit, Breaker, BreakerState};
use lockstep_engine::telemetry;
use lockstep_engine::time::Timestamp;
use parking_lot::Mutex;

use crate::decoding::Decoding;
use crate::heartbeat::Heartbeat;
use crate::status::Status;
use crate::tensor_pool::TensorPool;

/// A step that is ready to run.
pub struct StepRuntime {
    /// The step's place in the pipeline.
    pub index: usize,
    /// The step's configuration.
    pub step: Step,
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
    /// One entry per binding; none unless the binding comes from an input.
    pub(crate) preprocessors: Vec<Option<Preprocessor>>,
    /// Stream state that was restored from before the partitions came to this process.
    restored: Arc<Mutex<RestoredStates>>,
    /// The names of the inputs.
    pub(crate) inputs: Vec<String>,
    /// The memory for decoding payloads.
    pub(crate) decoding: Decoding,
}

impl StepRuntime {
    /// Makes a step of a pipeline ready: reads tokenizers and plans transforms.
    ///
    /// # Errors
    /// A description of the fault in the step's settings or files.
    pub(crate) fn new(
        pipeline: &Pipeline,
        index: usize,
        restored: Arc<Mutex<RestoredStates>>,
        decoding: Decoding,
    ) -> Result<Self, String> {
        let steps = &pipeline.steps;
        let step = steps.get(index).cloned().ok_or_else(|| format!("there is no step {index}"))?;
        let mut preprocessors = Vec::new();
        for (binding, spec) in step.bindings.iter().zip(&step.model.signature.inputs) {
            preprocessors.push(match binding {
                Binding::Input { preprocess, .. } => {
                    let place = format!("step {}: tensor {}", step.name, spec.name);
                    if spec.batch_axis() != Some(0) {
                        return Err(format!("{place}: its batch axis is not the first; put it first for a tensor from an input"));
                    }
                    Some(Preprocessor::new(preprocess).map_err(|why| format!("{place}: {why}"))?)
                }
                _ => None,
            });
        }
        let (kept, tensors) = (kept_outputs(steps, index), TensorPool::default());
        let breaker = Mutex::new(Breaker::new(pipeline.supervision.breaker));
        let inputs = pipeline.inputs.iter().map(|input| input.name.clone()).collect();
        let (most, costs) = (AtomicUsize::new(usize::MAX), Mutex::default());
        let heartbeat = Heartbeat::default();
        Ok(Self {
            index,
            kept,
            tensors,
            step,
            preprocessors,
            breaker,
            most,
            costs,
            heartbeat,
            restored,
            inputs,
            decoding,
        })
    }

    /// Prepares the stream state for a bundle: keeps it, takes the restored state, or begins anew.
    pub fn admit_state(&self, state: &mut StateStore, job: &Job) {
        let (name, bundle) = (&self.step.name, &job.bundle);
        let refuse = |why: &str| {
            tracing::warn!(step = name, stream = %bundle.stream, why, "restored stream state refused");
            telemetry::state_refused(name);
        };
        let restored = || {
            let taken = self.restored.lock().take(name, &bundle.stream, bundle.event_time);
            taken.unwrap_or_else(|error| {
                refuse(&error.to_string());
                None
            })
        };
        if state.admit(&bundle.stream, job.assignment(), bundle.first, restored) {
            refuse("it does not match the state of this model");
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
        self.costs().share_in(self.step.batch.max_size.min(self.most()).max(1))
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
            tracing::warn!(step = self.step.name, state = state.as_str(), "circuit breaker changed");
            self.report_breaker(state, status);
        }
        (answer, state != before)
    }

    /// Reports the breaker's state to the metrics and to the health endpoint.
    pub fn report_breaker(&self, state: BreakerState, status: &Status) {
        telemetry::breaker(&self.step.name, state);
        status.set_breaker(&self.step.name, state, self.step.care.on_open_circuit == OnOpenCircuit::Wait);
    }
}
