//! Batches of zeros, to run a model before its first real batch.

use lockstep_engine::infer::load_model::LoadModel;
use lockstep_engine::infer::manifest::MAX_ROW_BYTES;
use lockstep_engine::infer::signature::{Extent, TensorSpec};
use lockstep_engine::tensor::Tensor;

/// The most bytes of one input: four of the greatest rows.
const MOST_BYTES: usize = MAX_ROW_BYTES.saturating_mul(4);

/// The inputs of a model for a batch of zeros, in the order of its signature.
///
/// # Errors
/// An input with a named extent that is unknown, or with extents that take too much memory.
pub fn zeros(model: &LoadModel, rows: usize) -> Result<Vec<Tensor>, String> {
    let extents = model.extents.with_batch(rows);
    let input = |spec: &TensorSpec| {
        let wrong = |why: String| format!("input {} is {spec}: {why}", spec.name);
        let mut named = spec.shape.iter().filter_map(|dim| match dim.extent() {
            Extent::Named { name, .. } => Some(name),
            Extent::Batch | Extent::Exactly(_) => None,
        });
        if named.any(|name| !extents.named().contains_key(name)) {
            return Err(wrong("for a batch of zeros, its named extents must be known".to_owned()));
        }
        // An extent that is known and still missing overflows.
        let shape: Option<Vec<usize>> = extents.shape(spec).into_iter().collect();
        let fitting = shape.filter(|shape| {
            let bytes = |bytes: usize, extent: &usize| bytes.checked_mul(*extent);
            let whole = shape.iter().try_fold(spec.dtype.size(), bytes);
            whole.is_some_and(|whole| whole <= MOST_BYTES && whole / rows.max(1) <= MAX_ROW_BYTES)
        });
        fitting.map(|shape| Tensor::zeros(spec.dtype, &shape)).ok_or_else(|| {
            wrong(format!(
                "{rows} rows of zeros take more than {} GiB, or one takes more than {} GiB; write smaller extents or fewer rows",
                MOST_BYTES >> 30,
                MAX_ROW_BYTES >> 30
            ))
        })
    };
    model.signature.inputs.iter().map(input).collect()
}

#[cfg(test)]
mod tests {
    use lockstep_engine::infer::manifest::Manifest;

    use super::*;

    fn refused(shape: &str, n: usize, rows: usize) -> String {
        let text = format!(
            "backend = \"onnxruntime\"\nfile = \"a.onnx\"\n[[inputs]]\nname = \"x\"\ndtype = \"f32\"\nshape = {shape}\n\
             [[outputs]]\nname = \"y\"\ndtype = \"f32\"\nshape = [\"batch\"]"
        );
        let mut model = Manifest::parse(&text).expect("a good model.toml").model("m".as_ref(), "m", "1");
        model.extents.set("n", n);
        zeros(&model, rows).expect_err("too much")
    }

    #[test]
    fn zeros_beyond_the_limit_are_refused_unallocated() {
        let one = "[\"batch\", \"n\"]";
        let cases =
            [(one, 99_999_999_999, 1), (one, 1 << 31, 1), (one, 1 << 20, 1 << 13), (one, 2, usize::MAX)];
        for (shape, n, rows) in cases {
            let error = refused(shape, n, rows);
            assert!(error.starts_with("input x is f32 [batch, n]: ") && error.contains("GiB"), "{error}");
        }
        assert!(refused("[\"batch\", \"4*n\", \"n\"]", usize::MAX / 2, 1).contains("GiB"));
        assert!(refused("[\"batch\", \"m\"]", 1, 1).contains("must be known"));
    }
}
