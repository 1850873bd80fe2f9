//! One loaded copy of a model, on a thread of its own that also loaded it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender};
use lockstep_engine::fault::{Fault, Reason, Stage};
use lockstep_engine::infer::backend::{Backend, BackendError, Model};
use lockstep_engine::infer::job::{Failure, Job, Outcome, Report, StepTiming};
use lockstep_engine::infer::rows::{StepOutput, split};
use lockstep_engine::infer::state::StateStore;
use lockstep_engine::preprocess::Placement;
use lockstep_engine::telemetry;
use lockstep_engine::tensor::Tensor;
use lockstep_engine::time::Timestamp;
use tokio::sync::OwnedSemaphorePermit;

use crate::prepare::StepRuntime;
use crate::route::{Onward, Routes};
use crate::run::Failures;
use crate::shell::panic_text;

/// Streams whose state an instance keeps; beyond that the one unused for longest begins anew.
const MOST_STREAMS: usize = 100_000;

/// A batch, ready to run.
pub struct Batch {
    /// Its bundles, each with the time since when it had everything it needs.
    pub jobs: Vec<(Arc<Job>, Timestamp)>,
    /// By binding; none where state is carried, which the instance adds.
    pub inputs: Vec<Option<Tensor>>,
    /// Where each source image lies in the model's input.
    pub placements: Vec<Option<Placement>>,
    /// When it was cut.
    pub cut_at: Timestamp,
    /// When its memory was filled.
    pub prepared_at: Timestamp,
    /// The instance's slot that it takes.
    pub slot: OwnedSemaphorePermit,
}

/// What an instance needs.
pub struct Instance {
    /// The step.
    pub runtime: Arc<StepRuntime>,
    /// Which of the step's instances it is.
    pub number: usize,
    /// Where its batches come from.
    pub batches: Receiver<Batch>,
    /// Where its jobs go.
    pub routes: Routes,
    /// Who is told when the device is lost.
    pub failures: Failures,
}

/// Why a batch did not run.
enum RunError {
    /// Something is wrong with it.
    Batch(String),
    /// The device is lost: nothing will run any more.
    Device(String),
}

impl From<String> for RunError {
    fn from(why: String) -> Self {
        Self::Batch(why)
    }
}

impl Instance {
    /// Starts the thread, which loads the model, says how that went, and then runs batches until nobody can send
    /// any more.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        self,
        backend: Arc<dyn Backend>,
        loaded: Sender<Result<String, BackendError>>,
    ) -> std::io::Result<JoinHandle<()>> {
        let name = format!("infer-{}-{}", self.runtime.step.name, self.number);
        std::thread::Builder::new().name(name).spawn(move || {
            let model = catch_unwind(AssertUnwindSafe(|| backend.load(&self.runtime.step.model)));
            match model {
                Ok(Ok(model)) => {
                    let _ = loaded.send(Ok(model.device().to_owned()));
                    drop(loaded);
                    self.work(model);
                }
                Ok(Err(error)) => {
                    let _ = loaded.send(Err(error));
                }
                Err(panic) => {
                    let message = format!("loading panicked: {}", panic_text(panic.as_ref()));
                    let model = self.runtime.step.model.name.clone();
                    let _ = loaded.send(Err(BackendError::Load { model, message }));
                }
            }
        })
    }

    fn work(self, mut model: Box<dyn Model>) {
        let mut state = StateStore::new(&self.runtime.step.model.signature, MOST_STREAMS);
        while let Ok(mut batch) = self.batches.recv() {
            let inputs = std::mem::take(&mut batch.inputs);
            let (size, started_at, since) = (batch.jobs.len(), Timestamp::now(), Instant::now());
            let run = || self.run(&mut *model, &mut state, &batch.jobs, inputs);
            let outcome = catch_unwind(AssertUnwindSafe(run));
            let (busy, finished_at) = (since.elapsed(), Timestamp::now());
            let outcome = match outcome {
                Ok(Ok(outputs)) => Ok(outputs),
                // The batch is neither failed nor committed: it is read again, by whoever has a device.
                Ok(Err(RunError::Device(why))) => return self.failures.report(&self.runtime.step.name, &why),
                Ok(Err(RunError::Batch(why))) => Err(why),
                Err(panic) => {
                    telemetry::panicked(&self.runtime.step.name);
                    Err(format!("the model panicked: {}", panic_text(panic.as_ref())))
                }
            };
            telemetry::batch_run(&self.runtime.step.name, self.number, size, busy, outcome.is_ok());
            if let Err(why) = &outcome {
                tracing::error!(step = self.runtime.step.name, size, "a batch failed: {why}");
            }
            self.report(batch, outcome, started_at, finished_at);
        }
    }

    /// Runs a batch and takes its outputs apart.
    fn run(
        &self,
        model: &mut dyn Model,
        state: &mut StateStore,
        jobs: &[(Arc<Job>, Timestamp)],
        inputs: Vec<Option<Tensor>>,
    ) -> Result<Vec<StepOutput>, RunError> {
        let signature = &self.runtime.step.model.signature;
        let streams: Vec<_> = jobs.iter().map(|(job, _)| &job.bundle.stream).collect();
        let stateful = self.runtime.step.is_stateful();
        for (job, _) in jobs.iter().filter(|(job, _)| job.bundle.first) {
            state.forget(&job.bundle.stream);
        }
        let mut carried =
            if stateful { state.batch(&streams).map_err(|error| error.to_string())? } else { Vec::new() };
        let mut tensors = Vec::with_capacity(inputs.len());
        for (index, input) in inputs.into_iter().enumerate() {
            tensors.push(match input {
                Some(tensor) => tensor,
                None => {
                    let found = carried.iter().position(|(input, _)| *input == index);
                    let found = found.ok_or_else(|| format!("input {index} has neither tensor nor state"))?;
                    carried.swap_remove(found).1
                }
            });
        }
        let outputs = model.run(&mut tensors).map_err(|error| match &error {
            BackendError::Device { .. } => RunError::Device(error.to_string()),
            BackendError::Load { .. } | BackendError::Run { .. } => RunError::Batch(error.to_string()),
        })?;
        let kept = |output: usize| self.runtime.kept.get(output).copied().unwrap_or(true);
        let rows = split(signature, jobs.len(), &outputs, kept).map_err(|mismatch| mismatch.to_string())?;
        self.runtime.spare.give(tensors.into_iter().chain(outputs));
        if stateful {
            state.store(&streams, &rows);
        }
        Ok(rows)
    }

    fn report(
        &self,
        batch: Batch,
        outcome: Result<Vec<StepOutput>, String>,
        started_at: Timestamp,
        finished_at: Timestamp,
    ) {
        let Batch { jobs, placements, cut_at, prepared_at, slot, .. } = batch;
        // The next batch can be cut while this one's results are still being told.
        drop(slot);
        let mut onward = Onward::default();
        let mut outputs = outcome.map(Vec::into_iter);
        for ((job, ready_at), placement) in jobs.into_iter().zip(placements) {
            let outcome = match &mut outputs {
                Ok(rows) => match rows.next() {
                    Some(output) => Outcome::Done { output, placement },
                    None => self.failed("the model gave fewer rows than it was given"),
                },
                Err(why) => self.failed(why),
            };
            let timing = StepTiming { ready_at, cut_at, prepared_at, started_at, finished_at };
            let report = Report { outcome, timing };
            onward.report(&job, self.runtime.index, report, &self.routes.graph, finished_at);
        }
        onward.send_blocking(&self.routes);
    }

    fn failed(&self, why: &str) -> Outcome {
        let message = format!("step {}: {why}", self.runtime.step.name);
        Outcome::Failed(Failure {
            fault: Fault::new(Stage::Infer, Reason::ModelFailed, message),
            culprit: None,
        })
    }
}
