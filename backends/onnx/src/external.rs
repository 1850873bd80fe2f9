//! External data: the tensors of an ONNX file whose values lie in other files. ONNX Runtime maps these files without a check of its
//! own, so that each place is checked here before.
//!
//! An ONNX file is a message of protocol buffers. Only the fields on the way to external tensors are read; the rest is skipped, so
//! that a large file takes no memory.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::{Component, Path};

use lockstep_backend::{footprint as size_of_named, size_of, weights_folder};
use lockstep_engine::infer::load_model::LoadModel;
use lockstep_engine::infer::weights::checkpoint::Checkpoint;
use lockstep_engine::tensor::DType;

/// The deepest nesting of messages; a graph within a graph takes three.
const DEEPEST: usize = 100;
/// The longest name or location.
const LONGEST: u64 = 1 << 16;
/// The most axes of a tensor.
const AXES: usize = 64;

/// A tensor whose values are in another file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct ExternalTensor {
    name: String,
    /// The number of the type, as in `TensorProto.DataType`.
    data_type: u64,
    shape: Vec<u64>,
    /// True if `data_location` says that the values are elsewhere.
    is_external: bool,
    location: String,
    offset: u64,
    length: Option<u64>,
}

/// Checks every external tensor of a model's file: with weights, it must be exactly a tensor of a weight shard; without, it must lie
/// within a file below the model's folder.
///
/// # Errors
/// All faults, those of the weights included.
pub(crate) fn check(model: &LoadModel, checkpoint: Option<&Checkpoint>) -> Result<(), String> {
    let Some(checkpoint) = checkpoint else { return check_beside(&model.file) };
    let tensors = tensors_of(&model.file)?;
    let mut faults: Vec<String> =
        tensors.iter().filter_map(|tensor| fault_in_shards(tensor, checkpoint)).collect();
    if tensors.is_empty() {
        faults.push(
            "the file has no external data, and its model.toml names weights; remove [weights], or make the file by shard_onnx.py"
                .to_owned(),
        );
    }
    checkpoint.refusal(&faults).map_or(Ok(()), Err)
}

/// The bytes that a copy of a model counts for: its files, and without `[weights]` the files that hold its external data. A file that
/// cannot be read counts for none, since the load will say so.
pub(crate) fn footprint(model: &LoadModel) -> u64 {
    let named = size_of_named(model);
    if model.weights.is_some() {
        return named;
    }
    let tensors = tensors_of(&model.file).unwrap_or_default();
    let locations: BTreeSet<&str> = tensors.iter().filter_map(ExternalTensor::file).collect();
    let folder = weights_folder(model);
    locations.into_iter().fold(named, |sum, file| sum.saturating_add(size_of(&folder.join(file))))
}

/// Checks every external tensor of a file without `[weights]`.
///
/// # Errors
/// All faults.
pub(crate) fn check_beside(file: &Path) -> Result<(), String> {
    let folder = file.parent().unwrap_or(Path::new(""));
    let tensors = tensors_of(file)?;
    let faults: Vec<String> = tensors.iter().filter_map(|tensor| fault_in_folder(tensor, folder)).collect();
    if faults.is_empty() { Ok(()) } else { Err(faults.join("; ")) }
}

fn tensors_of(file: &Path) -> Result<Vec<ExternalTensor>, String> {
    let unreadable = |error| format!("cannot be read: {error}");
    if std::fs::metadata(file).is_ok_and(|file| !file.is_file()) {
        return Err("it is no regular file".to_owned());
    }
    let file = File::open(file).map_err(unreadable)?;
    match file.metadata().map_err(unreadable)?.len() {
        0 => Err("it is empty; fetch it again".to_owned()),
        length => read(file, length),
    }
}

fn fault_in_folder(tensor: &ExternalTensor, folder: &Path) -> Option<String> {
    let ExternalTensor { name, location, offset, .. } = tensor;
    let Some(file) = tensor.file() else {
        return Some(format!("{name}: its data is in {location:?}, which is no file in the model's folder"));
    };
    let Ok(found) = std::fs::metadata(folder.join(file)) else {
        return Some(format!("{name}: its data is in {location}, a file that is missing"));
    };
    let end = tensor.bytes().and_then(|bytes| offset.checked_add(bytes));
    if !found.is_file() {
        return Some(format!("{name}: its data is in {location}, which is no regular file"));
    }
    (end.is_none_or(|end| end > found.len())).then(|| {
        format!("{name}: its data ends behind the end of {location}; the file is cut, fetch it again")
    })
}

fn fault_in_shards(tensor: &ExternalTensor, checkpoint: &Checkpoint) -> Option<String> {
    let ExternalTensor { name, location, offset, shape, .. } = tensor;
    let Some(dtype) = dtype(tensor.data_type) else {
        return Some(format!("{name}: has the type {}, which weights cannot have", tensor.data_type));
    };
    let wrong = || {
        let said = tensor.length.map_or("without a length".to_owned(), |length| format!("in {length} bytes"));
        format!("{name}: is {dtype} {shape:?} {said} from byte {offset} on, which cannot be")
    };
    let length = tensor.bytes().filter(|bytes| tensor.length.is_none_or(|length| length == *bytes));
    let Some(end) = length.and_then(|length| offset.checked_add(length)) else { return Some(wrong()) };
    let range = *offset..end;
    let Some(found) = checkpoint.at(location, &range) else {
        // A shard that cannot be read has a fault of its own, and so has a faulty tensor.
        let known = checkpoint.shards.iter().any(|shard| shard.name == *location);
        let is_named = checkpoint.is_faulty(name) || !known && !checkpoint.faults.is_empty();
        return (!is_named).then(|| {
            format!(
                "{name}: its data is in the bytes {} to {} of {location}, which are no tensor of the weights",
                range.start, range.end
            )
        });
    };
    let own: Vec<u64> = found.shape.iter().map(|extent| *extent as u64).collect();
    if (found.dtype, &own) != (dtype, shape) {
        return Some(format!("{name}: is {dtype} {shape:?}, and {} {own:?} in {location}", found.dtype));
    }
    (range.start % dtype.size() as u64 != 0).then(|| {
        format!(
            "{name}: begins at byte {} of {location}, which does not align {dtype}; write the shards again",
            range.start
        )
    })
}

impl ExternalTensor {
    /// The file with its values, below the model's folder; none if the location leaves the folder.
    fn file(&self) -> Option<&str> {
        let mut parts = Path::new(&self.location).components();
        let is_below = !self.location.is_empty() && parts.all(|part| matches!(part, Component::Normal(_)));
        is_below.then_some(&self.location)
    }

    /// The bytes that its type and shape take; none if its type has no size.
    fn bytes(&self) -> Option<u64> {
        match dtype(self.data_type) {
            Some(dtype) => {
                self.shape.iter().try_fold(dtype.size() as u64, |bytes, extent| bytes.checked_mul(*extent))
            }
            None => self.length,
        }
    }
}

/// The engine's type for a number of `TensorProto.DataType`.
fn dtype(number: u64) -> Option<DType> {
    Some(match number {
        1 => DType::F32,
        2 => DType::U8,
        3 => DType::I8,
        5 => DType::I16,
        6 => DType::I32,
        7 => DType::I64,
        9 => DType::Bool,
        10 => DType::F16,
        11 => DType::F64,
        16 => DType::BF16,
        _ => return None,
    })
}

/// The messages on the way to tensors.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Message {
    Model,
    Graph,
    Function,
    Node,
    Attribute,
    SparseTensor,
    Tensor,
}

impl Message {
    /// The message in a field, by `onnx.proto`; none if no tensor is in it.
    fn child(self, field: u64) -> Option<Self> {
        Some(match (self, field) {
            (Self::Model, 7) | (Self::Attribute, 6 | 11) => Self::Graph,
            (Self::Model, 25) => Self::Function,
            (Self::Graph, 1) | (Self::Function, 7) => Self::Node,
            (Self::Node, 5) | (Self::Function, 11) => Self::Attribute,
            (Self::Graph, 15) | (Self::Attribute, 22 | 23) => Self::SparseTensor,
            (Self::Graph, 5) | (Self::Attribute, 5 | 10) | (Self::SparseTensor, 1 | 2) => Self::Tensor,
            _ => return None,
        })
    }
}

/// The external tensors of a file of `length` bytes, in all of its graphs.
///
/// # Errors
/// The fault of a file that is no message.
fn read(file: impl Read + Seek, length: u64) -> Result<Vec<ExternalTensor>, String> {
    let mut reader = WireReader { file: BufReader::new(file), at: 0, found: Vec::new() };
    reader.message(Message::Model, length, 0)?;
    Ok(reader.found)
}

/// A field of a message.
enum WireField {
    Number(u64),
    /// Ends at this byte; the reader stands at its first one.
    Bytes(u64),
    Fixed,
}

/// A reader through the messages of a file.
struct WireReader<R> {
    file: BufReader<R>,
    /// The next byte.
    at: u64,
    found: Vec<ExternalTensor>,
}

impl<R: Read + Seek> WireReader<R> {
    fn message(&mut self, kind: Message, end: u64, depth: usize) -> Result<(), String> {
        if depth > DEEPEST {
            return Err("its graphs are nested too deep".to_owned());
        }
        while self.at < end {
            let (number, field) = self.field(end)?;
            let WireField::Bytes(own) = field else { continue };
            match kind.child(number) {
                Some(Message::Tensor) => self.tensor(own)?,
                Some(child) => self.message(child, own, depth + 1)?,
                None => self.skip_to(own)?,
            }
        }
        Ok(())
    }

    fn tensor(&mut self, end: u64) -> Result<(), String> {
        let mut tensor = ExternalTensor::default();
        while self.at < end {
            match self.field(end)? {
                (1, WireField::Number(extent)) => tensor.shape.push(extent),
                (1, WireField::Bytes(own)) => {
                    while self.at < own && tensor.shape.len() <= AXES {
                        let extent = self.varint(own)?;
                        tensor.shape.push(extent);
                    }
                    self.skip_to(own)?;
                }
                (2, WireField::Number(number)) => tensor.data_type = number,
                (14, WireField::Number(place)) => tensor.is_external = place == 1,
                (8, WireField::Bytes(own)) => tensor.name = self.text(own)?,
                (13, WireField::Bytes(own)) => self.entry(own, &mut tensor)?,
                (_, WireField::Bytes(own)) => self.skip_to(own)?,
                _ => {}
            }
            if tensor.shape.len() > AXES {
                return Err(format!("a tensor has more than {AXES} axes"));
            }
        }
        if tensor.is_external {
            self.found.push(tensor);
        }
        Ok(())
    }

    /// An entry of `external_data`: a key and a value.
    fn entry(&mut self, end: u64, tensor: &mut ExternalTensor) -> Result<(), String> {
        let (mut key, mut value) = (String::new(), String::new());
        while self.at < end {
            match self.field(end)? {
                (1, WireField::Bytes(own)) => key = self.text(own)?,
                (2, WireField::Bytes(own)) => value = self.text(own)?,
                (_, WireField::Bytes(own)) => self.skip_to(own)?,
                _ => {}
            }
        }
        let number = || value.parse().map_err(|_| format!("{key} = {value:?} of external data is no number"));
        match key.as_str() {
            "location" => tensor.location = value,
            "offset" => tensor.offset = number()?,
            "length" => tensor.length = Some(number()?),
            _ => {}
        }
        Ok(())
    }

    /// The number of a field and its content, which must end by `end`.
    fn field(&mut self, end: u64) -> Result<(u64, WireField), String> {
        let tag = self.varint(end)?;
        let field = match tag & 7 {
            0 => WireField::Number(self.varint(end)?),
            2 => {
                let length = self.varint(end)?;
                let own = self.at.checked_add(length).filter(|own| *own <= end).ok_or_else(cut)?;
                WireField::Bytes(own)
            }
            wide @ (1 | 5) => {
                let own = self.at + if wide == 1 { 8 } else { 4 };
                if own > end {
                    return Err(cut());
                }
                self.skip_to(own)?;
                WireField::Fixed
            }
            _ => return Err("it is no message of protocol buffers; fetch the file again".to_owned()),
        };
        Ok((tag >> 3, field))
    }

    fn varint(&mut self, end: u64) -> Result<u64, String> {
        let mut value = 0;
        for shift in (0..70).step_by(7) {
            if self.at >= end {
                return Err(cut());
            }
            let mut byte = [0];
            self.file.read_exact(&mut byte).map_err(|error| error.to_string())?;
            self.at += 1;
            value |= u64::from(byte[0] & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte[0] < 0x80 {
                return Ok(value);
            }
        }
        Err("it is no message of protocol buffers; fetch the file again".to_owned())
    }

    fn text(&mut self, end: u64) -> Result<String, String> {
        let length = end - self.at;
        if length > LONGEST {
            return Err(format!("a name has {length} bytes, more than {LONGEST}"));
        }
        let mut text = String::new();
        let read = self.file.by_ref().take(length).read_to_string(&mut text);
        read.map_err(|error| error.to_string())?;
        self.at = end;
        Ok(text)
    }

    fn skip_to(&mut self, end: u64) -> Result<(), String> {
        let by = i64::try_from(end - self.at).map_err(|_| cut())?;
        self.file.seek_relative(by).map_err(|error| error.to_string())?;
        self.at = end;
        Ok(())
    }
}

fn cut() -> String {
    "it ends within a field; the file is cut, fetch it again".to_owned()
}

#[cfg(test)]
#[path = "external_tests.rs"]
mod tests;
