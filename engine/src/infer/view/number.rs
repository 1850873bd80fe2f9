//! Numbers of results, and of the tensors that they come from.

use std::borrow::Cow;

use serde_json::Value;

use crate::tensor::Tensor;

/// The shortest decimal that reads back as the same f32; `null` for numbers that JSON cannot express.
pub(super) fn number(value: f32) -> Value {
    if !value.is_finite() {
        return Value::Null;
    }
    // As f64 the number would be written with the digits of its f32 rounding error: 0.10000000149011612.
    value.to_string().parse::<f64>().map_or(Value::Null, Value::from)
}

/// A coordinate in pixels, to a hundredth.
pub(super) fn pixels(value: f64) -> Value {
    if !value.is_finite() {
        return Value::Null;
    }
    Value::from((value * 100.0).round() / 100.0)
}

/// A list of numbers.
pub(super) fn numbers(values: &[f32]) -> Value {
    values.iter().copied().map(number).collect()
}

/// The greatest number, ignoring NaN.
pub(super) fn greatest(values: &[f32]) -> Option<f32> {
    values.iter().copied().filter(|value| !value.is_nan()).max_by(f32::total_cmp)
}

/// The values of a floating-point tensor.
pub(super) fn floats<'a>(tensor: &'a Tensor, what: &str) -> Result<Cow<'a, [f32]>, String> {
    tensor.floats().ok_or_else(|| format!("{what} are {}, expected f32, f16, bf16 or f64", tensor.dtype()))
}
