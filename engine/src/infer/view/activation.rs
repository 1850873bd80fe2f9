//! Sigmoid and softmax: scores from a model's numbers.

use std::borrow::Cow;

use super::number::greatest;
use crate::infer::step::ScoreActivation;

/// The scores of a model's numbers. The last axis has `classes` of them. A softmax with a NaN among its numbers is NaN
/// as a whole.
pub(super) fn activated(
    activation: ScoreActivation,
    values: Cow<'_, [f32]>,
    classes: usize,
) -> Cow<'_, [f32]> {
    match activation {
        ScoreActivation::Identity => values,
        ScoreActivation::Sigmoid => Cow::Owned(values.iter().copied().map(sigmoid).collect()),
        ScoreActivation::Softmax => Cow::Owned(values.chunks(classes.max(1)).flat_map(softmax).collect()),
    }
}

fn sigmoid(value: f32) -> f32 {
    (1.0 / (1.0 + (-f64::from(value)).exp())) as f32
}

/// The logarithm of the greatest number's probability. It is not finite if that has no meaning.
pub(super) fn log_of_best(activation: ScoreActivation, values: &[f32]) -> f64 {
    let most = f64::from(greatest(values).unwrap_or(f32::NAN));
    match activation {
        ScoreActivation::Identity => most.ln(),
        ScoreActivation::Sigmoid => f64::from(sigmoid(most as f32)).ln(),
        ScoreActivation::Softmax => {
            -values.iter().map(|value| (f64::from(*value) - most).exp()).sum::<f64>().ln()
        }
    }
}

/// `exp(x - max) / sum`, which cannot overflow.
fn softmax(values: &[f32]) -> Vec<f32> {
    let most = f64::from(greatest(values).unwrap_or(0.0));
    let powers: Vec<f64> = values.iter().map(|value| (f64::from(*value) - most).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| (power / sum) as f32).collect()
}
