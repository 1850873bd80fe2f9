//! Steps that run once per detection: `each`, and the crops of their images.

use lockstep_engine::infer::signature::Dim;
use lockstep_engine::infer::step::{Binding, EachDetection, OutputView, Step, View};
use lockstep_engine::position::InputId;
use lockstep_engine::preprocess::Preprocess;
use lockstep_engine::preprocess::spec::{ImageRegion, ImageSpec};

use super::{ReadStep, StepReader};
use crate::kinds::{count, string};
use crate::problem::{did_you_mean, listed};
use crate::reader::Section;
use crate::tensors::LEAST_POINTS;

/// The keys of a detection's entry in results.
const ENTRY_KEYS: [&str; 2] = ["index", "box"];

impl StepReader<'_, '_> {
    /// Reads `each` and `each_max`. `read` are the steps before this one.
    pub(super) fn each(&self, step: &Section<'_>, read: &[Option<ReadStep>]) -> Option<EachDetection> {
        let name = step.optional("each", string);
        let most = step.or("each_max", EachDetection::MOST, count(1..=10_000));
        if step.has("each_max") && !step.has("each") {
            step.wrong("each_max", "has no effect without each; write each = \"faces.faces\" or remove it");
        }
        let name = name?;
        let Some((from, view)) = name.split_once('.') else {
            let example = format!("{name}.{name}");
            step.wrong("each", format!("{name:?} names no view; write a step and its view, as {example:?}"));
            return None;
        };
        let steps = || self.drafts.iter().map(|draft| draft.name.as_str());
        let Some(draft) = steps().position(|step| step == from) else {
            let hint = did_you_mean(from, steps());
            step.wrong("each", format!("{name:?} names no step {from:?}{hint} (steps: {})", listed(steps())));
            return None;
        };
        let place = *self.place.get(&draft)?;
        // The mistakes of a step that could not be read have been noted.
        let source = &read.get(place)?.as_ref()?.step;
        if source.each.is_some() {
            step.wrong(
                "each",
                format!("{from} runs once per detection itself; name a step that runs once for each bundle"),
            );
            return None;
        }
        let shows =
            |shown: &&OutputView| matches!(shown.view, View::Detections { .. } | View::Anchors { .. });
        let views = || source.outputs.iter().filter(shows).map(|shown| shown.name.as_str());
        let found = source.outputs.iter().position(|shown| shown.name == view && shows(&shown));
        if found.is_none() {
            let hint = did_you_mean(view, views());
            step.wrong(
                "each",
                format!(
                    "{name:?} shows no detections{hint}; write {view} = {{ detections = {{ … }} }} in [steps.{from}.outputs] \
                     (detections there: {})",
                    listed(views())
                ),
            );
        }
        Some(EachDetection { step: place, view: found?, most })
    }

    /// Checks the inputs and views of a step against the detections for which it runs. `read` are the steps before it.
    pub(super) fn check_each(&self, section: &Section<'_>, step: &Step, read: &[Option<ReadStep>]) {
        let inputs: Vec<&str> =
            self.inputs.iter().flat_map(|inputs| &inputs.specs).map(|input| input.name.as_str()).collect();
        let has_each = section.has("each");
        for (input, place, spec) in images(step) {
            let tensor =
                step.unit.model.signature.inputs.get(place).map_or("?", |tensor| tensor.name.as_str());
            let key = match spec.region {
                ImageRegion::Whole => continue,
                ImageRegion::Crop(_) => "crop",
                ImageRegion::Aligned(_) => "align",
            };
            let wrong = |message: String| section.wrong_at(&["inputs", tensor, "image", key], message);
            if !has_each {
                wrong(
                    "has no effect without each; write each = \"faces.faces\" with a view of detections"
                        .to_owned(),
                );
            } else if let Some((each, source)) = source(step, read) {
                let name = |input: InputId| inputs.get(input.index()).copied().unwrap_or("?");
                let other = images(source).map(|(input, ..)| input).find(|seen| *seen != input);
                if let Some(other) = other {
                    wrong(format!(
                        "is cut out of {}, but {} finds its detections in {}; write from = {:?}",
                        name(input),
                        source.name,
                        name(other),
                        name(other)
                    ));
                }
                if let ImageRegion::Aligned(aligned) = &spec.region
                    && aligned.points.len() >= LEAST_POINTS
                    && let Err(message) = landmarks(source, each, aligned.points.len())
                {
                    wrong(message);
                }
            }
        }
        if !has_each {
            return;
        }
        if step.is_stateful() {
            section.wrong(
                "each",
                "runs the step once per detection, but it carries state from bundle to bundle; write { zeros = true } \
                 instead of carry",
            );
        }
        let has_row = step.bindings.iter().any(|binding| matches!(binding, Binding::DetectionRow { .. }));
        if !has_row && images(step).all(|(.., spec)| spec.region == ImageRegion::Whole) {
            section.wrong(
                "each",
                "has no effect: no input depends on the detection; write crop = {} in the image of an input",
            );
        }
        for name in
            step.outputs.iter().map(|shown| shown.name.as_str()).filter(|name| ENTRY_KEYS.contains(name))
        {
            let message = format!("{name:?} is a key of every detection's entry; choose another name");
            section.wrong_at(&["outputs", name], message);
        }
    }
}

/// The inputs of a step that are images: input, place among the model's inputs, and settings.
fn images(step: &Step) -> impl Iterator<Item = (InputId, usize, &ImageSpec)> {
    step.bindings.iter().enumerate().filter_map(|(place, binding)| match binding {
        Binding::Input { input, preprocess: Preprocess::Image(spec), .. } => Some((*input, place, spec)),
        _ => None,
    })
}

fn source<'a>(step: &'a Step, read: &'a [Option<ReadStep>]) -> Option<(&'a EachDetection, &'a Step)> {
    let each = step.each.as_ref()?;
    Some((each, &read.get(each.step)?.as_ref()?.step))
}

/// Checks that the detections have landmarks, and as many as there are points.
fn landmarks(source: &Step, each: &EachDetection, points: usize) -> Result<(), String> {
    let shown = source.outputs.get(each.view);
    let Some(View::Detections { landmarks: Some(output), .. }) = shown.map(|shown| &shown.view) else {
        let view = shown.map_or("?", |shown| shown.name.as_str());
        return Err(format!(
            "needs landmarks, and {}.{view} has none; write landmarks = \"…\" in that view, or crop instead of align",
            source.name
        ));
    };
    let spec = source.unit.model.signature.outputs.get(*output);
    // The last two axes are points, and x and y.
    let dim = spec.and_then(|spec| spec.shape.iter().rev().nth(1));
    match dim {
        Some(Dim::Fixed(count)) if *count != points => Err(format!(
            "has {points} points, and {} gives {count} landmarks; write one point for each landmark",
            source.name
        )),
        _ => Ok(()),
    }
}
