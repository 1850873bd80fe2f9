//! The condition on which a step runs: `[steps.<name>]` `when`.

use lockstep_engine::infer::condition::{
    Constant, Relation, ShownOperand, ShownPath, StepCondition, ValueKind,
};
use lockstep_engine::infer::step::View;

use super::{ReadStep, StepReader};
use crate::problem::{did_you_mean, listed};
use crate::reader::Section;

impl StepReader<'_, '_> {
    /// Finds the values of a condition among the outputs of earlier steps, and notes those that are not there.
    pub(super) fn condition(
        &self,
        step: &Section<'_>,
        condition: &StepCondition,
        earlier: &[Option<ReadStep>],
    ) -> Option<StepCondition<ShownOperand>> {
        for (path, comparison) in condition.values() {
            let fitting = self.operand(path, earlier).and_then(|found| match found {
                Some(operand) => fit(&operand, comparison),
                None => Ok(()),
            });
            if let Err(error) = fitting {
                step.wrong("when", error);
            }
        }
        condition.try_map(&mut |path| self.operand(path, earlier).ok().flatten().ok_or(())).ok()
    }

    /// The value under a path; none if mistakes elsewhere leave it unknown.
    pub(super) fn operand(
        &self,
        path: &ShownPath,
        earlier: &[Option<ReadStep>],
    ) -> Result<Option<ShownOperand>, String> {
        let ShownPath { step: name, output, field } = path;
        let steps = || self.drafts.iter().map(|draft| draft.name.as_str());
        let Some(draft) = steps().position(|step| step == name) else {
            let hint = did_you_mean(name, steps());
            return Err(format!("{path} names no step {name:?}{hint} (steps: {})", listed(steps())));
        };
        let step = self.place.get(&draft).copied();
        let read = step.and_then(|step| earlier.get(step)).and_then(Option::as_ref);
        let (Some(index), Some(read)) = (step, read.filter(|read| read.is_shown)) else { return Ok(None) };
        if read.step.each.is_some() {
            return Err(format!(
                "{path}: {name} runs once per detection and shows a value for each; name a value of a step that runs once for each bundle"
            ));
        }
        let shown = || read.step.outputs.iter().map(|shown| shown.name.as_str());
        let Some(view) = shown().position(|shown| shown == output) else {
            let of_model = &read.step.unit.model.signature.outputs;
            let remedy = match of_model.iter().any(|spec| spec.name == *output) {
                true => format!(
                    "; write {output} = {{ scores = {{ reduce = \"max\" }} }} in [steps.{name}.outputs]"
                ),
                false => did_you_mean(output, shown()),
            };
            return Err(format!(
                "{path}: {name} shows no output {output:?}{remedy} (shown: {})",
                listed(shown())
            ));
        };
        let Some(of_step) = read.step.outputs.get(view).map(|shown| &shown.view) else { return Ok(None) };
        let fields = of_step.fields();
        let found = match field {
            None => of_step.own_field(),
            Some(name) => fields.iter().copied().find(|field| field.name() == name),
        };
        let field = found.ok_or_else(|| match field {
            Some(field) if !fields.is_empty() => {
                let names = || fields.iter().map(|field| field.name());
                let hint = did_you_mean(field, names());
                format!("{path}: {name}.{output} has no value {field:?}{hint} (values: {})", listed(names()))
            }
            _ => format!("{name}.{output} is {}", many(of_step, &format!("{name}.{output}"))),
        })?;
        Ok(Some(ShownOperand { path: path.clone(), step: index, view, field }))
    }
}

/// The description of an output of several values, and the remedy.
fn many(view: &View, path: &str) -> String {
    match view {
        View::Detections { .. } | View::Anchors { .. } => {
            format!("a list of detections; write {path}.count, their number")
        }
        View::TopK { .. } => {
            format!("a list of classes; write {path}.label or {path}.score, those of the best")
        }
        View::Scores { .. } => {
            "a list of scores; write reduce = \"max\" in its view, or threshold = 0.5 and compare detected"
                .to_owned()
        }
        View::Raw { .. } | View::Embedding { .. } | View::CtcText { .. } | View::TokenText { .. } => {
            "a list of numbers; show it as scores = { reduce = \"max\" } to compare it".to_owned()
        }
    }
}

/// Checks that a value can be compared as the condition says.
fn fit(operand: &ShownOperand, comparison: Option<(Relation, &Constant)>) -> Result<(), String> {
    let kind = operand.field.kind();
    match (kind, comparison) {
        (ValueKind::Flag, None)
        | (ValueKind::Number, Some((_, Constant::Number(_))))
        | (ValueKind::Text, Some((Relation::Equal | Relation::Unequal, Constant::Text(_)))) => Ok(()),
        (ValueKind::Flag, Some(_)) => {
            Err(format!("{operand} is {kind}; write it alone, or as not {operand}"))
        }
        (ValueKind::Number, None) => Err(format!("{operand} is {kind}; compare it, as {operand} >= 0.5")),
        (ValueKind::Text, None) => Err(format!("{operand} is {kind}; compare it, as {operand} != ''")),
        (ValueKind::Number, Some((_, constant @ Constant::Text(_)))) => {
            Err(format!("{operand} is {kind}, but {constant} is a text; write a number without quotes"))
        }
        (ValueKind::Text, Some((_, constant @ Constant::Number(_)))) => {
            Err(format!("{operand} is {kind}, but {constant} is a number; write '{constant}'"))
        }
        (ValueKind::Text, Some((relation, Constant::Text(_)))) => {
            Err(format!("{operand} is {kind}, which {relation} cannot compare; write == or !="))
        }
    }
}
