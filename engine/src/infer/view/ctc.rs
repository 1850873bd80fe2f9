//! The text of a model that was trained by connectionist temporal classification (CTC): the best class of each step,
//! repeats merged, blanks left out.

use serde_json::{Value, json};

use super::activation::log_of_best;
use super::number::{floats, number};
use crate::infer::extents::described;
use crate::infer::step::CtcAlphabet;
use crate::tensor::Tensor;

/// `{"text", "log_probability"}`, the mean over all steps. With a NaN in the output, both are null.
pub(super) fn text(
    tensor: &Tensor,
    alphabet: &CtcAlphabet,
    labels: Option<&[String]>,
) -> Result<Value, String> {
    let values = floats(tensor, "class scores")?;
    let &[steps, classes] = tensor.shape() else {
        let found = described(tensor.dtype(), tensor.shape());
        return Err(format!("class scores are {found}, expected [steps, classes]"));
    };
    let labels = labels.unwrap_or_default();
    alphabet.fit(Some(classes), labels.len())?;
    if values.iter().any(|value| value.is_nan()) {
        return Ok(json!({ "text": null, "log_probability": null }));
    }
    let (mut text, mut sum, mut before) = (String::new(), 0.0, alphabet.blank);
    for step in values.chunks_exact(classes.max(1)) {
        let class = best(step);
        sum += log_of_best(alphabet.activation, step);
        if class != before && class != alphabet.blank {
            let label = labels.get(class).map_or("", String::as_str);
            text.push_str(if alphabet.space.as_deref() == Some(label) { " " } else { label });
        }
        before = class;
    }
    // No step has no mean.
    let mean = if steps == 0 { f64::NAN } else { sum / steps as f64 };
    Ok(json!({ "text": text.trim(), "log_probability": number(mean as f32) }))
}

/// The class with the greatest number; among equals the lowest.
fn best(step: &[f32]) -> usize {
    let mut best = (0, f32::NEG_INFINITY);
    for (class, value) in step.iter().enumerate() {
        if *value > best.1 {
            best = (class, *value);
        }
    }
    best.0
}
