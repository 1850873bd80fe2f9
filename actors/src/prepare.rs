//! Fills the memory of a batch, its rows in parallel.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lockstep_engine::batch::Costs;
use lockstep_engine::infer::changelog::Restored;
use lockstep_engine::infer::extents::Extents;
use lockstep_engine::infer::job::{Failure, Job, Outcome, Report, StepTiming};
use lockstep_engine::infer::rows::{assemble, batch_shape};
use lockstep_engine::infer::state::StateStore;
use lockstep_engine::infer::step::{Binding, OnOpenCircuit, Step, kept_outputs};
use lockstep_engine::pipeline::Pipeline;
use lockstep_engine::preprocess::{Placement, Preprocessor, RowInfo, rows};
use lockstep_engine::supervision::breaker::{Admit, Breaker, BreakerState};
use lockstep_engine::telemetry;
use lockstep_engine::tensor::Tensor;
use lockstep_engine::time::Timestamp;
use parking_lot::Mutex;
use tokio::sync::OwnedSemaphorePermit;

use crate::batch::Waiting;
use crate::decoding::Decoding;
use crate::heartbeat::Heartbeat;
use crate::instance::Batch;
use crate::route::{Onward, Routes};
use crate::stage_actor::panic_text;
use crate::status::Status;
use crate::tensor_pool::TensorPool;

mod row;

use row::{RowMaker, apart, undecodable};

/// A step, made ready to run.
pub struct StepRuntime {
    /// Its place in the pipeline.
    pub index: usize,
    /// What it is.
    pub step: Step,
    /// Of the model's outputs, those that somebody looks at.
    pub kept: Vec<bool>,
    /// Memory for its batches.
    pub fallback: TensorPool,
    /// The breaker of its model, which all instances share.
    breaker: Mutex<Breaker>,
    /// The most bundles of a batch that memory has been found for.
    most: AtomicUsize,
    /// What its batches cost.
    costs: Mutex<Costs>,
    /// How long its instances have worked.
    heartbeat: Heartbeat,
    /// By binding, where it comes from an input.
    preprocessors: Vec<Option<Preprocessor>>,
    /// What streams carried on before their partitions came here.
    restored: Arc<Mutex<Restored>>,
    /// The inputs' names.
    inputs: Vec<String>,
    /// The memory that payloads are decoded in.
    decoding: Decoding,
}

impl StepRuntime {
    /// Makes the step of a pipeline in that place ready: reads tokenizers, plans transforms.
    ///
    /// # Errors
    /// What is wrong with its settings or files.
    pub(crate) fn new(
        pipeline: &Pipeline,
        index: usize,
        restored: Arc<Mutex<Restored>>,
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
                        return Err(format!("{place}: what comes from an input needs its batch axis first"));
                    }
                    Some(Preprocessor::new(preprocess).map_err(|why| format!("{place}: {why}"))?)
                }
                _ => None,
            });
        }
        let (kept, fallback) = (kept_outputs(steps, index), TensorPool::default());
        let breaker = Mutex::new(Breaker::new(pipeline.supervision.breaker));
        let inputs = pipeline.inputs.iter().map(|input| input.name.clone()).collect();
        let (most, costs) = (AtomicUsize::new(usize::MAX), Mutex::default());
        let heartbeat = Heartbeat::default();
        Ok(Self {
            index,
            kept,
            fallback,
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

    /// A bundle comes: what its stream carries on begins anew, is what was restored, or goes on.
    pub fn admit_state(&self, state: &mut StateStore, job: &Job) {
        let (name, bundle) = (&self.step.name, &job.bundle);
        let why = |why: &str| {
            tracing::warn!(step = name, stream = %bundle.stream, "what the stream carried on is not taken up: {why}");
            telemetry::state_refused(name);
        };
        let restored = || {
            let taken = self.restored.lock().take(name, &bundle.stream, bundle.event_time);
            taken.unwrap_or_else(|error| {
                why(&error.to_string());
                None
            })
        };
        if state.admit(&bundle.stream, job.assignment(), bundle.first, restored) {
            why("it is not what this model carries");
        }
    }

    /// One of its instances has run a batch for so long.
    pub(crate) fn worked(&self, time: Duration) {
        self.heartbeat.worked(time);
    }

    /// How long its instances have worked until now, all of them together.
    pub(crate) fn busy(&self) -> Duration {
        self.heartbeat.busy()
    }

    /// The most bundles of a batch that memory has been found for.
    pub fn most(&self) -> usize {
        self.most.load(Ordering::Relaxed)
    }

    /// A larger batch found no memory. It stays so for as long as the pipeline runs: what does not fit once mostly
    /// does not fit the next time, and finding that out costs a batch. Gives what is the most now.
    pub fn shrink(&self, most: usize) -> usize {
        self.most.fetch_min(most.max(1), Ordering::Relaxed).min(most.max(1))
    }

    /// The model took so long for a batch of so many bundles that it succeeded with.
    pub fn batch_took(&self, size: usize, took: Duration) {
        self.costs.lock().ran(size, took);
    }

    /// What its batches cost, as measured.
    pub fn costs(&self) -> Costs {
        *self.costs.lock()
    }

    /// What a bundle costs in a full batch, as a part of what it has cost of late, if known.
    pub(crate) fn share_in_full(&self) -> Option<f64> {
        self.costs().share_in(self.step.batch.max_size.min(self.most()).max(1))
    }

    /// Whether the model may be called.
    pub fn admit(&self, now: Timestamp, status: &Status) -> Admit {
        self.with_breaker(status, |breaker| breaker.admit(now)).0
    }

    /// The model did what it was asked. Whether its breaker has closed by that.
    pub fn succeeded(&self, status: &Status) -> bool {
        self.with_breaker(status, Breaker::succeeded).1
    }

    /// The model has failed; `whole` says that it was with a bundle alone, and for good. While a probe is under
    /// way every failure counts. Whether the breaker has opened by that.
    pub fn failed(&self, whole: bool, now: Timestamp, status: &Status) -> bool {
        let failed = |breaker: &mut Breaker| {
            (whole || breaker.state() == BreakerState::HalfOpen) && breaker.failed(now)
        };
        self.with_breaker(status, failed).0
    }

    /// Does something with the breaker, and tells of it when it has changed by that.
    fn with_breaker<T>(&self, status: &Status, act: impl FnOnce(&mut Breaker) -> T) -> (T, bool) {
        let mut breaker = self.breaker.lock();
        let before = breaker.state();
        let answer = act(&mut breaker);
        let state = breaker.state();
        if state != before {
            tracing::warn!(step = self.step.name, "the breaker of the model is {}", state.as_str());
            self.tell_of_breaker(state, status);
        }
        (answer, state != before)
    }

    /// Says what the breaker does.
    pub fn tell_of_breaker(&self, state: BreakerState, status: &Status) {
        telemetry::breaker(&self.step.name, state);
        status.set_breaker(&self.step.name, state, self.step.care.on_open_circuit == OnOpenCircuit::Wait);
    }
}

/// Fills a batch's memory. Bundles that cannot be prepared are reported as failed and the others go
/// on without them; `None` when none is left.
pub fn prepare(
    runtime: &StepRuntime,
    routes: &Routes,
    mut waiting: Vec<Waiting>,
    cut_at: Timestamp,
    slot: OwnedSemaphorePermit,
) -> Option<Batch> {
    let mut onward = Onward::default();
    let filled = loop {
        if waiting.is_empty() {
            break None;
        }
        let jobs: Vec<&Arc<Job>> = waiting.iter().map(|waiting| &waiting.job).collect();
        let failures = match fill_or_blame(&jobs, |jobs| fill(runtime, jobs)) {
            Ok(filled) => break Some(filled),
            Err(failures) => failures,
        };
        for (row, failure) in failures.into_iter().rev() {
            let failed = waiting.remove(row);
            let now = Timestamp::now();
            let timing = StepTiming {
                ready_at: failed.ready_at,
                cut_at,
                prepared_at: now,
                started_at: now,
                finished_at: now,
            };
            let report = Report { outcome: Outcome::Failed(failure), timing };
            onward.report(&failed.job, runtime.index, report, &routes.graph, now);
        }
    };
    onward.send_blocking(routes);
    let (inputs, placements) = filled?;
    let jobs = waiting.into_iter().map(|waiting| (waiting.job, waiting.ready_at)).collect();
    let prepared_at = Timestamp::now();
    runtime.costs.lock().prepared(prepared_at.since(cut_at));
    Some(Batch { jobs, inputs, placements, cut_at, prepared_at, slot })
}

/// Fills a batch. Who panics outside of its rows is found by filling each bundle alone; if none does, all are to blame.
fn fill_or_blame<J, F>(
    jobs: &[J],
    fill: impl Fn(&[J]) -> Result<F, Vec<(usize, Failure)>>,
) -> Result<F, Vec<(usize, Failure)>> {
    let attempt = |jobs: &[J]| apart(|| fill(jobs));
    let panic = match attempt(jobs) {
        Ok(filled) => return filled,
        Err(panic) => panic,
    };
    let blamed = |panic: &(dyn Any + Send)| {
        let message = format!("preparing the batch panicked: {}", panic_text(panic));
        Failure { fault: undecodable(message), culprit: None }
    };
    let alone = jobs.chunks(1).enumerate().filter(|_| jobs.len() > 1);
    let panicked: Vec<(usize, Failure)> =
        alone.filter_map(|(row, job)| Some((row, blamed(attempt(job).err()?.as_ref())))).collect();
    match panicked.is_empty() {
        false => Err(panicked),
        true => Err((0..jobs.len()).map(|row| (row, blamed(panic.as_ref()))).collect()),
    }
}

pub(crate) type Filled = (Vec<Option<Tensor>>, Vec<Option<Placement>>);

/// Fills all inputs but those that are carried, or says which rows cannot be, in ascending order.
pub(crate) fn fill(runtime: &StepRuntime, jobs: &[&Arc<Job>]) -> Result<Filled, Vec<(usize, Failure)>> {
    let count = jobs.len();
    let mut placements = vec![None; count];
    let mut tensors = Vec::with_capacity(runtime.step.bindings.len());
    let mut failures: Vec<(usize, Failure)> = Vec::new();
    let specs = &runtime.step.model.signature.inputs;
    for ((binding, spec), preprocessor) in runtime.step.bindings.iter().zip(specs).zip(&runtime.preprocessors)
    {
        tensors.push(match binding {
            Binding::Input { input, .. } => {
                let Some(preprocessor) = preprocessor else { continue };
                let shape = batch_shape(spec, preprocessor.shape(), count);
                let mut tensor = runtime.fallback.take(preprocessor.dtype(), &shape);
                let name = runtime.inputs.get(input.index()).map_or("?", String::as_str);
                let maker = RowMaker { input: *input, name, preprocessor, decoding: &runtime.decoding };
                let outcomes = maker.fill(rows(&mut tensor), jobs);
                for (row, outcome) in outcomes.into_iter().enumerate() {
                    match outcome {
                        Ok(RowInfo::Image(placement)) => placements[row] = Some(placement),
                        Ok(_) => {}
                        Err(failure) => failures.push((row, failure)),
                    }
                }
                Some(tensor)
            }
            Binding::Output { step, output } => {
                let found: Vec<&Tensor> =
                    jobs.iter().filter_map(|job| earlier(job, *step, *output)).collect();
                match assemble(spec, &found) {
                    Ok(tensor) if found.len() == count => Some(tensor),
                    Ok(_) => return Err(all(count, "an earlier step's output is not there".into())),
                    // One bundle's output may have a shape of its own: alone each is right or wrong by itself.
                    Err(mismatch) if count == 1 => return Err(all(1, mismatch.to_string())),
                    Err(mismatch) => return Err(misfits(&found, spec, &mismatch.to_string())),
                }
            }
            Binding::Zeros => {
                let row: Vec<usize> =
                    Extents::default().row(spec).into_iter().map(|extent| extent.unwrap_or(1)).collect();
                Some(Tensor::zeros(spec.dtype, &batch_shape(spec, &row, count)))
            }
            Binding::State { .. } => None,
        });
    }
    if failures.is_empty() {
        return Ok((tensors, placements));
    }
    failures.sort_by_key(|(row, _)| *row);
    failures.dedup_by_key(|(row, _)| *row);
    Err(failures)
}

fn earlier(job: &Job, step: usize, output: usize) -> Option<&Tensor> {
    match &job.at(step)?.outcome {
        Outcome::Done { output: done, .. } => done.get(output),
        _ => None,
    }
}

/// The rows whose shape is not that of the first; all of them when that tells nothing.
fn misfits(
    found: &[&Tensor],
    spec: &lockstep_engine::infer::signature::TensorSpec,
    why: &str,
) -> Vec<(usize, Failure)> {
    let wrong: Vec<usize> =
        (0..found.len()).filter(|row| assemble(spec, &found[*row..=*row]).is_err()).collect();
    let rows = if !wrong.is_empty() {
        wrong
    } else {
        (1..found.len()).filter(|row| found[*row].shape() != found[0].shape()).collect()
    };
    if rows.is_empty() {
        return all(found.len(), why.to_owned());
    }
    let failure = Failure { fault: undecodable(why.to_owned()), culprit: None };
    rows.into_iter().map(|row| (row, failure.clone())).collect()
}

fn all(count: usize, why: String) -> Vec<(usize, Failure)> {
    let failure = Failure { fault: undecodable(why), culprit: None };
    (0..count).map(|row| (row, failure.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fills batches of numbers; 13 is poison.
    fn fill(jobs: &[u32]) -> Result<u32, Vec<(usize, Failure)>> {
        assert!(!jobs.contains(&13), "13 is poison");
        Ok(jobs.iter().sum())
    }

    #[test]
    fn of_a_batch_that_panics_only_those_who_panic_alone_are_blamed() {
        assert_eq!(fill_or_blame(&[1, 2], fill).ok(), Some(3));
        let rows = |found: Result<u32, Vec<(usize, Failure)>>| {
            found.expect_err("it panics").into_iter().map(|(row, _)| row).collect::<Vec<_>>()
        };
        assert_eq!(rows(fill_or_blame(&[1, 13, 2, 13], fill)), [1, 3]);
        assert_eq!(rows(fill_or_blame(&[13], fill)), [0]);
        let together = |jobs: &[u32]| if jobs.len() > 1 { panic!("too many") } else { Ok(0) };
        assert_eq!(rows(fill_or_blame(&[1, 2, 3], together)), [0, 1, 2]);
    }
}
