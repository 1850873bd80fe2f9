//! One row of a batch's tensor, to be written.

use crate::tensor::{DType, Element, Tensor};

/// The elements of one row.
#[derive(Debug)]
pub enum RowMut<'a> {
    /// 32-bit floating point.
    F32(&'a mut [f32]),
    /// 32-bit signed integers.
    I32(&'a mut [i32]),
    /// 64-bit signed integers.
    I64(&'a mut [i64]),
    /// 8-bit unsigned integers.
    U8(&'a mut [u8]),
}

impl RowMut<'_> {
    /// The type of the elements.
    pub fn dtype(&self) -> DType {
        match self {
            Self::F32(_) => DType::F32,
            Self::I32(_) => DType::I32,
            Self::I64(_) => DType::I64,
            Self::U8(_) => DType::U8,
        }
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(row) => row.len(),
            Self::I32(row) => row.len(),
            Self::I64(row) => row.len(),
            Self::U8(row) => row.len(),
        }
    }

    /// Sets all elements to zero.
    pub fn clear(&mut self) {
        match self {
            Self::F32(row) => row.fill(0.0),
            Self::I32(row) => row.fill(0),
            Self::I64(row) => row.fill(0),
            Self::U8(row) => row.fill(0),
        }
    }

    /// True if there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The rows of a tensor of shape `[B, …]`: B disjoint pieces of its memory, in order. None for a scalar, for rows without
/// elements, and for types that no preprocessing writes.
pub fn rows(tensor: &mut Tensor) -> Vec<RowMut<'_>> {
    fn cut<'a, T: Element>(
        tensor: &'a mut Tensor,
        size: usize,
        row: impl Fn(&'a mut [T]) -> RowMut<'a>,
    ) -> Vec<RowMut<'a>> {
        let elements = tensor.elements_mut::<T>().unwrap_or_default();
        elements.chunks_exact_mut(size).map(row).collect()
    }
    let size: usize = tensor.shape().iter().skip(1).product();
    if tensor.shape().is_empty() || size == 0 {
        return Vec::new();
    }
    match tensor.dtype() {
        DType::F32 => cut(tensor, size, RowMut::F32),
        DType::I32 => cut(tensor, size, RowMut::I32),
        DType::I64 => cut(tensor, size, RowMut::I64),
        DType::U8 => cut(tensor, size, RowMut::U8),
        DType::F16 | DType::BF16 | DType::F64 | DType::I8 | DType::I16 | DType::Bool => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_disjoint_and_in_order() {
        let mut tensor = Tensor::zeros(DType::I64, &[3, 2, 2]);
        for (index, row) in rows(&mut tensor).into_iter().enumerate() {
            let RowMut::I64(row) = row else { panic!("of another type") };
            row.fill(index as i64);
        }
        assert_eq!(tensor.elements::<i64>(), Some([0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2].as_slice()));
    }

    #[test]
    fn tensor_without_elements_has_no_rows() {
        assert!(rows(&mut Tensor::zeros(DType::F32, &[0, 4])).is_empty());
        assert!(rows(&mut Tensor::zeros(DType::F32, &[4, 0])).is_empty());
        assert!(rows(&mut Tensor::zeros(DType::F32, &[])).is_empty());
    }
}
