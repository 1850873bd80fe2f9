//! One call of a model: what goes in, how it ends, and what that means.

use std::panic::{AssertUnwindSafe, catch_unwind};

use lockstep_engine::infer::backend::{BackendError, Model};
use lockstep_engine::infer::rows::{StepOutput, split};
use lockstep_engine::infer::state::StateStore;
use lockstep_engine::sample::StreamKey;
use lockstep_engine::telemetry;
use lockstep_engine::tensor::Tensor;

use crate::prepare::StepRuntime;
use crate::stage_actor::panic_text;

/// Why a call gave nothing.
pub(super) enum Failed {
    /// Something is wrong with the batch, or with the model: trying parts of it tells.
    Batch(String),
    /// The model panicked. What it holds may be in disorder.
    Panicked(String),
    /// The batch is too large for the memory that there is.
    OutOfMemory(String),
    /// The device is lost: nothing will run with this copy of the model any more.
    Device(String),
}

/// Calls a model and takes its outputs apart.
pub(super) fn call(
    runtime: &StepRuntime,
    model: &mut dyn Model,
    rows: usize,
    mut tensors: Vec<Tensor>,
) -> Result<Vec<StepOutput>, Failed> {
    let run = || {
        let outputs = model.run(&mut tensors).map_err(|error| {
            let why = error.to_string();
            match error {
                BackendError::Device { .. } => Failed::Device(why),
                BackendError::OutOfMemory { .. } => Failed::OutOfMemory(why),
                BackendError::Load { .. } | BackendError::Run { .. } => Failed::Batch(why),
            }
        })?;
        let kept = |output: usize| runtime.kept.get(output).copied().unwrap_or(true);
        let signature = &runtime.step.model.signature;
        let of_rows =
            split(signature, rows, &outputs, kept).map_err(|mismatch| Failed::Batch(mismatch.to_string()))?;
        runtime.fallback.give(tensors.into_iter().chain(outputs));
        Ok(of_rows)
    };
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        telemetry::panicked(&runtime.step.name);
        Err(Failed::Panicked(format!("the model panicked: {}", panic_text(panic.as_ref()))))
    })
}

/// Puts what the streams carry on beside what was filled.
pub(super) fn with_state(
    state: &mut StateStore,
    streams: &[&StreamKey],
    inputs: Vec<Option<Tensor>>,
) -> Result<Vec<Tensor>, String> {
    let mut carried = if inputs.iter().any(Option::is_none) {
        state.batch(streams).map_err(|error| error.to_string())?
    } else {
        Vec::new()
    };
    let tensors = inputs.into_iter().enumerate().map(|(index, input)| match input {
        Some(tensor) => Ok(tensor),
        None => {
            let found = carried.iter().position(|(input, _)| *input == index);
            let found = found.ok_or_else(|| format!("input {index} has neither tensor nor state"))?;
            Ok(carried.swap_remove(found).1)
        }
    });
    tensors.collect()
}
