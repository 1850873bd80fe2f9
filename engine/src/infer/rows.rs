//! Puts rows together into the tensors of a batch, and takes a model's outputs apart again, row by row.
//! The batch axis may be any axis. On axis 0, and for ragged outputs ordered by row, a row is one
//! contiguous copy.

use half::{bf16, f16};

use crate::infer::extents::{Extents, Mismatch, described};
use crate::infer::signature::{RowsOf, Signature, TensorSpec};
use crate::tensor::{DType, Tensor};

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

/// A row of ones and zeros: 1 where a flag is true.
pub fn mask(dtype: DType, flags: &[bool]) -> Tensor {
    let one: &[u8] = match dtype {
        DType::F32 => &1_f32.to_ne_bytes(),
        DType::F16 => &f16::ONE.to_ne_bytes(),
        DType::BF16 => &bf16::ONE.to_ne_bytes(),
        DType::F64 => &1_f64.to_ne_bytes(),
        DType::I16 => &1_i16.to_ne_bytes(),
        DType::I32 => &1_i32.to_ne_bytes(),
        DType::I64 => &1_i64.to_ne_bytes(),
        DType::I8 | DType::U8 | DType::Bool => &[1],
    };
    let mut row = Tensor::zeros(dtype, &[flags.len()]);
    for (element, flag) in row.bytes_mut().chunks_exact_mut(dtype.size()).zip(flags) {
        if *flag {
            copy(element, Some(one));
        }
    }
    row
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
    let piece = shape.iter().skip(axis + 1).product::<usize>() * spec.dtype.size();
    let mut batch = Tensor::zeros(spec.dtype, &shape);
    if piece > 0 {
        let mut pieces = batch.bytes_mut().chunks_exact_mut(piece);
        for place in 0..outer {
            for (row, into) in rows.iter().zip(pieces.by_ref()) {
                copy(into, row.bytes().get(place * piece..(place + 1) * piece));
            }
        }
    }
    Ok(batch)
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
                    let indices = outputs.get(index).and_then(Tensor::elements::<i64>).unwrap_or_default();
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
            let indices = output.elements::<i64>().unwrap_or_default();
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
    let mut shape = tensor.shape().to_vec();
    let outer: usize = shape.iter().take(axis).product();
    let piece = shape.iter().skip(axis + 1).product::<usize>() * tensor.dtype().size();
    let batch = if axis < shape.len() { shape.remove(axis) } else { 1 };
    let mut cut = Tensor::zeros(tensor.dtype(), &shape);
    if piece > 0 {
        let rows = tensor.bytes().chunks_exact(piece).skip(row).step_by(batch);
        for (into, from) in cut.bytes_mut().chunks_exact_mut(piece).take(outer).zip(rows) {
            copy(into, Some(from));
        }
    }
    cut
}

/// The item at a place of a tensor's first axis, without that axis.
pub fn item(tensor: &Tensor, place: usize) -> Option<Tensor> {
    let (count, rest) = tensor.shape().split_first()?;
    let each = rest.iter().product::<usize>() * tensor.dtype().size();
    let bytes = (place < *count).then(|| tensor.bytes().get(place * each..(place + 1) * each))??;
    Tensor::from_bytes(tensor.dtype(), rest.to_vec(), bytes)
}

/// The items at the given places of a tensor's first axis.
fn gather(tensor: &Tensor, places: &[usize]) -> Tensor {
    let each = tensor.shape().iter().skip(1).product::<usize>() * tensor.dtype().size();
    let mut shape = tensor.shape().to_vec();
    if let Some(first) = shape.first_mut() {
        *first = places.len();
    }
    let mut gathered = Tensor::zeros(tensor.dtype(), &shape);
    let from = tensor.bytes();
    match places {
        // Most models order items by row: then they are one contiguous piece.
        [first, .., last] if last - first + 1 == places.len() => {
            copy(gathered.bytes_mut(), from.get(first * each..(last + 1) * each));
        }
        _ if each > 0 => {
            for (into, place) in gathered.bytes_mut().chunks_exact_mut(each).zip(places) {
                copy(into, from.get(place * each..(place + 1) * each));
            }
        }
        _ => {}
    }
    gathered
}

/// Copies a piece of the same size; the checks before have made sure of it.
fn copy(into: &mut [u8], from: Option<&[u8]>) {
    debug_assert_eq!(from.map(<[u8]>::len), Some(into.len()));
    if let Some(from) = from.filter(|from| from.len() == into.len()) {
        into.copy_from_slice(from);
    }
}

#[cfg(test)]
#[path = "rows_tests.rs"]
mod tests;
