//! Holds what is bound to a model against the model's signature.

use std::collections::BTreeMap;

use lockstep_engine::infer::signature::{Dim, TensorSpec};
use lockstep_engine::tensor::DType;

/// What is known of the named extents of one signature.
#[derive(Default)]
pub(super) struct Extents(BTreeMap<String, (usize, String)>);

impl Extents {
    /// Fits one row (a tensor without its batch axis) to what a model's input takes.
    ///
    /// The error says what was expected: `takes f32 [batch, 3, height, width], and this gives …`.
    pub(super) fn fit(&mut self, spec: &TensorSpec, dtype: DType, row: &[usize]) -> Result<(), String> {
        let dims: Vec<&Dim> = spec.shape.iter().filter(|dim| !is_batch(dim)).collect();
        let mismatch = |why: &str| {
            let mut shape: Vec<String> = row.iter().map(usize::to_string).collect();
            shape.insert(spec.batch_axis().unwrap_or(0).min(shape.len()), "batch".to_owned());
            format!("gives {dtype} [{}], but the model's input {} takes {}{why}", shape.join(", "), spec.name, described(spec))
        };
        if dtype != spec.dtype {
            return Err(mismatch(&format!("; it must be {}", spec.dtype)));
        }
        if dims.len() != row.len() {
            return Err(mismatch(&format!("; a row of it must have {} axes", dims.len())));
        }
        for (dim, have) in dims.into_iter().zip(row) {
            match dim {
                Dim::Fixed(want) if want == have => {}
                Dim::Fixed(want) => return Err(mismatch(&format!("; {have} must be {want}"))),
                Dim::Named(name) => {
                    let (factor, name) = multiple(name);
                    if have % factor != 0 || *have == 0 {
                        return Err(mismatch(&format!("; {have} must be a multiple of {factor}")));
                    }
                    let unit = have / factor;
                    let known = self.0.entry(name.to_owned()).or_insert_with(|| (unit, spec.name.clone()));
                    if known.0 != unit {
                        return Err(mismatch(&format!("; {name} is {} already in {}", known.0, known.1)));
                    }
                }
            }
        }
        Ok(())
    }
}

fn is_batch(dim: &Dim) -> bool {
    matches!(dim, Dim::Named(name) if name == "batch")
}

fn multiple(name: &str) -> (usize, &str) {
    match name.split_once('*') {
        Some((factor, name)) => (factor.trim().parse().unwrap_or(1).max(1), name.trim()),
        None => (1, name),
    }
}

/// Type and shape for people: `f32 [batch, 3, height, width]`.
pub(crate) fn described(spec: &TensorSpec) -> String {
    let shape: Vec<String> = spec
        .shape
        .iter()
        .map(|dim| match dim {
            Dim::Fixed(extent) => extent.to_string(),
            Dim::Named(name) => name.clone(),
        })
        .collect();
    format!("{} [{}]", spec.dtype, shape.join(", "))
}
