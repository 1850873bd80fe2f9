//! One call of a model: its inputs, its outcome and the meaning of a failure.

use std::panic::{AssertUnwindSafe, catch_unwind};

use lockstep_backend::{BackendError, Model};
use lockstep_engine::infer::rows::{StepOutput, split};
use lockstep_engine::infer::state::StateStore;
use lockstep_engine::sample::StreamKey;
use lockstep_engine::telemetry;
use lockstep_engine::tensor::Tensor;

use crate::panic_text::panic_text;
use crate::unit_runtime::UnitRuntime;

/// The failure of a call.
pub(super) enum Failed {
    /// The batch or the model is at fault. Trials of its parts show which.
    Batch(String),
    /// The model panicked. Its memory may be inconsistent.
    Panicked(String),
    /// The batch is too large for the free memory.
    OutOfMemory(String),
    /// The device is lost. This copy of the model cannot run again.
    Device(String),
}

/// Calls a model and splits its outputs into rows.
pub(super) fn call(
    runtime: &UnitRuntime,
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
        let signature = &runtime.unit.model.signature;
        let of_rows =
            split(signature, rows, &outputs, kept).map_err(|mismatch| Failed::Batch(mismatch.to_string()))?;
        runtime.tensors.give(tensors.into_iter().chain(outputs));
        Ok(of_rows)
    };
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        telemetry::panicked(&runtime.spec().name);
        Err(Failed::Panicked(format!("the model panicked: {}", panic_text(panic.as_ref()))))
    })
}

/// Adds the stream state to the filled inputs.
///
/// # Errors
/// [`Failed::Batch`], if the state of a stream does not fit, or an input has neither a tensor nor state.
pub(super) fn with_state(
    state: &mut StateStore,
    streams: &[&StreamKey],
    inputs: Vec<Option<Tensor>>,
) -> Result<Vec<Tensor>, Failed> {
    let mut carried = if inputs.iter().any(Option::is_none) {
        state.batch(streams).map_err(|error| Failed::Batch(error.to_string()))?
    } else {
        Vec::new()
    };
    let tensors = inputs.into_iter().enumerate().map(|(index, input)| match input {
        Some(tensor) => Ok(tensor),
        None => {
            let found = carried.iter().position(|(input, _)| *input == index);
            let found = found.ok_or_else(|| {
                Failed::Batch(format!("input {index} has neither a tensor nor stream state"))
            })?;
            Ok(carried.swap_remove(found).1)
        }
    });
    tensors.collect()
}
