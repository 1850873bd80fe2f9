//! The proof that an optimised form of a module computes what the module computes: both run the same inputs.

use lockstep_engine::infer::load_model::LoadModel;
use tch::{Device, Kind, TchError, Tensor};

use crate::convert::kind_of;

/// The largest difference of two numbers, as a share of the larger, and for numbers near 0.
pub(crate) const RELATIVE: f64 = 1e-3;
/// See [`RELATIVE`].
pub(crate) const ABSOLUTE: f64 = 1e-4;

/// Inputs of a batch for each largest number: 1, as normalised values are, and 255, as pixels are. Whole numbers are 0, since they may
/// be places in a table. `None` if an extent is unknown.
pub(crate) fn inputs(
    model: &LoadModel,
    rows: usize,
    device: Device,
) -> Option<Result<Vec<Vec<Tensor>>, TchError>> {
    let extents = model.extents.with_batch(rows);
    let shapes: Option<Vec<(Kind, Vec<i64>)>> = model
        .signature
        .inputs
        .iter()
        .map(|spec| {
            let shape: Option<Vec<usize>> = extents.shape(spec).into_iter().collect();
            let shape = shape?.into_iter().map(|extent| i64::try_from(extent).ok()).collect::<Option<_>>()?;
            Some((kind_of(spec.dtype), shape))
        })
        .collect();
    let shapes = shapes?;
    let of =
        |largest: f64| shapes.iter().map(|(kind, shape)| spread(*kind, shape, largest, device)).collect();
    Some([1.0, 255.0].into_iter().map(of).collect())
}

/// Numbers spread evenly from 0 to `largest`, in an order without pattern: the multiples of the golden ratio, modulo 1.
fn spread(kind: Kind, shape: &[i64], largest: f64, device: Device) -> Result<Tensor, TchError> {
    if !matches!(kind, Kind::Float | Kind::Half | Kind::BFloat16 | Kind::Double) {
        return Tensor::f_zeros(shape, (kind, device));
    }
    let count = Tensor::f_arange(shape.iter().product::<i64>(), (Kind::Double, Device::Cpu))?;
    let golden = count.f_mul_scalar(0.618_033_988_749_895)?.f_frac()?.f_mul_scalar(largest)?;
    golden.f_to_kind(kind)?.f_view(shape)?.f_to_device(device)
}

/// The first output that differs by more than rounding.
pub(crate) fn difference(plain: &[Tensor], other: &[Tensor]) -> Result<Option<usize>, TchError> {
    if plain.len() != other.len() {
        return Ok(Some(plain.len().min(other.len())));
    }
    for (place, (a, b)) in plain.iter().zip(other).enumerate() {
        let alike = a.size() == b.size() && a.kind() == b.kind();
        let alike = alike
            && if a.is_floating_point() {
                let (a, b) = (a.f_to_kind(Kind::Double)?, b.f_to_kind(Kind::Double)?);
                a.f_allclose(&b, RELATIVE, ABSOLUTE, true)?
            } else {
                a.f_equal(b)?
            };
        if !alike {
            return Ok(Some(place));
        }
    }
    Ok(None)
}
