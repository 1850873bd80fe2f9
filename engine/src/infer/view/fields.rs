//! The single values that a view shows, for conditions.

use serde_json::Value;

use super::LabelledView;
use crate::infer::condition::{ShownField, ShownValue, ValueKind};
use crate::infer::rows::StepOutput;
use crate::infer::step::{Reduce, View};
use crate::preprocess::Placement;

impl View {
    /// The single values that it shows.
    pub fn fields(&self) -> Vec<ShownField> {
        let optional = |field, is_there: bool| is_there.then_some(field);
        match self {
            Self::Scores { reduce, threshold, .. } => [
                optional(ShownField::Score, *reduce != Reduce::All),
                optional(ShownField::Detected, threshold.is_some()),
            ]
            .into_iter()
            .flatten()
            .collect(),
            Self::TopK { labels, .. } => optional(ShownField::BestLabel, labels.is_some())
                .into_iter()
                .chain([ShownField::BestClass, ShownField::BestScore])
                .collect(),
            Self::Detections { .. } | Self::Anchors { .. } => vec![ShownField::Count],
            Self::CtcText { .. } => vec![ShownField::Text, ShownField::LogProbability],
            Self::TokenText { .. } => vec![ShownField::Text],
            Self::Raw { .. } | Self::Embedding { .. } => Vec::new(),
        }
    }

    /// The value that the output's own name stands for, if there is one: its only score, or its text.
    pub fn own_field(&self) -> Option<ShownField> {
        let own = |field: &ShownField| matches!(field, ShownField::Score | ShownField::Text);
        self.fields().into_iter().find(own)
    }
}

impl LabelledView {
    /// A single value of what the view shows; none if the result has null in its place.
    ///
    /// # Errors
    /// As [`Self::show`].
    pub fn value(
        &self,
        field: ShownField,
        outputs: &StepOutput,
        placement: Option<&Placement>,
    ) -> Result<Option<ShownValue>, String> {
        Ok(pick(field, &self.show(outputs, placement)?))
    }
}

/// The value of a field in what a view shows; none for null, and for the best of no classes.
fn pick(field: ShownField, shown: &Value) -> Option<ShownValue> {
    let value = match field {
        ShownField::Count => return Some(ShownValue::Number(shown.as_array()?.len() as f64)),
        ShownField::BestClass | ShownField::BestLabel | ShownField::BestScore => {
            shown.get(0)?.get(field.name())?
        }
        ShownField::Score | ShownField::Detected | ShownField::Text | ShownField::LogProbability => {
            shown.get(field.name())?
        }
    };
    match field.kind() {
        ValueKind::Number => value.as_f64().map(ShownValue::Number),
        ValueKind::Text => value.as_str().map(|text| ShownValue::Text(text.to_owned())),
        ValueKind::Flag => value.as_bool().map(ShownValue::Flag),
    }
}
