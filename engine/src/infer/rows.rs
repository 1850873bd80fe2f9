//! Puts rows together into the tensors of a batch, and takes a model's outputs apart again, row by row.
//! The batch axis may be any axis. On axis 0, and for ragged outputs ordered by row, a row is one
//! contiguous copy.

use crate::infer::extents::{Extents, Mismatch, described};
use crate::infer::signature::{RowsOf, Signature, TensorSpec};
use crate::tensor::{DType, Data, Tensor};

/// The outputs of a model for one bundle.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StepOutput {
    tensors: Vec<Option<Tensor>>,
}

impl StepOutput {
    /// The output in that place of the signature, if it was kept. Batched outputs are without their batch
    /// axis; ragged ones are `[n, ...]` with `n` the things found in this row. Of an output that says whose
    /// they are, `n` zeros are left, as if the row had been alone in its batch.
    pub fn get(&self, output: usize) -> Option<&Tensor> {
        self.tensors.get(output)?.as_ref()
    }

    fn put(&mut self, output: usize, tensor: Tensor) {
        if self.tensors.len() <= output {
            self.tensors.resize_with(output + 1, || None);
        }
        if let Some(place) = self.tensors.get_mut(output) {
            *place = Some(tensor);
        }
    }
}

impl FromIterator<Tensor> for StepOutput {
    fn from_iter<I: IntoIterator<Item = Tensor>>(tensors: I) -> Self {
        Self { tensors: tensors.into_iter().map(Some).collect() }
    }
}

/// The shape of a batch made of rows: `row` with `batch` inserted at the specification's batch axis.
pub fn batch_shape(spec: &TensorSpec, row: &[usize], batch: usize) -> Vec<usize> {
    let axis = spec.batch_axis().unwrap_or(0).min(row.len());
    let mut shape = row.to_vec();
    shape.insert(axis, batch);
    shape
}

/// Puts rows of one shape together along the batch axis of an input.
///
/// # Errors
/// The first row that is of another type or shape than the specification or the rows before it.
pub fn assemble(spec: &TensorSpec, rows: &[&Tensor]) -> Result<Tensor, Mismatch> {
    let mut extents = Extents::of_batch(rows.len());
    for row in rows {
        let shape: Vec<Option<usize>> = row.shape().iter().copied().map(Some).collect();
        extents.fit_row("input", spec, row.dtype(), &shape)?;
    }
    let shape: Vec<usize> = extents.shape(spec).into_iter().map(Option::unwrap_or_default).collect();
    let axis = spec.batch_axis().unwrap_or(0);
    let outer: usize = shape.iter().take(axis).product();
    let inner: usize = shape.iter().skip(axis + 1).product();
    let data = match spec.dtype {
        DType::F32 => Data::F32(join(rows, Tensor::as_f32, outer, inner)),
        DType::I64 => Data::I64(join(rows, Tensor::as_i64, outer, inner)),
        DType::U8 => Data::U8(join(rows, Tensor::as_u8, outer, inner)),
    };
    let found = data_len(&data);
    Tensor::new(shape.clone(), data).ok_or_else(|| Mismatch {
        tensor: format!("input {}", spec.name),
        found: format!("{found} elements"),
        expected: described(spec.dtype, &shape),
    })
}

fn join<T: Copy>(
    rows: &[&Tensor],
    values: impl Fn(&Tensor) -> Option<&[T]>,
    outer: usize,
    inner: usize,
) -> Vec<T> {
    let rows: Vec<&[T]> = rows.iter().filter_map(|row| values(row)).collect();
    let mut joined = Vec::with_capacity(outer * inner * rows.len());
    for place in 0..outer {
        for row in &rows {
            joined.extend_from_slice(row.get(place * inner..(place + 1) * inner).unwrap_or_default());
        }
    }
    joined
}

/// Takes a model's outputs apart: one [`StepOutput`] for each row of the batch, in order, with copies of
/// those outputs for which `kept` says so.
///
/// # Errors
/// The first output whose type or shape is not what the signature says, or that claims a row that the
/// batch does not have.
pub fn split(
    signature: &Signature,
    batch: usize,
    outputs: &[Tensor],
    kept: impl Fn(usize) -> bool,
) -> Result<Vec<StepOutput>, Mismatch> {
    check_outputs(signature, &mut Extents::of_batch(batch), outputs)?;
    let mut rows = vec![StepOutput::default(); batch];
    // One order for each index tensor, shared by the outputs that it orders.
    let mut orders: Vec<(usize, Vec<Vec<usize>>)> = Vec::new();
    for (place, output) in outputs.iter().enumerate().filter(|(place, _)| kept(*place)) {
        match signature.rows_of(place) {
            Some(RowsOf::Axis(axis)) => {
                for (row, into) in rows.iter_mut().enumerate() {
                    into.put(place, slice(output, axis, row));
                }
            }
            Some(RowsOf::Index(index)) => {
                if !orders.iter().any(|(of, _)| *of == index) {
                    let indices = outputs.get(index).and_then(Tensor::as_i64).unwrap_or_default();
                    orders.push((index, order(indices, batch)));
                }
                let of = orders.iter().find(|(of, _)| *of == index).map_or(&[][..], |(_, order)| order);
                for (into, places) in rows.iter_mut().zip(of) {
                    let things = if place == index {
                        Tensor::zeros(DType::I64, &[places.len()])
                    } else {
                        gather(output, places)
                    };
                    into.put(place, things);
                }
            }
            None => {
                return Err(Mismatch {
                    tensor: signature
                        .outputs
                        .get(place)
                        .map_or_else(String::new, |s| format!("output {}", s.name)),
                    found: described(output.dtype(), output.shape()),
                    expected: "a batch axis or rows in its signature".to_owned(),
                });
            }
        }
    }
    Ok(rows)
}

/// Checks a model's outputs against its signature: their number, types, shapes, and the rows that ragged outputs claim.
/// `extents` has the names known from the inputs, and learns those known only from the outputs.
///
/// # Errors
/// The first output that does not match.
pub fn check_outputs(
    signature: &Signature,
    extents: &mut Extents,
    outputs: &[Tensor],
) -> Result<(), Mismatch> {
    let batch = extents.batch().unwrap_or(0);
    if outputs.len() != signature.outputs.len() {
        let names: Vec<&str> = signature.outputs.iter().map(|spec| spec.name.as_str()).collect();
        return Err(Mismatch {
            tensor: "what the model returned".to_owned(),
            found: format!("{} tensors", outputs.len()),
            expected: format!("{}: {}", signature.outputs.len(), names.join(", ")),
        });
    }
    for (place, (spec, output)) in signature.outputs.iter().zip(outputs).enumerate() {
        extents.fit("output", spec, output.dtype(), output.shape())?;
        if signature.rows_of(place) == Some(RowsOf::Index(place)) {
            let indices = output.as_i64().unwrap_or_default();
            let outside = |index: &&i64| usize::try_from(**index).map_or(true, |index| index >= batch);
            if let Some(index) = indices.iter().find(outside) {
                return Err(Mismatch {
                    tensor: format!("output {}", spec.name),
                    found: format!("pointing to row {index}"),
                    expected: format!("rows of a batch of {batch}, from 0 to {}", batch.saturating_sub(1)),
                });
            }
        }
    }
    Ok(())
}

/// Which places of a ragged output belong to each row, in their order.
fn order(indices: &[i64], batch: usize) -> Vec<Vec<usize>> {
    let mut places = vec![Vec::new(); batch];
    for (place, index) in indices.iter().enumerate() {
        if let Some(row) = usize::try_from(*index).ok().and_then(|index| places.get_mut(index)) {
            row.push(place);
        }
    }
    places
}

/// One row of a tensor along an axis, without that axis.
fn slice(tensor: &Tensor, axis: usize, row: usize) -> Tensor {
    fn cut<T: Copy>(values: &[T], outer: usize, batch: usize, inner: usize, row: usize) -> Vec<T> {
        let mut cut = Vec::with_capacity(outer * inner);
        for place in 0..outer {
            let from = (place * batch + row) * inner;
            cut.extend_from_slice(values.get(from..from + inner).unwrap_or_default());
        }
        cut
    }
    let mut shape = tensor.shape().to_vec();
    let outer: usize = shape.iter().take(axis).product();
    let inner: usize = shape.iter().skip(axis + 1).product();
    let batch = if axis < shape.len() { shape.remove(axis) } else { 1 };
    let data = match tensor.data() {
        Data::F32(values) => Data::F32(cut(values, outer, batch, inner, row)),
        Data::I64(values) => Data::I64(cut(values, outer, batch, inner, row)),
        Data::U8(values) => Data::U8(cut(values, outer, batch, inner, row)),
    };
    made(shape, data)
}

/// The items at the given places of a tensor's first axis.
fn gather(tensor: &Tensor, places: &[usize]) -> Tensor {
    fn pick<T: Copy>(values: &[T], each: usize, places: &[usize]) -> Vec<T> {
        let mut picked = Vec::with_capacity(each * places.len());
        match places {
            // Most models order items by row: then they are one contiguous piece.
            [first, .., last] if last - first + 1 == places.len() => {
                picked.extend_from_slice(values.get(first * each..(last + 1) * each).unwrap_or_default());
            }
            _ => {
                for place in places {
                    picked
                        .extend_from_slice(values.get(place * each..(place + 1) * each).unwrap_or_default());
                }
            }
        }
        picked
    }
    let each: usize = tensor.shape().iter().skip(1).product();
    let mut shape = tensor.shape().to_vec();
    if let Some(first) = shape.first_mut() {
        *first = places.len();
    }
    let data = match tensor.data() {
        Data::F32(values) => Data::F32(pick(values, each, places)),
        Data::I64(values) => Data::I64(pick(values, each, places)),
        Data::U8(values) => Data::U8(pick(values, each, places)),
    };
    made(shape, data)
}

/// A tensor of a shape and as many elements as it says, which the checks before have made sure of.
fn made(shape: Vec<usize>, data: Data) -> Tensor {
    let dtype = match &data {
        Data::F32(_) => DType::F32,
        Data::I64(_) => DType::I64,
        Data::U8(_) => DType::U8,
    };
    debug_assert_eq!(shape.iter().product::<usize>(), data_len(&data));
    Tensor::new(shape, data).unwrap_or_else(|| Tensor::zeros(dtype, &[0]))
}

fn data_len(data: &Data) -> usize {
    match data {
        Data::F32(values) => values.len(),
        Data::I64(values) => values.len(),
        Data::U8(values) => values.len(),
    }
}

#[cfg(test)]
#[path = "rows_tests.rs"]
mod tests;
