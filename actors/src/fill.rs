//! Fills the input tensors of a batch, its rows in parallel. Prepare fills a new batch; an instance fills a part of one again.

use std::any::Any;

use lockstep_engine::infer::job::{Job, StepFailure, StepOutcome};
use lockstep_engine::infer::rows::{assemble, batch_shape, item, mask};
use lockstep_engine::infer::signature::TensorSpec;
use lockstep_engine::infer::step::{Binding, OnMissing};
use lockstep_engine::preprocess::{Placement, RowInfo, rows};
use lockstep_engine::tensor::Tensor;

use crate::message::BatchRow;
use crate::panic_text::panic_text;
use crate::unit_runtime::UnitRuntime;

mod row;
mod text;

use row::{RowMaker, apart, undecodable};
use text::TextMaker;

/// The tensor of each binding, and the placement of each row's image.
pub(crate) type Filled = (Vec<Option<Tensor>>, Vec<Option<Placement>>);

/// Fills all inputs except stream state.
///
/// # Errors
/// The rows that cannot be filled, in ascending order.
pub(crate) fn fill(runtime: &UnitRuntime, batch: &[&BatchRow]) -> Result<Filled, Vec<(usize, StepFailure)>> {
    let count = batch.len();
    let mut placements = vec![None; count];
    let mut tensors = Vec::with_capacity(runtime.spec().bindings.len());
    let mut failures: Vec<(usize, StepFailure)> = Vec::new();
    let specs = &runtime.unit.model.signature.inputs;
    for ((binding, spec), preprocessor) in
        runtime.spec().bindings.iter().zip(specs).zip(&runtime.step.preprocessors)
    {
        tensors.push(match binding {
            Binding::Input { input, missing, .. } => {
                let Some(preprocessor) = preprocessor else { continue };
                let shape = batch_shape(spec, preprocessor.shape(), count);
                let mut tensor = runtime.tensors.take(preprocessor.dtype(), &shape);
                let name = runtime.step.inputs.get(input.index()).map_or("?", String::as_str);
                let decoding = &runtime.step.decoding;
                let maker = RowMaker {
                    step: runtime.index(),
                    input: *input,
                    name,
                    preprocessor,
                    decoding,
                    missing: *missing,
                };
                let outcomes = maker.fill(rows(&mut tensor), batch);
                for (row, outcome) in outcomes.into_iter().enumerate() {
                    match outcome {
                        Ok(Some(RowInfo::Image(placement))) => placements[row] = Some(placement),
                        Ok(_) => {}
                        Err(failure) => failures.push((row, failure)),
                    }
                }
                Some(tensor)
            }
            Binding::ShownText { text, missing, .. } => {
                let Some(preprocessor) = preprocessor else { continue };
                let shape = batch_shape(spec, preprocessor.shape(), count);
                let mut tensor = runtime.tensors.take(preprocessor.dtype(), &shape);
                let graph = &runtime.step.graph;
                let maker = TextMaker { text, preprocessor, missing: *missing, graph };
                let outcomes = maker.fill(rows(&mut tensor), batch).into_iter().enumerate();
                failures.extend(outcomes.filter_map(|(row, outcome)| Some((row, outcome.err()?))));
                Some(tensor)
            }
            Binding::Output { step, output, missing } => {
                let zeros = match missing {
                    OnMissing::Zeros => Some(Tensor::zeros(spec.dtype, &known_row(runtime, spec))),
                    OnMissing::Skip => None,
                };
                let found =
                    batch.iter().filter_map(|row| earlier(&row.job, *step, *output).or(zeros.as_ref()));
                let found: Vec<&Tensor> = found.collect();
                match assemble(spec, &found) {
                    Ok(tensor) if found.len() == count => Some(tensor),
                    Ok(_) => return Err(all(count, "an earlier step's output is missing".into())),
                    // One bundle's output may differ in shape, so each bundle is judged alone.
                    Err(mismatch) if count == 1 => return Err(all(1, mismatch.to_string())),
                    Err(mismatch) => return Err(misfits(&found, spec, &mismatch.to_string())),
                }
            }
            Binding::DetectionRow { step, output } => {
                let found: Option<Vec<Tensor>> =
                    batch.iter().map(|row| of_detection(runtime.index(), row, *step, *output)).collect();
                let missing = || all(count, "an earlier step's output is missing".into());
                let found = found.ok_or_else(missing)?;
                let found: Vec<&Tensor> = found.iter().collect();
                Some(
                    assemble(spec, &found)
                        .map_err(|mismatch| misfits(&found, spec, &mismatch.to_string()))?,
                )
            }
            Binding::Zeros => {
                Some(Tensor::zeros(spec.dtype, &batch_shape(spec, &known_row(runtime, spec), count)))
            }
            Binding::Presence { inputs } => {
                let rows: Vec<Tensor> =
                    batch.iter().map(|row| mask(spec.dtype, &presence(runtime, &row.job, inputs))).collect();
                let rows: Vec<&Tensor> = rows.iter().collect();
                Some(assemble(spec, &rows).map_err(|mismatch| all(count, mismatch.to_string()))?)
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

/// The shape of a row that the settings determine. The check at the start refuses zeros of another shape.
fn known_row(runtime: &UnitRuntime, spec: &TensorSpec) -> Vec<usize> {
    runtime.unit.model.extents.row(spec).into_iter().map(|extent| extent.unwrap_or(1)).collect()
}

/// For each of these inputs of the model, true if the bundle has its source.
fn presence(runtime: &UnitRuntime, job: &Job, inputs: &[usize]) -> Vec<bool> {
    let has = |input: &usize| {
        let (source, _) = runtime.spec().bindings.get(*input)?.source()?;
        Some(job.has(source))
    };
    inputs.iter().map(|input| has(input).unwrap_or(false)).collect()
}

fn earlier(job: &Job, step: usize, output: usize) -> Option<&Tensor> {
    match &job.at(step)?.outcome {
        StepOutcome::Done { output: done, .. } => done.get(output),
        _ => None,
    }
}

/// The row of a detection in an output of the step that found it.
fn of_detection(step: usize, row: &BatchRow, from: usize, output: usize) -> Option<Tensor> {
    let detection = row.job.gather(step)?.detections().get(row.number)?;
    item(earlier(&row.job, from, output)?, detection.found.row)
}

/// Returns the rows that do not fit the tensor, else those whose shape differs from the first row's, else all rows.
fn misfits(found: &[&Tensor], spec: &TensorSpec, why: &str) -> Vec<(usize, StepFailure)> {
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
    let failure = StepFailure { fault: undecodable(why.to_owned()), culprit: None };
    rows.into_iter().map(|row| (row, failure.clone())).collect()
}

fn all(count: usize, why: String) -> Vec<(usize, StepFailure)> {
    let failure = StepFailure { fault: undecodable(why), culprit: None };
    (0..count).map(|row| (row, failure.clone())).collect()
}

/// Fills a batch. If filling panics outside of a row, each bundle is filled alone to find the cause. If none panics alone, all
/// bundles fail.
///
/// # Errors
/// The rows that fail, in ascending order.
pub(crate) fn fill_or_blame<J, F>(
    jobs: &[J],
    fill: impl Fn(&[J]) -> Result<F, Vec<(usize, StepFailure)>>,
) -> Result<F, Vec<(usize, StepFailure)>> {
    let attempt = |jobs: &[J]| apart(|| fill(jobs));
    let panic = match attempt(jobs) {
        Ok(filled) => return filled,
        Err(panic) => panic,
    };
    let blamed = |panic: &(dyn Any + Send)| {
        let message = format!("preparing the batch panicked: {}", panic_text(panic));
        StepFailure { fault: undecodable(message), culprit: None }
    };
    let alone = jobs.chunks(1).enumerate().filter(|_| jobs.len() > 1);
    let panicked: Vec<(usize, StepFailure)> =
        alone.filter_map(|(row, job)| Some((row, blamed(attempt(job).err()?.as_ref())))).collect();
    match panicked.is_empty() {
        false => Err(panicked),
        true => Err((0..jobs.len()).map(|row| (row, blamed(panic.as_ref()))).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fills batches of numbers and panics on 13.
    fn fill(jobs: &[u32]) -> Result<u32, Vec<(usize, StepFailure)>> {
        assert!(!jobs.contains(&13), "13 is poison");
        Ok(jobs.iter().sum())
    }

    #[test]
    fn panicking_batch_fails_only_bundles_that_panic_alone() {
        assert_eq!(fill_or_blame(&[1, 2], fill).ok(), Some(3));
        let rows = |found: Result<u32, Vec<(usize, StepFailure)>>| {
            found.expect_err("the fill panics").into_iter().map(|(row, _)| row).collect::<Vec<_>>()
        };
        assert_eq!(rows(fill_or_blame(&[1, 13, 2, 13], fill)), [1, 3]);
        assert_eq!(rows(fill_or_blame(&[13], fill)), [0]);
        let together = |jobs: &[u32]| if jobs.len() > 1 { panic!("too many") } else { Ok(0) };
        assert_eq!(rows(fill_or_blame(&[1, 2, 3], together)), [0, 1, 2]);
    }
}
