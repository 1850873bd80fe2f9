//! The models and the inputs of each: `[models]` and `[steps]`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lockstep_engine::infer::check::{StepPart, check_known};
use lockstep_engine::infer::condition::StepCondition;
use lockstep_engine::infer::load_model::{Device, Optimize};
use lockstep_engine::infer::step::{Binding, Care, OnMissing, Step};
use lockstep_engine::preprocess::Preprocess;
use lockstep_engine::preprocess::spec::ImageRegion;

use super::batching::{MOST, batch};
use super::device::{device, provider};
use super::inputs::{Inputs, check_name};
use super::kinds::{count, list, path, string, word};
use super::models::{Describe, Repository, RepositoryModel, model};
use super::reader::Section;
use super::residency::residency;
use super::scaling::MOST_INSTANCES;
use super::supervision::{care, like_its_model};
use super::tensors;
use super::{order, outputs};

/// A step as written: references to other steps are still names.
struct Draft<'a> {
    section: Section<'a>,
    name: String,
    found: Option<RepositoryModel>,
    care: Care,
    /// The condition on which it runs.
    when: Option<StepCondition>,
}

/// Reads `[models]` and `[steps]`. The steps come sorted, each after the steps that it waits for.
pub(super) fn read(
    root: &Section<'_>,
    inputs: Option<&Inputs>,
    base: &Path,
    describe: Describe<'_>,
) -> Vec<Step> {
    let folder = repository(root, base);
    let repository = Repository { folder: &folder, describe };
    let example = "[steps.faces] with model = \"faces\"";
    let Some(section) = root.required_table("steps", example) else { return Vec::new() };
    if section.names().is_empty() {
        section.wrong_here(format!("has no steps; write {example}"));
    }
    let mut drafts = Vec::new();
    for name in section.names() {
        check_name(&section, name, "a step");
        if let Some(step) = section.named(name) {
            let found = model(&step, repository);
            let care = care(&step, found.as_ref(), |fallback| model(fallback, repository));
            let when = condition(&step);
            drafts.push(Draft { section: step, name: name.to_owned(), found, care, when });
        }
    }
    let awaits: Vec<Vec<usize>> = drafts.iter().map(|draft| waits_for(draft, &drafts)).collect();
    let mut is_sorted = true;
    let order = order::sorted(&awaits).unwrap_or_else(|cycle| {
        is_sorted = false;
        let names: Vec<&str> =
            cycle.iter().filter_map(|step| drafts.get(*step)).map(|draft| draft.name.as_str()).collect();
        if let Some(draft) = cycle.first().and_then(|step| drafts.get(*step)) {
            draft.section.wrong_here(format!(
                "waits for itself through {}; take from steps only that do not wait for it, and compare only those in when",
                names.join(" -> ")
            ));
        }
        (0..drafts.len()).collect()
    });
    let place: BTreeMap<usize, usize> = order.iter().enumerate().map(|(new, old)| (*old, new)).collect();
    let reader = StepReader { drafts: &drafts, place: &place, inputs, base };
    let mut steps: Vec<Option<ReadStep>> = Vec::with_capacity(order.len());
    for draft in order.iter().filter_map(|step| drafts.get(*step)) {
        steps.push(reader.step(draft, &steps));
    }
    if is_sorted {
        check_shapes(&mut steps, &section);
    }
    steps.into_iter().flatten().map(|read| read.step).collect()
}

/// A step that could be read.
struct ReadStep {
    step: Step,
    /// True if its bindings have no mistake yet: a shape that does not fit would be noted twice.
    is_bound: bool,
    /// True if its outputs have no mistake yet.
    is_shown: bool,
}

/// Notes the shapes that do not fit across the steps that could be read, and sets the known extents of each.
fn check_shapes(steps: &mut [Option<ReadStep>], section: &Section<'_>) {
    let known: Vec<Option<&Step>> = steps.iter().map(|read| read.as_ref().map(|read| &read.step)).collect();
    let (extents, mismatches) = check_known(&known, &tensors::row_of);
    for mismatch in mismatches {
        let read = steps.get(mismatch.step).and_then(Option::as_ref);
        let is_new = read.is_some_and(|read| match mismatch.part {
            StepPart::Inputs => read.is_bound,
            StepPart::Outputs => read.is_shown,
        });
        if is_new {
            section.wrong_here(mismatch.what);
        }
    }
    for (read, extents) in steps.iter_mut().zip(extents) {
        if let Some(ReadStep { step, .. }) = read {
            step.unit.model.extents = extents;
            like_its_model(&mut step.care, &step.unit.model);
        }
    }
}

fn repository(root: &Section<'_>, base: &Path) -> PathBuf {
    let default = base.join("../models");
    let Some(section) = root.table("models") else { return default };
    let repository = section.or("repository", default, |value| path(value).map(|path| base.join(path)));
    section.finish();
    repository
}

/// Reads the text of a step's condition.
fn condition(step: &Section<'_>) -> Option<StepCondition> {
    let text = step.optional("when", string)?;
    StepCondition::parse(&text).map_err(|error| step.wrong("when", error)).ok()
}

/// The drafts that a draft waits for, by the text of its bindings and its condition. Mistakes in them are noted later.
fn waits_for(draft: &Draft<'_>, drafts: &[Draft<'_>]) -> Vec<usize> {
    let place = |step: &str| drafts.iter().position(|draft| draft.name == step);
    let compared = draft.when.iter().flat_map(StepCondition::values);
    let mut steps: Vec<usize> = compared.filter_map(|(path, _)| place(&path.step)).collect();
    let each = draft.section.value("each").and_then(|value| value.get_ref().as_str());
    steps.extend(each.and_then(|name| place(name.split_once('.')?.0)));
    if let Some(inputs) = draft.section.table("inputs") {
        let sources = inputs.names().into_iter().filter_map(|name| inputs.text_at(name, "from"));
        steps.extend(sources.filter_map(|source| place(source.split_once('.')?.0)));
    }
    steps
}

mod bindings;
mod condition;
mod each;
mod unfitted;

struct StepReader<'a, 'd> {
    drafts: &'d [Draft<'a>],
    /// Each draft's index in the pipeline, by its index here.
    place: &'d BTreeMap<usize, usize>,
    inputs: Option<&'d Inputs>,
    base: &'d Path,
}

impl StepReader<'_, '_> {
    /// Reads one step. `earlier` are the steps before it in the pipeline.
    fn step(&self, draft: &Draft<'_>, earlier: &[Option<ReadStep>]) -> Option<ReadStep> {
        let section = &draft.section;
        let each = self.each(section, earlier);
        let max_batch = draft.found.as_ref().and_then(|found| found.signature.max_batch);
        let instances = section.or("instances", 1, count(1..=MOST_INSTANCES));
        let device = section.or("device", Device::Auto, device);
        let provider = provider(section, draft.found.as_ref());
        let threads = section.or("threads", 1, count(1..=1024));
        let most = max_batch.unwrap_or(MOST).max(1);
        let warm_up = section.or("warm_up", vec![1], list(count(1..=most as u64)));
        let optimize = section.or("optimize", Optimize::None, word(&Optimize::WORDS));
        let residency = residency(section);
        let batch = batch(section, max_batch);
        let when = draft.when.as_ref().and_then(|when| self.condition(section, when, earlier));
        let revises = self.inputs.is_some_and(|inputs| inputs.align.revise.revises());
        let Some(found) = &draft.found else {
            // Without a signature only mistakes that do not depend on it can be noted.
            self.unfitted(section);
            outputs::read(section, None, self.base, true, revises);
            section.finish();
            return None;
        };
        let before = section.problem_count();
        let bindings = self.bindings(section, &found.signature, each.as_ref(), earlier);
        let is_bound = section.problem_count() == before;
        let has_image = bindings.iter().any(|binding| {
            // In an image that is turned, coordinates of the source cannot be told.
            let image = |preprocess: &Preprocess| match preprocess {
                Preprocess::Image(spec) => !matches!(spec.region, ImageRegion::Aligned(_)),
                _ => false,
            };
            // A binding that could not be read may be one.
            binding.is_none()
                || matches!(binding, Some(Binding::Input { preprocess, missing: OnMissing::Skip, .. }) if image(preprocess))
        });
        let before = section.problem_count();
        let outputs = outputs::read(section, Some(&found.signature), self.base, has_image, revises);
        let is_shown = section.problem_count() == before;
        section.finish();
        if optimize != Optimize::None && found.backend != "libtorch" {
            let backend = &found.backend;
            section.wrong(
                "optimize",
                format!("is for TorchScript models, and {backend} runs this one; remove it"),
            );
        }
        let mut unit = found.unit(device, provider, threads, warm_up);
        (unit.model.optimize, unit.residency) = (optimize, residency);
        let step = Step {
            name: draft.name.clone(),
            unit,
            instances,
            batch,
            when,
            bindings: bindings.into_iter().collect::<Option<_>>()?,
            outputs,
            care: draft.care.clone(),
            each,
        };
        self.check_each(section, &step, earlier);
        Some(ReadStep { step, is_bound, is_shown })
    }
}
