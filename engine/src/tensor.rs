//! Tensors in ordinary memory: preprocessing fills them, and models return them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The type of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DType {
    /// 32-bit floating point.
    F32,
    /// 64-bit signed integer.
    I64,
    /// 8-bit unsigned integer.
    U8,
}

impl DType {
    /// Bytes of one element.
    pub fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::I64 => 8,
            Self::U8 => 1,
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::I64 => "i64",
            Self::U8 => "u8",
        })
    }
}

/// The elements of a tensor, in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// 32-bit floating point.
    F32(Vec<f32>),
    /// 64-bit signed integers.
    I64(Vec<i64>),
    /// 8-bit unsigned integers.
    U8(Vec<u8>),
}

/// A dense tensor in row-major order. The product of `shape` is the number of elements.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    data: Data,
}

impl Tensor {
    /// A tensor of zeros.
    pub fn zeros(dtype: DType, shape: &[usize]) -> Self {
        let count = shape.iter().product();
        let data = match dtype {
            DType::F32 => Data::F32(vec![0.0; count]),
            DType::I64 => Data::I64(vec![0; count]),
            DType::U8 => Data::U8(vec![0; count]),
        };
        Self { shape: shape.to_vec(), data }
    }

    /// A tensor of given elements, or `None` when their number is not the product of `shape`.
    pub fn new(shape: Vec<usize>, data: Data) -> Option<Self> {
        let count = match &data {
            Data::F32(v) => v.len(),
            Data::I64(v) => v.len(),
            Data::U8(v) => v.len(),
        };
        (shape.iter().product::<usize>() == count).then_some(Self { shape, data })
    }

    /// Reuses its memory for a tensor of another shape, grown or cut as needed. The old elements have no meaning in
    /// the new shape.
    pub fn reshaped(mut self, shape: &[usize]) -> Self {
        let count = shape.iter().product();
        match &mut self.data {
            Data::F32(v) => v.resize(count, 0.0),
            Data::I64(v) => v.resize(count, 0),
            Data::U8(v) => v.resize(count, 0),
        }
        self.shape.clear();
        self.shape.extend_from_slice(shape);
        self
    }

    /// The number of elements that fit its memory without reallocation.
    pub fn capacity(&self) -> usize {
        match &self.data {
            Data::F32(v) => v.capacity(),
            Data::I64(v) => v.capacity(),
            Data::U8(v) => v.capacity(),
        }
    }

    /// Takes its elements and leaves none.
    pub fn take(&mut self) -> Self {
        std::mem::replace(self, Self { shape: vec![0], data: Data::U8(Vec::new()) })
    }

    /// Its extents.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The type of its elements.
    pub fn dtype(&self) -> DType {
        match &self.data {
            Data::F32(_) => DType::F32,
            Data::I64(_) => DType::I64,
            Data::U8(_) => DType::U8,
        }
    }

    /// Its elements.
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// Its elements, to be written.
    pub fn data_mut(&mut self) -> &mut Data {
        &mut self.data
    }

    /// Its elements as `f32`, or `None` when they are of another type.
    pub fn as_f32(&self) -> Option<&[f32]> {
        match &self.data {
            Data::F32(v) => Some(v),
            _ => None,
        }
    }

    /// Its elements as `i64`, or `None` when they are of another type.
    pub fn as_i64(&self) -> Option<&[i64]> {
        match &self.data {
            Data::I64(v) => Some(v),
            _ => None,
        }
    }

    /// Its elements as `u8`, or `None` when they are of another type.
    pub fn as_u8(&self) -> Option<&[u8]> {
        match &self.data {
            Data::U8(v) => Some(v),
            _ => None,
        }
    }
}
