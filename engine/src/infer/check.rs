//! Checks the steps of a pipeline against the signatures of their models before anything starts. It reports all
//! mismatches at once, each with the tensor, its type and shape, and those expected.

use crate::infer::extents::Extents;
use crate::infer::signature::{Extent, RowsOf, Signature, TensorSpec};
use crate::infer::step::{Binding, EachDetection, OnMissing, Step, View};
use crate::preprocess::Preprocess;
use crate::tensor::DType;

/// A function from a preprocessing to the type and shape of the row it makes.
pub type RowOf<'a> = &'a dyn Fn(&Preprocess) -> (DType, Vec<usize>);

/// The type of a row and its shape, as far as known.
type RowShape = (DType, Vec<Option<usize>>);

/// The part of a step that a mismatch is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepPart {
    /// The model's inputs.
    Inputs,
    /// The views of the model's outputs.
    Outputs,
}

/// A step that does not fit its model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepMismatch {
    /// The index of the step.
    pub step: usize,
    /// The part of the step.
    pub part: StepPart,
    /// The message, beginning with the step's name.
    pub what: String,
}

/// Checks the steps in order. On success returns the extents to warm up each step's model: the values of the names in
/// its signature, as far as the settings determine them.
///
/// # Errors
/// Every mismatch, each beginning with the step's name.
pub fn check_steps(steps: &[Step], row_of: RowOf<'_>) -> Result<Vec<Extents>, Vec<String>> {
    let steps: Vec<Option<&Step>> = steps.iter().map(Some).collect();
    let (known, mismatches) = check_known(&steps, row_of);
    let errors: Vec<String> = mismatches.into_iter().map(|mismatch| mismatch.what).collect();
    if errors.is_empty() { Ok(known) } else { Err(errors) }
}

/// Checks steps of which some are unknown, because their settings have other errors. Steps that take from an unknown
/// step count as fitting.
pub fn check_known(steps: &[Option<&Step>], row_of: RowOf<'_>) -> (Vec<Extents>, Vec<StepMismatch>) {
    let mut mismatches = Vec::new();
    let mut known: Vec<Extents> = Vec::with_capacity(steps.len());
    for (place, step) in steps.iter().enumerate() {
        let Some(step) = step else {
            known.push(Extents::default());
            continue;
        };
        let (mut taken, mut given) = (Vec::new(), Vec::new());
        known.push(inputs(place, step, steps, &known, row_of, &mut taken));
        if let Some(each) = &step.each {
            taken.extend(wrong_each(place, step, each, steps));
        }
        views(step, &mut given);
        for (part, wrong) in [(StepPart::Inputs, taken), (StepPart::Outputs, given)] {
            let named = |error| format!("step {}: {error}", step.name);
            mismatches.extend(wrong.into_iter().map(|error| StepMismatch {
                step: place,
                part,
                what: named(error),
            }));
        }
    }
    (known, mismatches)
}

fn inputs(
    place: usize,
    step: &Step,
    steps: &[Option<&Step>],
    known: &[Extents],
    row_of: RowOf<'_>,
    errors: &mut Vec<String>,
) -> Extents {
    let signature = &step.unit.model.signature;
    let mut extents = Extents::default();
    if step.bindings.len() != signature.inputs.len() {
        let names: Vec<&str> = signature.inputs.iter().map(|spec| spec.name.as_str()).collect();
        errors.push(format!(
            "{} inputs are bound, the model {} takes {}: {}",
            step.bindings.len(),
            step.unit.model.name,
            names.len(),
            names.join(", ")
        ));
    }
    if let Some(most) = signature.max_batch.filter(|most| step.batch.max_size > *most) {
        errors.push(format!(
            "batches of up to {} are asked for, the model {} takes at most {most}",
            step.batch.max_size, step.unit.model.name
        ));
    }
    let pairs = signature.state_pairs();
    for (input, (binding, spec)) in step.bindings.iter().zip(&signature.inputs).enumerate() {
        let carried = pairs.iter().find(|(taker, _)| *taker == input).map(|(_, giver)| *giver);
        let known_here = |row: Vec<usize>| row.into_iter().map(Some).collect();
        let found: Option<RowShape> = match binding {
            Binding::Input { preprocess, .. } | Binding::ShownText { preprocess, .. } => {
                let (dtype, row) = row_of(preprocess);
                Some((dtype, known_here(row)))
            }
            Binding::Output { step: from, output, .. } => earlier(place, *from, *output, steps, known)
                .unwrap_or_else(|error| {
                    errors.push(format!("input {}: {error}", spec.name));
                    None
                }),
            Binding::DetectionRow { step: from, output } => detection_row(step, *from, *output, steps, known)
                .unwrap_or_else(|error| {
                    errors.push(format!("input {}: {error}", spec.name));
                    None
                }),
            Binding::State { output } => {
                if carried != Some(*output) {
                    errors.push(not_carried(signature, spec, *output));
                }
                None
            }
            Binding::Zeros => None,
            Binding::Presence { inputs } => {
                let no_source =
                    |input: &&usize| step.bindings.get(**input).and_then(Binding::source).is_none();
                if let Some(other) = inputs.iter().find(no_source) {
                    let name = signature.inputs.get(*other).map_or("?", |spec| &spec.name);
                    errors.push(format!(
                        "input {} is the presence of {name}, which has no source that could be missing",
                        spec.name
                    ));
                }
                Some((spec.dtype, vec![Some(inputs.len())]))
            }
        };
        if carried.is_some() && !matches!(binding, Binding::State { .. } | Binding::Zeros) {
            errors.push(format!(
                "input {} carries the model's state; it is bound to state, or to zeros to run without memory",
                spec.name
            ));
        } else if let Some((dtype, row)) = found
            && let Err(mismatch) = extents.fit_row("input", spec, dtype, &row)
        {
            errors.push(mismatch.to_string());
        }
    }
    // Names are fully known only after all other inputs.
    for (binding, spec) in step.bindings.iter().zip(&signature.inputs) {
        let may_be_zeros = matches!(binding.source(), Some((_, OnMissing::Zeros)));
        if (may_be_zeros || *binding == Binding::Zeros) && extents.row(spec).contains(&None) {
            let remedy = if may_be_zeros { "; write missing = \"skip\"" } else { "" };
            errors.push(format!(
                "input {} is {spec}; it cannot be zeros, since an extent of it is known from no other input{remedy}",
                spec.name
            ));
        }
    }
    extents
}

fn not_carried(signature: &Signature, spec: &TensorSpec, output: usize) -> String {
    let output = signature.outputs.get(output).map_or("an unknown output", |output| &output.name);
    format!(
        "input {} cannot be bound to the state {output}: model.toml has no [[state]] with this input and output",
        spec.name
    )
}

/// The mistake in the choice of detections for which a step runs.
fn wrong_each(place: usize, step: &Step, each: &EachDetection, steps: &[Option<&Step>]) -> Option<String> {
    if step.is_stateful() {
        return Some(
            "it carries state from bundle to bundle, so it cannot run once per detection; write zeros = true in place \
             of carry"
                .to_owned(),
        );
    }
    let Some(from) = steps.get(each.step).filter(|_| each.step < place) else {
        return Some(format!("step number {} does not come before this one", each.step + 1));
    };
    let from = (*from)?;
    if from.each.is_some() {
        return Some(format!(
            "step {} runs once per detection itself; name a step that runs once a bundle",
            from.name
        ));
    }
    match from.outputs.get(each.view).map(|shown| &shown.view) {
        Some(View::Detections { .. } | View::Anchors { .. }) => None,
        _ => Some(format!("view number {} of step {} shows no detections", each.view + 1, from.name)),
    }
}

/// Type and shape of the row of one detection in an output of the step that finds the detections, if that step is known.
fn detection_row(
    step: &Step,
    from: usize,
    output: usize,
    steps: &[Option<&Step>],
    known: &[Extents],
) -> Result<Option<RowShape>, String> {
    let Some(each) = step.each.as_ref().filter(|each| each.step == from) else {
        return Err(format!("the step does not run for each detection of step number {}", from + 1));
    };
    let (Some(Some(source)), Some(extents)) = (steps.get(from), known.get(from)) else { return Ok(None) };
    let signature = &source.unit.model.signature;
    let Some(spec) = signature.outputs.get(output) else {
        return Err(format!("step {} has no output number {}", source.name, output + 1));
    };
    let boxes = match source.outputs.get(each.view).map(|shown| &shown.view) {
        Some(View::Detections { boxes, .. }) => signature.rows_of(*boxes),
        _ => None,
    };
    match signature.rows_of(output) {
        Some(rows @ RowsOf::Index(_)) if boxes == Some(rows) => {
            Ok(Some((spec.dtype, extents.row(spec).into_iter().skip(1).collect())))
        }
        _ => Err(format!(
            "output {} of step {} is {spec}, which has no row for each of the detections",
            spec.name, source.name
        )),
    }
}

/// Type and row of an earlier step's output, if that step is known.
fn earlier(
    place: usize,
    from: usize,
    output: usize,
    steps: &[Option<&Step>],
    known: &[Extents],
) -> Result<Option<RowShape>, String> {
    let (Some(step), Some(extents)) = (steps.get(from).filter(|_| from < place), known.get(from)) else {
        return Err(format!("step number {} does not come before this one", from + 1));
    };
    let Some(step) = step else { return Ok(None) };
    if step.each.is_some() {
        return Err(format!(
            "step {} runs once per detection, so its outputs cannot be the input of another model; take them from the \
             result",
            step.name
        ));
    }
    let signature = &step.unit.model.signature;
    let Some(spec) = signature.outputs.get(output) else {
        return Err(format!("step {} has no output number {}", step.name, output + 1));
    };
    match signature.rows_of(output) {
        Some(RowsOf::Axis(_)) => Ok(Some((spec.dtype, extents.row(spec)))),
        _ => Err(format!(
            "output {} of step {} is ragged, {spec}: the number of its items differs between bundles, so it \
             cannot be the input of a model",
            spec.name, step.name
        )),
    }
}

/// Returns true for a type in which models give tokens.
pub fn is_token(dtype: DType) -> bool {
    matches!(dtype, DType::I32 | DType::I64)
}

fn views(step: &Step, errors: &mut Vec<String>) {
    let signature = &step.unit.model.signature;
    for (place, shown) in step.outputs.iter().enumerate() {
        let mut wrong = |what: String| errors.push(format!("result {}: {what}", shown.name));
        if step.outputs.iter().take(place).any(|other| other.name == shown.name) {
            wrong("the name is used twice".to_owned());
        }
        let mut expect = |output: usize, what: &str, fits: &dyn Fn(&TensorSpec, usize) -> bool| {
            match signature.outputs.get(output) {
                None => wrong(format!(
                    "output number {} is none of the {} of the model {}",
                    output + 1,
                    signature.outputs.len(),
                    step.unit.model.name
                )),
                // In each row a ragged output keeps its first axis, a batched output loses the batch axis.
                Some(spec) => {
                    let axes = spec.shape.len() - usize::from(spec.batch_axis().is_some());
                    if !fits(spec, axes) {
                        wrong(format!("output {} is {spec}, expected {what}", spec.name));
                    }
                }
            }
        };
        let floats = |spec: &TensorSpec| spec.dtype.is_float();
        let last = |spec: &TensorSpec, extent: usize| {
            // A name may have any value: the view checks the actual extent again.
            spec.shape.last().is_some_and(|dim| match dim.extent() {
                Extent::Exactly(found) => found == extent,
                Extent::Named { .. } => true,
                Extent::Batch => false,
            })
        };
        match &shown.view {
            View::Raw { output } => expect(*output, "any", &|_, _| true),
            View::Scores { output, .. } => expect(*output, "floats", &|spec, _| floats(spec)),
            View::TopK { output, .. } => {
                expect(*output, "floats [classes] a row", &|spec, axes| floats(spec) && axes == 1);
            }
            View::Embedding { output, .. } => {
                expect(*output, "floats [dimensions] a row", &|spec, axes| floats(spec) && axes == 1);
            }
            View::Anchors { output, layout, .. } => {
                let row = signature.outputs.get(*output).map(|spec| Extents::default().row(spec));
                expect(
                    *output,
                    "floats [4 + classes, anchors] or [anchors, 5 + classes] a row",
                    &|spec, _| {
                        let classes = row.as_ref().is_some_and(|row| layout.classes(row).is_ok());
                        floats(spec) && spec.batch_axis().is_some() && classes
                    },
                );
            }
            View::CtcText { output, .. } => {
                expect(*output, "floats [steps, classes] a row", &|spec, axes| floats(spec) && axes == 2);
            }
            View::TokenText { output, .. } => {
                expect(*output, "i32 or i64 [tokens] a row", &|spec, axes| is_token(spec.dtype) && axes == 1);
            }
            View::Detections { boxes, scores, classes, landmarks, .. } => {
                expect(*boxes, "floats [n, 4] a row", &|spec, axes| {
                    floats(spec) && axes == 2 && last(spec, 4)
                });
                expect(*scores, "floats [n] a row", &|spec, axes| floats(spec) && axes == 1);
                if let Some(classes) = classes {
                    expect(*classes, "[n] a row", &|_, axes| axes == 1);
                }
                if let Some(landmarks) = landmarks {
                    let points = "floats [n, points, 2] a row";
                    expect(*landmarks, points, &|spec, axes| floats(spec) && axes == 3 && last(spec, 2));
                }
                let rows = signature.rows_of(*boxes);
                for other in [Some(*scores), *classes, *landmarks].into_iter().flatten() {
                    if signature.rows_of(other) != rows && other < signature.outputs.len() {
                        wrong(
                            "boxes, scores, classes and landmarks must be all batched or all ragged with the \
                             same rows"
                                .to_owned(),
                        );
                    }
                }
            }
        }
    }
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
