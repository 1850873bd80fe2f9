//! The source of each of a model's inputs: `[steps.<name>.inputs]`.

use lockstep_engine::align::Join;
use lockstep_engine::infer::condition::{ShownPath, ValueKind};
use lockstep_engine::infer::extents::Extents;
use lockstep_engine::infer::signature::{Dim, Signature, TensorSpec};
use lockstep_engine::infer::step::{Binding, BindingSource, EachDetection, OnMissing};
use lockstep_engine::ingest::{OnDrift, PictureCare};
use lockstep_engine::media::Modality;
use lockstep_engine::position::InputId;
use lockstep_engine::preprocess::Preprocess;

use super::{ReadStep, StepReader};
use crate::kinds::{boolean, list, string, word};
use crate::problem::{did_you_mean, listed};
use crate::reader::Section;
use crate::tensors::{self, Made, TEXT_MAKERS};

/// The keys of a binding, of which it has one.
pub(super) const BINDINGS: [&str; 4] = ["from", "carry", "zeros", "presence"];

impl StepReader<'_, '_> {
    /// Reads the source of each input. `each` are the detections for each of which the step runs, and `earlier` the steps
    /// before it.
    pub(super) fn bindings(
        &self,
        step: &Section<'_>,
        signature: &Signature,
        each: Option<&EachDetection>,
        earlier: &[Option<ReadStep>],
    ) -> Vec<Option<Binding>> {
        let wanted = || signature.inputs.iter().map(|spec| spec.name.as_str());
        let example = format!(
            "[{}.inputs] with one entry for each of the model's inputs: {}",
            step.path(),
            listed(wanted())
        );
        let Some(section) = step.required_table("inputs", &example) else {
            return signature.inputs.iter().map(|_| None).collect();
        };
        let mut extents = Extents::default();
        let bindings: Vec<Option<Binding>> = signature
            .inputs
            .iter()
            .map(|spec| {
                if !section.has(&spec.name) {
                    let hint = remedy(spec, signature);
                    section.wrong(
                        &spec.name,
                        format!("is missing, and the model takes {} as {spec}; write {hint}", spec.name),
                    );
                    return None;
                }
                let binding = section.named(&spec.name)?;
                let read = self.binding(&binding, spec, (signature, each, earlier), &mut extents);
                binding.finish();
                read
            })
            .collect();
        for (binding, spec) in bindings.iter().zip(&signature.inputs) {
            let Some(Binding::Presence { inputs }) = binding else { continue };
            let named =
                |input: &usize| Some((bindings.get(*input)?.as_ref()?, signature.inputs.get(*input)?));
            let without = inputs.iter().filter_map(named).find(|(binding, _)| binding.source().is_none());
            if let Some((_, other)) = without {
                let message = format!(
                    "names {:?}, which is never missing: it has no from; remove it from the list",
                    other.name
                );
                section.wrong_at(&[&spec.name, "presence"], message);
            }
        }
        section.finish();
        let stateful = bindings.iter().any(|binding| matches!(binding, Some(Binding::State { .. })));
        if stateful && self.inputs.is_some_and(|inputs| inputs.align.revise.revises()) {
            section.wrong_here(
                "carries state from bundle to bundle, so no bundle may pass it twice, but [align] has allowed_lateness or \
                 emit = \"early-and-final\"; remove those, or write { zeros = true } instead of carry",
            );
        }
        if stateful && step.has("when") {
            step.wrong(
                "when",
                "waits for another step, whose batches do not keep the order of event time, but this step carries state from \
                 bundle to bundle in that order; remove when, or write { zeros = true } instead of carry",
            );
        }
        let takes_from_step =
            |binding: &Binding| matches!(binding.source(), Some((BindingSource::Step(_), _)));
        let chained = bindings.iter().flatten().any(takes_from_step);
        if stateful && chained {
            section.wrong_here(
                "carries state from bundle to bundle in the order of event time, but also takes from another step, \
                 whose batches do not keep that order; take from inputs only, or write { zeros = true } instead of \
                 carry",
            );
        }
        bindings
    }

    fn binding(
        &self,
        section: &Section<'_>,
        spec: &TensorSpec,
        (signature, each, earlier): (&Signature, Option<&EachDetection>, &[Option<ReadStep>]),
        extents: &mut Extents,
    ) -> Option<Binding> {
        let missing = on_missing(section);
        match section.one_of(&BINDINGS, &remedy(spec, signature))? {
            "from" => {
                let from = section.optional("from", string)?;
                match from.split_once('.') {
                    Some(_) if TEXT_MAKERS.iter().any(|maker| section.has(maker)) => {
                        self.bind_text(section, spec, &from, (missing, earlier), extents)
                    }
                    Some((step, output)) => {
                        let binding = self.bind_output(section, spec, &from, (step, output), each)?;
                        if section.has("missing") && matches!(binding, Binding::DetectionRow { .. }) {
                            section.wrong("missing", "has no effect: each detection has its row; remove it");
                        }
                        Some(with_missing(binding, missing))
                    }
                    None => {
                        let binding = self.bind_input(section, spec, &from, missing, extents)?;
                        if section.has("missing") && each.is_some() && shows_detection(&binding) {
                            section.wrong(
                                "missing",
                                "has no effect: without this image there are no detections; remove it",
                            );
                        }
                        Some(binding)
                    }
                }
            }
            "carry" => {
                let name = section.optional("carry", string)?;
                let names = || signature.outputs.iter().map(|spec| spec.name.as_str());
                let Some(output) = names().position(|other| other == name) else {
                    let hint = did_you_mean(&name, names());
                    section.wrong(
                        "carry",
                        format!("{name:?} is no output of the model{hint} (outputs: {})", listed(names())),
                    );
                    return None;
                };
                let declared =
                    signature.state.iter().any(|state| state.input == spec.name && state.output == name);
                if !declared {
                    section.wrong(
                        "carry",
                        format!(
                            "{name:?} is no state: the model's model.toml has no [[state]] with input = {:?} and output = \
                             {name:?}; write {}",
                            spec.name,
                            remedy(spec, signature)
                        ),
                    );
                }
                Some(Binding::State { output })
            }
            "presence" => presence(section, spec, signature),
            _ => {
                if section.optional("zeros", boolean)? {
                    Some(Binding::Zeros)
                } else {
                    section.wrong("zeros", "is false; write true, or another binding");
                    None
                }
            }
        }
    }

    fn bind_input(
        &self,
        section: &Section<'_>,
        spec: &TensorSpec,
        from: &str,
        missing: OnMissing,
        extents: &mut Extents,
    ) -> Option<Binding> {
        let (place, preprocess) = self.made_of(section, from)?;
        let (dtype, row) = tensors::row_of(&preprocess);
        let row: Vec<Option<usize>> = row.into_iter().map(Some).collect();
        if let Err(mismatch) = extents.fit_row("input", spec, dtype, &row) {
            section.wrong_here(mismatch.to_string());
        }
        Some(Binding::Input { input: InputId(u16::try_from(place).ok()?), preprocess, missing })
    }

    /// Reads the tokenization of a text that an earlier step shows.
    fn bind_text(
        &self,
        section: &Section<'_>,
        spec: &TensorSpec,
        from: &str,
        (missing, earlier): (OnMissing, &[Option<ReadStep>]),
        extents: &mut Extents,
    ) -> Option<Binding> {
        let made = Made {
            input: from,
            modality: Modality::Text,
            join: Join::Pivot,
            drift: OnDrift::default(),
            pictures: PictureCare::default(),
            base: self.base,
        };
        let preprocess = tensors::read(section, &made);
        let mut names = from.split('.').map(str::to_owned);
        let path = ShownPath { step: names.next()?, output: names.next()?, field: names.next() };
        let text = match self.operand(&path, earlier) {
            Ok(Some(text)) if text.field.kind() == ValueKind::Text => text,
            Ok(found) => {
                let kind = found.map(|found| found.field.kind());
                kind.inspect(|kind| section.wrong("from", format!("{path} is {kind}; name a text")));
                return None;
            }
            Err(error) => {
                section.wrong("from", error);
                return None;
            }
        };
        let preprocess = preprocess?;
        let (dtype, row) = tensors::row_of(&preprocess);
        let row: Vec<Option<usize>> = row.into_iter().map(Some).collect();
        if let Err(mismatch) = extents.fit_row("input", spec, dtype, &row) {
            section.wrong_here(mismatch.to_string());
        }
        Some(Binding::ShownText { text, preprocess, missing })
    }

    fn bind_output(
        &self,
        section: &Section<'_>,
        spec: &TensorSpec,
        from: &str,
        (step, output): (&str, &str),
        each: Option<&EachDetection>,
    ) -> Option<Binding> {
        let steps = || self.drafts.iter().map(|draft| draft.name.as_str());
        let Some(draft) = steps().position(|name| name == step) else {
            let hint = did_you_mean(step, steps());
            section
                .wrong("from", format!("{from:?} names no step {step:?}{hint} (steps: {})", listed(steps())));
            return None;
        };
        if self.drafts.get(draft)?.section.has("each") {
            section.wrong(
                "from",
                format!(
                    "{from:?} has a value for each detection, since {step} runs once per detection; take from a step that \
                     runs once for each bundle"
                ),
            );
            return None;
        }
        let source = &self.drafts.get(draft)?.found.as_ref()?.signature;
        let names = || source.outputs.iter().map(|spec| spec.name.as_str());
        let Some(place) = names().position(|name| name == output) else {
            let hint = did_you_mean(output, names());
            section.wrong(
                "from",
                format!(
                    "{from:?} is unknown: {step} has no output {output:?}{hint} (outputs: {})",
                    listed(names())
                ),
            );
            return None;
        };
        let gives = source.outputs.get(place)?;
        let row = |spec: &TensorSpec| -> Vec<Option<usize>> {
            let batch = spec.batch_axis();
            let rest = spec.shape.iter().enumerate().filter(|(axis, _)| Some(*axis) != batch);
            rest.map(|(_, dim)| if let Dim::Fixed(extent) = dim { Some(*extent) } else { None }).collect()
        };
        let place_of_step = *self.place.get(&draft)?;
        // A ragged output of the step that finds the detections has a row for each.
        let of_detection =
            gives.batch_axis().is_none() && each.is_some_and(|each| each.step == place_of_step);
        let have: Vec<_> = row(gives).into_iter().skip(usize::from(of_detection)).collect();
        let want = row(spec);
        let fits = gives.dtype == spec.dtype
            && have.len() == want.len()
            && have.iter().zip(&want).all(|(a, b)| a.is_none() || b.is_none() || a == b);
        if gives.batch_axis().is_none() && !of_detection {
            section.wrong(
                "from",
                format!(
                    "{from:?} is {gives}, which has no row for each bundle; take an output with a batch axis"
                ),
            );
        } else if !fits {
            section.wrong(
                "from",
                format!(
                    "{from:?} is {gives}, but the model's input {} takes {spec}; take an output of that type and \
                     shape",
                    spec.name
                ),
            );
        }
        Some(match of_detection {
            true => Binding::DetectionRow { step: place_of_step, output: place },
            false => Binding::Output { step: place_of_step, output: place, missing: OnMissing::default() },
        })
    }
}

fn with_missing(binding: Binding, missing: OnMissing) -> Binding {
    match binding {
        Binding::Output { step, output, .. } => Binding::Output { step, output, missing },
        other => other,
    }
}

/// True for an image that is cut out by a detection.
fn shows_detection(binding: &Binding) -> bool {
    matches!(binding, Binding::Input { preprocess: Preprocess::Image(spec), .. } if spec.region.shows_detection())
}

/// The treatment of bundles in which a binding's source is missing.
pub(super) fn on_missing(section: &Section<'_>) -> OnMissing {
    let words = [("skip", OnMissing::Skip), ("zeros", OnMissing::Zeros)];
    let missing = section.or("missing", OnMissing::default(), word(&words));
    if section.has("missing") && !section.has("from") {
        section.wrong("missing", "has no effect without from; remove it");
    }
    missing
}

/// The mask of the presence of other inputs.
fn presence(section: &Section<'_>, spec: &TensorSpec, signature: &Signature) -> Option<Binding> {
    let names = section.optional("presence", list(string))?;
    if names.is_empty() {
        section.wrong("presence", "names no input of the model; write presence = [\"…\"]");
    }
    let others = || signature.inputs.iter().map(|spec| spec.name.as_str()).filter(|name| *name != spec.name);
    let mut inputs = Vec::new();
    for (place, name) in names.iter().enumerate() {
        let found = signature.inputs.iter().position(|other| other.name == *name && *name != spec.name);
        if found.is_none() {
            let hint = did_you_mean(name, others());
            let message =
                format!("{name:?} is no other input of the model{hint} (inputs: {})", listed(others()));
            section.wrong("presence", message);
        }
        if names.iter().take(place).any(|before| before == name) {
            section.wrong("presence", format!("has {name:?} twice; remove one of them"));
        }
        inputs.extend(found);
    }
    (inputs.len() == names.len()).then_some(Binding::Presence { inputs })
}

/// The text to write for an input of a model.
fn remedy(spec: &TensorSpec, signature: &Signature) -> String {
    match signature.state.iter().find(|state| state.input == spec.name) {
        Some(state) => format!(
            "{0} = {{ carry = {1:?} }} to carry it from bundle to bundle, or {0} = {{ zeros = true }}",
            spec.name, state.output
        ),
        None => format!("{} = {{ from = \"…\" }} with an input or a step's output", spec.name),
    }
}
