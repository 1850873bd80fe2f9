//! Views of one tensor: raw values, scores, the best classes, embeddings.

use std::cmp::Ordering;

use serde_json::{Map, Value};

use super::activation::activated;
use super::number::{floats, greatest, number, numbers};
use crate::infer::step::{Reduce, ScoreActivation};
use crate::tensor::{DType, Tensor};

/// The values in nested lists, one level for each axis.
pub(super) fn nested(tensor: &Tensor) -> Value {
    fn lists(shape: &[usize], from: usize, leaf: &dyn Fn(usize) -> Value) -> Value {
        match shape.split_first() {
            None => leaf(from),
            Some((count, rest)) => {
                let step: usize = rest.iter().product();
                (0..*count).map(|place| lists(rest, from + place * step, leaf)).collect()
            }
        }
    }
    let floats = tensor.floats().unwrap_or_default();
    let is_bool = tensor.dtype() == DType::Bool;
    let leaf = |place: usize| match (tensor.dtype(), tensor.integer(place)) {
        (DType::F64, _) => tensor.number(place).map_or(Value::Null, Value::from),
        (_, Some(value)) if is_bool => Value::from(value != 0),
        (_, Some(value)) => Value::from(value),
        (_, None) => floats.get(place).map_or(Value::Null, |value| number(*value)),
    };
    lists(tensor.shape(), 0, &leaf)
}

pub(super) fn scores(
    tensor: &Tensor,
    activation: ScoreActivation,
    reduce: Reduce,
    threshold: Option<f32>,
) -> Result<Value, String> {
    let classes = tensor.shape().last().copied().unwrap_or(1);
    let values = activated(activation, floats(tensor, "scores")?, classes);
    let mut shown = Map::new();
    // An empty list has no maximum, mean or last: the score is null, and so is what follows from it.
    let reduced = match reduce {
        Reduce::All => None,
        Reduce::Max => Some(greatest(&values)),
        Reduce::Mean => {
            let sum: f64 = values.iter().map(|value| f64::from(*value)).sum();
            Some((!values.is_empty()).then_some((sum / values.len() as f64) as f32))
        }
        Reduce::Last => Some(values.last().copied()),
    };
    let decisive = match reduced {
        None => {
            shown.insert("scores".to_owned(), numbers(&values));
            greatest(&values)
        }
        Some(score) => {
            shown.insert("score".to_owned(), score.map_or(Value::Null, number));
            score
        }
    };
    if let Some(threshold) = threshold {
        let known = decisive.filter(|score| !score.is_nan());
        shown.insert("detected".to_owned(), known.map(|score| score >= threshold).into());
    }
    Ok(Value::Object(shown))
}

pub(super) fn top_k(
    tensor: &Tensor,
    activation: ScoreActivation,
    k: usize,
    labels: Option<&[String]>,
) -> Result<Value, String> {
    let values = floats(tensor, "class scores")?;
    if let Some(labels) = labels.filter(|labels| labels.len() != values.len()) {
        return Err(format!(
            "the output has {} classes and the file {} labels; write one label for each class",
            values.len(),
            labels.len()
        ));
    }
    let count = values.len();
    let scores = activated(activation, values, count);
    let mut classes: Vec<(usize, f32)> = scores.iter().copied().enumerate().collect();
    // The best first, NaN last; among equals the lower class first.
    let better = |a: &(usize, f32), b: &(usize, f32)| match (a.1.is_nan(), b.1.is_nan()) {
        (false, false) => b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)),
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        (true, true) => a.0.cmp(&b.0),
    };
    let k = k.min(classes.len());
    if k > 0 && k < classes.len() {
        classes.select_nth_unstable_by(k - 1, better);
    }
    classes.truncate(k);
    classes.sort_unstable_by(better);
    let shown = |(class, score): (usize, f32)| {
        let mut entry = Map::new();
        entry.insert("class".to_owned(), class.into());
        if let Some(label) = labels.and_then(|labels| labels.get(class)) {
            entry.insert("label".to_owned(), label.as_str().into());
        }
        entry.insert("score".to_owned(), number(score));
        Value::Object(entry)
    };
    Ok(classes.into_iter().map(shown).collect())
}

pub(super) fn embedding(tensor: &Tensor, normalize: bool) -> Result<Value, String> {
    let values = floats(tensor, "embeddings")?;
    if !normalize {
        return Ok(numbers(&values));
    }
    let length = values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
    // A vector of zeros has no direction: it stays as it is.
    let length = if length > 0.0 { length } else { 1.0 };
    Ok(values.iter().map(|value| number((f64::from(*value) / length) as f32)).collect())
}
