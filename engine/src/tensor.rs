//! Tensors in ordinary memory: a type, a shape, and aligned bytes. Preprocessing fills them, and models return them.

use std::borrow::Cow;
use std::fmt;

use bytemuck::Pod;
use half::{bf16, f16};
use serde::{Deserialize, Serialize};

/// The type of a tensor's elements. The changelog writes a type by its place in this list: new ones come last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DType {
    /// 32-bit floating point.
    F32,
    /// 64-bit signed integer.
    I64,
    /// 8-bit unsigned integer.
    U8,
    /// 16-bit floating point, IEEE 754 binary16.
    F16,
    /// 16-bit floating point with the exponent of f32.
    BF16,
    /// 64-bit floating point.
    F64,
    /// 8-bit signed integer.
    I8,
    /// 16-bit signed integer.
    I16,
    /// 32-bit signed integer.
    I32,
    /// Truth values, a byte each: 0 or 1.
    Bool,
}

impl DType {
    /// All types.
    pub const ALL: [Self; 10] = [
        Self::F32,
        Self::F16,
        Self::BF16,
        Self::F64,
        Self::I8,
        Self::U8,
        Self::I16,
        Self::I32,
        Self::I64,
        Self::Bool,
    ];

    /// Bytes of one element.
    pub fn size(self) -> usize {
        match self {
            Self::U8 | Self::I8 | Self::Bool => 1,
            Self::F16 | Self::BF16 | Self::I16 => 2,
            Self::F32 | Self::I32 => 4,
            Self::I64 | Self::F64 => 8,
        }
    }

    /// Returns true for floating point.
    pub fn is_float(self) -> bool {
        matches!(self, Self::F32 | Self::F16 | Self::BF16 | Self::F64)
    }

    /// Returns the name, as in `model.toml`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::BF16 => "bf16",
            Self::F64 => "f64",
            Self::I8 => "i8",
            Self::U8 => "u8",
            Self::I16 => "i16",
            Self::I32 => "i32",
            Self::I64 => "i64",
            Self::Bool => "bool",
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

mod sealed {
    pub trait Sealed {}
}

/// A Rust type that is the element of a tensor.
pub trait Element: Pod + sealed::Sealed {
    /// The type of such a tensor.
    const DTYPE: DType;
}

macro_rules! elements {
    ($($element:ty => $dtype:ident),*) => {
        $(impl sealed::Sealed for $element {}
        impl Element for $element {
            const DTYPE: DType = DType::$dtype;
        })*
    };
}

elements!(f32 => F32, f16 => F16, bf16 => BF16, f64 => F64, i8 => I8, u8 => U8, i16 => I16, i32 => I32, i64 => I64);

/// A piece of a tensor's memory, which aligns every element type.
type AlignedBlock = u128;

const BLOCK_BYTES: usize = size_of::<AlignedBlock>();

/// A dense tensor in row-major order, in the byte order of the machine. The product of `shape` is the number of elements.
#[derive(Clone)]
pub struct Tensor {
    dtype: DType,
    shape: Vec<usize>,
    /// At least the bytes of the elements; the rest has no meaning.
    memory: Vec<AlignedBlock>,
}

/// Tensors are equal if type, shape and bytes are: NaN equals the same NaN, and 0.0 differs from -0.0.
impl PartialEq for Tensor {
    fn eq(&self, other: &Self) -> bool {
        (self.dtype, &self.shape) == (other.dtype, &other.shape) && self.bytes() == other.bytes()
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MOST: usize = 32;
        write!(f, "{} {:?} ", self.dtype, self.shape)?;
        let shown = (0..self.count().min(MOST)).map(|place| self.number(place).unwrap_or(f64::NAN));
        f.debug_list().entries(shown).finish()?;
        if self.count() > MOST { f.write_str(" …") } else { Ok(()) }
    }
}

impl Tensor {
    /// A tensor of zeros.
    pub fn zeros(dtype: DType, shape: &[usize]) -> Self {
        let bytes = shape.iter().product::<usize>() * dtype.size();
        Self { dtype, shape: shape.to_vec(), memory: vec![0; bytes.div_ceil(BLOCK_BYTES)] }
    }

    /// A tensor of given elements, or `None` if their number is not the product of `shape`.
    pub fn new<T: Element>(shape: Vec<usize>, elements: &[T]) -> Option<Self> {
        Self::from_bytes(T::DTYPE, shape, bytemuck::cast_slice(elements))
    }

    /// A tensor of given bytes, or `None` if their number is not that of `shape`, or if a truth value is neither 0 nor 1.
    pub fn from_bytes(dtype: DType, shape: Vec<usize>, bytes: &[u8]) -> Option<Self> {
        let count = shape.iter().try_fold(1_usize, |count, extent| count.checked_mul(*extent));
        let fits = count.and_then(|count| count.checked_mul(dtype.size())) == Some(bytes.len());
        if !fits || dtype == DType::Bool && bytes.iter().any(|byte| *byte > 1) {
            return None;
        }
        let mut tensor = Self::zeros(dtype, &shape);
        tensor.bytes_mut().copy_from_slice(bytes);
        Some(tensor)
    }

    /// Reuses the memory for a tensor of another type and shape, grown or cut as needed. The old elements have no meaning in
    /// the new tensor.
    pub fn reshaped(mut self, dtype: DType, shape: &[usize]) -> Self {
        let bytes = shape.iter().product::<usize>() * dtype.size();
        self.memory.resize(bytes.div_ceil(BLOCK_BYTES), 0);
        self.dtype = dtype;
        self.shape.clear();
        self.shape.extend_from_slice(shape);
        self
    }

    /// The bytes that fit the memory without reallocation.
    pub fn capacity(&self) -> usize {
        self.memory.capacity() * BLOCK_BYTES
    }

    /// Takes the elements and leaves none.
    pub fn take(&mut self) -> Self {
        std::mem::replace(self, Self { dtype: self.dtype, shape: vec![0], memory: Vec::new() })
    }

    /// The extents.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The type of the elements.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The number of elements.
    pub fn count(&self) -> usize {
        self.shape.iter().product()
    }

    /// The elements as bytes, in the byte order of the machine.
    pub fn bytes(&self) -> &[u8] {
        let bytes: &[u8] = bytemuck::cast_slice(&self.memory);
        bytes.get(..self.count() * self.dtype.size()).unwrap_or_default()
    }

    /// The elements as bytes, to be written. A truth value must be 0 or 1.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        let size = self.count() * self.dtype.size();
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut self.memory);
        bytes.get_mut(..size).unwrap_or_default()
    }

    /// The elements, or `None` if they are of another type.
    pub fn elements<T: Element>(&self) -> Option<&[T]> {
        (self.dtype == T::DTYPE).then(|| bytemuck::try_cast_slice(self.bytes()).ok()).flatten()
    }

    /// The elements, to be written, or `None` if they are of another type.
    pub fn elements_mut<T: Element>(&mut self) -> Option<&mut [T]> {
        (self.dtype == T::DTYPE).then(|| bytemuck::try_cast_slice_mut(self.bytes_mut()).ok()).flatten()
    }

    /// The elements of any floating-point type as f32, or `None` for other types. An f64 is rounded.
    pub fn floats(&self) -> Option<Cow<'_, [f32]>> {
        Some(match self.dtype {
            DType::F32 => Cow::Borrowed(self.elements::<f32>()?),
            DType::F16 => Cow::Owned(self.elements::<f16>()?.iter().map(|value| value.to_f32()).collect()),
            DType::BF16 => Cow::Owned(self.elements::<bf16>()?.iter().map(|value| value.to_f32()).collect()),
            DType::F64 => Cow::Owned(self.elements::<f64>()?.iter().map(|value| *value as f32).collect()),
            DType::I8 | DType::U8 | DType::I16 | DType::I32 | DType::I64 | DType::Bool => return None,
        })
    }

    /// One element of any integer type or truth value, or `None` for floating point and beyond the end.
    pub fn integer(&self, place: usize) -> Option<i64> {
        match self.dtype {
            DType::I8 => self.elements::<i8>()?.get(place).copied().map(i64::from),
            DType::U8 => self.elements::<u8>()?.get(place).copied().map(i64::from),
            DType::I16 => self.elements::<i16>()?.get(place).copied().map(i64::from),
            DType::I32 => self.elements::<i32>()?.get(place).copied().map(i64::from),
            DType::I64 => self.elements::<i64>()?.get(place).copied(),
            DType::Bool => self.bytes().get(place).copied().map(i64::from),
            DType::F32 | DType::F16 | DType::BF16 | DType::F64 => None,
        }
    }

    /// One element of any type as a number, or `None` beyond the end. An i64 beyond 2^53 is rounded.
    pub fn number(&self, place: usize) -> Option<f64> {
        match self.dtype {
            DType::F32 => self.elements::<f32>()?.get(place).copied().map(f64::from),
            DType::F16 => self.elements::<f16>()?.get(place).copied().map(f64::from),
            DType::BF16 => self.elements::<bf16>()?.get(place).copied().map(f64::from),
            DType::F64 => self.elements::<f64>()?.get(place).copied(),
            _ => self.integer(place).map(|value| value as f64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensor_keeps_every_type_in_value() {
        let values = [0.0, 1.0, -1.0, 2.5];
        for dtype in DType::ALL {
            let mut tensor = Tensor::zeros(dtype, &[2, 2]);
            assert_eq!((tensor.dtype(), tensor.bytes().len()), (dtype, 4 * dtype.size()));
            let expected: Vec<f64> = match dtype {
                DType::F32 => write(&mut tensor, values.map(|value| value as f32)),
                DType::F16 => write(&mut tensor, values.map(f16::from_f64)),
                DType::BF16 => write(&mut tensor, values.map(bf16::from_f64)),
                DType::F64 => write(&mut tensor, values),
                DType::I8 => write(&mut tensor, [0_i8, 1, -1, i8::MIN]),
                DType::U8 => write(&mut tensor, [0_u8, 1, 255, 2]),
                DType::I16 => write(&mut tensor, [0_i16, 1, -1, i16::MAX]),
                DType::I32 => write(&mut tensor, [0_i32, 1, -1, i32::MAX]),
                DType::I64 => write(&mut tensor, [0_i64, 1, -1, 1 << 40]),
                DType::Bool => {
                    tensor.bytes_mut().copy_from_slice(&[0, 1, 1, 0]);
                    vec![0.0, 1.0, 1.0, 0.0]
                }
            };
            let found: Vec<f64> = (0..5).map_while(|place| tensor.number(place)).collect();
            assert_eq!(found, expected, "{dtype}");
            assert_eq!(tensor.floats().is_some(), dtype.is_float(), "{dtype}");
            assert_eq!(tensor.integer(1), (!dtype.is_float()).then_some(1), "{dtype}");
            let copy = Tensor::from_bytes(dtype, vec![2, 2], tensor.bytes());
            assert_eq!(copy, Some(tensor), "{dtype}");
        }
    }

    fn write<T: Element + Copy, const N: usize>(tensor: &mut Tensor, values: [T; N]) -> Vec<f64> {
        tensor.elements_mut::<T>().expect("of that type").copy_from_slice(&values);
        let copy = Tensor::new(tensor.shape().to_vec(), &values).expect("as many");
        (0..N).filter_map(|place| copy.number(place)).collect()
    }

    #[test]
    fn tensor_refuses_bytes_that_do_not_fit() {
        assert!(Tensor::from_bytes(DType::F32, vec![2], &[0; 7]).is_none());
        assert!(Tensor::from_bytes(DType::U8, vec![usize::MAX, 2], &[0; 4]).is_none());
        assert!(Tensor::from_bytes(DType::Bool, vec![2], &[1, 2]).is_none());
        assert!(Tensor::new(vec![3], &[1_i32, 2]).is_none());
        assert!(Tensor::zeros(DType::F32, &[2]).elements::<i32>().is_none());
    }

    #[test]
    fn reshaped_tensor_has_other_type_and_shape_in_the_same_memory() {
        let tensor = Tensor::zeros(DType::F64, &[8]);
        let place = tensor.bytes().as_ptr();
        let tensor = tensor.reshaped(DType::U8, &[3, 5]);
        assert_eq!((tensor.dtype(), tensor.shape(), tensor.bytes().len()), (DType::U8, &[3, 5][..], 15));
        assert_eq!((tensor.bytes().as_ptr(), tensor.capacity()), (place, 64));
    }
}
