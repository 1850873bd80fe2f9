//! Numbers of results.

use serde_json::Value;

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
