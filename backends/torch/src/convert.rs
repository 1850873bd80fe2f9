//! Tensors of the engine to tensors of libtorch and back.

use lockstep_engine::tensor::{DType, Tensor};
use tch::{IValue, Kind, TchError};

/// Memory on a device that takes one input of a model, call after call.
///
/// A model gets a copy, not a view of the engine's memory: TorchScript may write into its inputs, and nothing
/// in the file rules that out. The copy goes to the same place each time. That saves the pages of a
/// new allocation, and a call that fails costs no memory, although tch then loses its handles to the
/// arguments for ever. A model that keeps an input in an attribute finds the next one there; a
/// recurrent model gives its state back instead.
#[derive(Debug, Default)]
pub struct Staged {
    buffer: Option<tch::Tensor>,
}

impl Staged {
    /// Copies a tensor to the device. The result is overwritten by the next call.
    #[allow(unsafe_code)]
    pub fn fill(&mut self, tensor: &Tensor, device: tch::Device) -> Result<tch::Tensor, TchError> {
        let size = tensor
            .shape()
            .iter()
            .map(|extent| i64::try_from(*extent))
            .collect::<Result<Vec<i64>, _>>()
            .map_err(|_| TchError::Shape(format!("{:?} is too large", tensor.shape())))?;
        let (data, count, kind) = (tensor.bytes().as_ptr(), tensor.count(), kind_of(tensor.dtype()));
        // SAFETY: `data` points to as many initialised elements of `kind` as `size` says, which is a Tensor's
        // invariant, and `tensor` is borrowed until the end of this function. The view is only read, as the
        // source of a copy that is complete when the call returns, and is dropped here: no one else sees it.
        let view = unsafe { tch::Tensor::f_from_blob(data, &size, &[], kind, tch::Device::Cpu) }?;
        let enough = |buffer: &tch::Tensor| buffer.numel() >= count && buffer.kind() == kind;
        let buffer = match self.buffer.take().filter(enough) {
            Some(buffer) => buffer,
            // By powers of two, so that a growing batch does not move each time.
            None => {
                let count = i64::try_from(count.next_power_of_two()).unwrap_or(i64::MAX);
                tch::Tensor::f_empty([count], (kind, device))?
            }
        };
        let mut copy = buffer.f_narrow(0, 0, size.iter().product())?.f_view(size.as_slice())?;
        copy.f_copy_(&view)?;
        self.buffer = Some(buffer);
        Ok(copy)
    }
}

/// libtorch's type for one of the engine.
pub(crate) fn kind_of(dtype: DType) -> Kind {
    match dtype {
        DType::F32 => Kind::Float,
        DType::F16 => Kind::Half,
        DType::BF16 => Kind::BFloat16,
        DType::F64 => Kind::Double,
        DType::I8 => Kind::Int8,
        DType::U8 => Kind::Uint8,
        DType::I16 => Kind::Int16,
        DType::I32 => Kind::Int,
        DType::I64 => Kind::Int64,
        DType::Bool => Kind::Bool,
    }
}

/// The engine's type for one of libtorch, or `None` for types that the engine does not have.
pub(crate) fn dtype_of(kind: Kind) -> Option<DType> {
    DType::ALL.into_iter().find(|dtype| kind_of(*dtype) == kind)
}

/// A copy of a tensor in the engine's memory. It keeps its type, or takes the `declared` one if that holds all of its values:
/// a wider type of the same kind, u8 for bool; or f32 for f64, which rounds.
pub fn to_host(tensor: &tch::Tensor, declared: Option<DType>) -> Result<Tensor, TchError> {
    if !tensor.defined() {
        return Err(TchError::Kind("an undefined tensor".to_owned()));
    }
    let kind = tensor.f_kind()?;
    let Some(own) = dtype_of(kind) else {
        return Err(TchError::Kind(format!("a tensor of {kind:?}, which has no counterpart here")));
    };
    let dtype = declared.filter(|declared| holds(*declared, own)).unwrap_or(own);
    let tensor = tensor.f_to_device(tch::Device::Cpu)?.f_to_kind(kind_of(dtype))?.f_contiguous()?;
    let size = tensor.size();
    let shape: Vec<usize> = size.iter().map(|extent| usize::try_from(*extent).unwrap_or(0)).collect();
    let mut host = Tensor::zeros(dtype, &shape);
    let count = host.count();
    tensor.f_copy_data_u8(host.bytes_mut(), count)?;
    Ok(host)
}

/// Returns true if an output of type `own` may be given as `declared`.
fn holds(declared: DType, own: DType) -> bool {
    use DType::{BF16, Bool, F16, F32, F64, I8, I16, I32, I64, U8};
    match declared {
        F32 => matches!(own, F16 | BF16 | F64),
        F64 => matches!(own, F16 | BF16 | F32),
        I64 => matches!(own, I8 | I16 | I32),
        I32 => matches!(own, I8 | I16),
        I16 => own == I8,
        U8 => own == Bool,
        F16 | BF16 | I8 | Bool => false,
    }
}

/// The tensors that `forward` returned: one, or those of a tuple or list, however deep, in order.
pub(crate) fn flatten(value: IValue, into: &mut Vec<tch::Tensor>) -> Result<(), TchError> {
    match value {
        IValue::Tensor(tensor) => into.push(tensor),
        IValue::TensorList(tensors) => into.extend(tensors),
        IValue::Tuple(values) | IValue::GenericList(values) => {
            for value in values {
                flatten(value, into)?;
            }
        }
        IValue::GenericDict(_) => {
            return Err(TchError::Kind(
                "forward returns a dictionary; export it with a tuple of tensors".to_owned(),
            ));
        }
        _ => {
            return Err(TchError::Kind(
                "forward returns something beside tensors; export it with tensors only".to_owned(),
            ));
        }
    }
    Ok(())
}

/// libtorch's message, without the traces of its own source files.
pub fn said(error: &TchError) -> String {
    match error {
        TchError::Torch(text) => shortened(text),
        other => shortened(&other.to_string()),
    }
}

/// A message of libtorch, without the traces of its own source files.
pub fn shortened(text: &str) -> String {
    // TorchScript tells the stack of its source first and the error itself at the end.
    let from = ["\nRuntimeError: ", "\ntorch.jit.Error: ", "\nAssertionError: "]
        .iter()
        .filter_map(|mark| text.rfind(mark))
        .max()
        .map_or(0, |at| at + 1);
    let text = text.get(from..).unwrap_or(text);
    let text = text.split("Exception raised from").next().unwrap_or(text).trim();
    match text.char_indices().nth(1000) {
        Some((end, _)) => format!("{} …", text.get(..end).unwrap_or(text)),
        None => text.to_owned(),
    }
}
