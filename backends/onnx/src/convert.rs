//! Tensors of the engine to values of ONNX Runtime, without a copy, and back.

use bytemuck::cast_slice;
use half::{bf16, f16};
use lockstep_engine::tensor::{DType, Element, Tensor};
use ort::session::SessionInputValue;
use ort::value::{DynValue, PrimitiveTensorElementType, TensorElementType, TensorRef, ValueType};

/// The engine's type for an element type of ONNX, or `None` for types that the engine does not have.
pub(crate) fn dtype(of: TensorElementType) -> Option<DType> {
    Some(match of {
        TensorElementType::Float32 => DType::F32,
        TensorElementType::Float16 => DType::F16,
        TensorElementType::Bfloat16 => DType::BF16,
        TensorElementType::Float64 => DType::F64,
        TensorElementType::Int8 => DType::I8,
        TensorElementType::Uint8 => DType::U8,
        TensorElementType::Int16 => DType::I16,
        TensorElementType::Int32 => DType::I32,
        TensorElementType::Int64 => DType::I64,
        TensorElementType::Bool => DType::Bool,
        _ => return None,
    })
}

/// A value that borrows the tensor's memory.
pub fn borrowed(tensor: &Tensor) -> ort::Result<SessionInputValue<'_>> {
    fn view<'a, T: PrimitiveTensorElementType + Clone + std::fmt::Debug + 'static>(
        tensor: &'a Tensor,
        elements: Option<&'a [T]>,
    ) -> ort::Result<SessionInputValue<'a>> {
        let elements = elements.ok_or_else(|| ort::Error::new("a tensor's bytes are not of its type"))?;
        Ok(TensorRef::from_array_view((tensor.shape(), elements))?.into())
    }
    match tensor.dtype() {
        DType::F32 => view(tensor, tensor.elements::<f32>()),
        DType::F16 => view(tensor, tensor.elements::<f16>()),
        DType::BF16 => view(tensor, tensor.elements::<bf16>()),
        DType::F64 => view(tensor, tensor.elements::<f64>()),
        DType::I8 => view(tensor, tensor.elements::<i8>()),
        DType::U8 => view(tensor, tensor.elements::<u8>()),
        DType::I16 => view(tensor, tensor.elements::<i16>()),
        DType::I32 => view(tensor, tensor.elements::<i32>()),
        DType::I64 => view(tensor, tensor.elements::<i64>()),
        DType::Bool => view(tensor, bytemuck::checked::try_cast_slice::<u8, bool>(tensor.bytes()).ok()),
    }
}

/// A copy of an output in the engine's memory.
pub(crate) fn copied(value: &DynValue) -> Result<Tensor, String> {
    fn copy<T: PrimitiveTensorElementType + Element>(value: &DynValue) -> Result<Tensor, String> {
        let (shape, elements) = value.try_extract_tensor::<T>().map_err(|error| error.to_string())?;
        Tensor::new(extents(shape), elements)
            .ok_or_else(|| "its shape is not that of its elements".to_owned())
    }
    let ValueType::Tensor { ty, .. } = value.dtype() else {
        return Err(format!("it is {}; only tensors are supported", value.dtype()));
    };
    match dtype(*ty) {
        Some(DType::F32) => copy::<f32>(value),
        Some(DType::F16) => copy::<f16>(value),
        Some(DType::BF16) => copy::<bf16>(value),
        Some(DType::F64) => copy::<f64>(value),
        Some(DType::I8) => copy::<i8>(value),
        Some(DType::U8) => copy::<u8>(value),
        Some(DType::I16) => copy::<i16>(value),
        Some(DType::I32) => copy::<i32>(value),
        Some(DType::I64) => copy::<i64>(value),
        Some(DType::Bool) => {
            let (shape, truths) = value.try_extract_tensor::<bool>().map_err(|error| error.to_string())?;
            Tensor::from_bytes(DType::Bool, extents(shape), cast_slice(truths))
                .ok_or_else(|| "its shape is not that of its elements".to_owned())
        }
        None => Err(format!("its elements are {ty}, which Lockstep does not have")),
    }
}

fn extents(shape: &[i64]) -> Vec<usize> {
    shape.iter().map(|extent| usize::try_from(*extent).unwrap_or(0)).collect()
}
