//! The checks of a step's inputs that do not need its model.

use lockstep_engine::preprocess::Preprocess;

use super::StepReader;
use super::bindings::{BINDINGS, on_missing};
use crate::kinds::{boolean, list, string};
use crate::problem::{did_you_mean, listed};
use crate::reader::Section;
use crate::tensors::{self, Made};

impl StepReader<'_, '_> {
    /// Reads the inputs of a step whose model was not found. Notes all mistakes except those that only its signature shows.
    pub(super) fn unfitted(&self, step: &Section<'_>) {
        let Some(section) = step.table("inputs") else { return };
        for name in section.names() {
            let Some(binding) = section.named(name) else { continue };
            let example = "from = \"…\" with an input or a step's output";
            on_missing(&binding);
            match binding.one_of(&BINDINGS, example) {
                Some("from") => match binding.optional("from", string) {
                    Some(from) => match from.split_once('.') {
                        Some((step, _)) => {
                            binding.skip(&tensors::TEXT_MAKERS);
                            self.step_exists(&binding, &from, step);
                        }
                        None => drop(self.made_of(&binding, &from)),
                    },
                    None => binding.skip(&tensors::MAKERS),
                },
                Some("carry") => drop(binding.optional("carry", string)),
                Some("presence") => drop(binding.optional("presence", list(string))),
                Some(_) => drop(binding.optional("zeros", boolean)),
                None => binding.skip(&tensors::MAKERS),
            }
            binding.finish();
        }
        section.finish();
    }

    fn step_exists(&self, section: &Section<'_>, from: &str, step: &str) {
        let steps = || self.drafts.iter().map(|draft| draft.name.as_str());
        if !steps().any(|name| name == step) {
            let hint = did_you_mean(step, steps());
            section
                .wrong("from", format!("{from:?} names no step {step:?}{hint} (steps: {})", listed(steps())));
        }
    }

    /// The index of an input and its preprocessing.
    pub(super) fn made_of(&self, section: &Section<'_>, from: &str) -> Option<(usize, Preprocess)> {
        let Some(inputs) = self.inputs else {
            // The mistakes of the inputs have been noted; without the inputs, their preprocessing cannot be checked.
            section.skip(&tensors::MAKERS);
            return None;
        };
        let names = || inputs.specs.iter().map(|input| input.name.as_str());
        let Some(place) = names().position(|name| name == from) else {
            let steps = || self.drafts.iter().map(|draft| draft.name.as_str());
            let hint = match steps().find(|step| *step == from) {
                Some(step) => format!("; for a step write an output, as \"{step}.scores\""),
                None => did_you_mean(from, names()),
            };
            section.wrong("from", format!("{from:?} is no input{hint} (inputs: {})", listed(names())));
            section.skip(&tensors::MAKERS);
            return None;
        };
        let made = Made {
            input: from,
            modality: inputs.specs.get(place)?.modality,
            drift: inputs.specs.get(place)?.drift,
            pictures: inputs.specs.get(place)?.pictures,
            join: inputs.align.inputs.get(place)?.join,
            base: self.base,
        };
        Some((place, tensors::read(section, &made)?))
    }
}
