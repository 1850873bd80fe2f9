//! Batches of zeros, to run a model before its first real batch.

use lockstep_engine::infer::load_model::LoadModel;
use lockstep_engine::tensor::Tensor;

/// The inputs of a model for a batch of zeros, in the order of its signature.
///
/// # Errors
/// An input with a named extent that is unknown.
pub fn zeros(model: &LoadModel, rows: usize) -> Result<Vec<Tensor>, String> {
    let extents = model.extents.with_batch(rows);
    let input = |spec| {
        let shape: Option<Vec<usize>> = extents.shape(spec).into_iter().collect();
        shape.map(|shape| Tensor::zeros(spec.dtype, &shape)).ok_or_else(|| {
            format!("input {} is {spec}: for a batch of zeros, its named extents must be known", spec.name)
        })
    };
    model.signature.inputs.iter().map(input).collect()
}
