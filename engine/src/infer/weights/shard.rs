//! The header of a safetensors file: eight bytes with its length, and JSON with the type, the shape and the place of each tensor.

use std::collections::BTreeSet;
use std::ops::Range;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::infer::weights::pairs::OrderedPairs;
use crate::tensor::DType;

/// The bytes before the header, which are its length: a little-endian u64.
pub const PREFIX: usize = 8;
/// The longest header that safetensors files may have.
pub const MAX_HEADER: u64 = 100_000_000;
/// The entry of a header that is no tensor.
const METADATA: &str = "__metadata__";

/// A tensor of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredTensor {
    /// Its name in the file.
    pub name: String,
    /// The type of its elements.
    pub dtype: DType,
    /// Its extents.
    pub shape: Vec<usize>,
    /// Its place in the file, counted from the first byte of the file. Its length is that of the shape.
    pub bytes: Range<u64>,
}

/// The header of one file, as far as it is good.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardHeader {
    /// The tensors, by their place in the file. No two of them overlap, and all lie within the file.
    pub tensors: Vec<StoredTensor>,
    /// The names of tensors that have a fault.
    pub faulty: BTreeSet<String>,
    /// All faults, each with its tensor.
    pub faults: Vec<String>,
}

/// Returns the length of the header, which the first bytes of a file of `file_length` bytes tell.
///
/// # Errors
/// A header that does not fit into the file, or that is longer than headers may be.
pub fn header_length(prefix: [u8; PREFIX], file_length: u64) -> Result<u64, String> {
    let length = u64::from_le_bytes(prefix);
    let rest = file_length.saturating_sub(PREFIX as u64);
    if length > MAX_HEADER {
        return Err(format!(
            "its header would have {length} bytes, more than {MAX_HEADER}; it is no safetensors file"
        ));
    }
    if length > rest {
        return Err(format!(
            "its header has {length} bytes, and only {rest} follow; the file is cut, fetch it again"
        ));
    }
    Ok(length)
}

/// Reads the header of a file of `file_length` bytes. Checks that each tensor has the bytes of its type and shape, that all lie
/// within the file, and that each byte of the file belongs to one tensor.
///
/// # Errors
/// JSON that is no header at all.
pub fn read_header(json: &[u8], file_length: u64) -> Result<ShardHeader, String> {
    let OrderedPairs::<&RawValue>(entries) = serde_json::from_slice(json)
        .map_err(|error| format!("its header cannot be read: {error}; it is no safetensors file"))?;
    let begin = (PREFIX as u64).saturating_add(json.len() as u64);
    let mut header = ShardHeader::default();
    let mut names = BTreeSet::new();
    for (name, entry) in entries.into_iter().filter(|(name, _)| name != METADATA) {
        if !names.insert(name.clone()) {
            header.fault(name, "is in the header twice".to_owned());
            continue;
        }
        match stored(&name, entry, begin) {
            Ok(tensor) => header.tensors.push(tensor),
            Err(why) => header.fault(name, why),
        }
    }
    let faulty = &header.faulty;
    header.tensors.retain(|tensor| !faulty.contains(&tensor.name));
    header.cover(begin, file_length);
    Ok(header)
}

impl ShardHeader {
    fn fault(&mut self, name: String, why: String) {
        self.faults.push(format!("{name}: {why}"));
        self.faulty.insert(name);
    }

    /// Checks the places of the tensors, against one another and against the file, whose data starts at `begin`.
    fn cover(&mut self, begin: u64, file_length: u64) {
        self.tensors.sort_by_key(|tensor| (tensor.bytes.start, tensor.bytes.end));
        let (mut good, mut end, mut last) = (Vec::with_capacity(self.tensors.len()), begin, None::<String>);
        for tensor in std::mem::take(&mut self.tensors) {
            let Range { start, end: own } = tensor.bytes;
            if let Some(last) = last.as_ref().filter(|_| start < end) {
                self.fault(tensor.name, format!("overlaps with {last}"));
            } else if own > file_length {
                let why =
                    format!("ends at byte {own}, and the file has {file_length}; it is cut, fetch it again");
                self.fault(tensor.name, why);
            } else {
                if start > end && self.faults.is_empty() {
                    self.faults.push(format!(
                        "{} bytes before {} belong to no tensor",
                        start - end,
                        tensor.name
                    ));
                }
                (end, last) = (own, Some(tensor.name.clone()));
                good.push(tensor);
            }
        }
        if end < file_length && self.faults.is_empty() {
            self.faults.push(format!("the last {} bytes belong to no tensor", file_length - end));
        }
        self.tensors = good;
    }
}

/// An entry of a header.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderEntry {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: [u64; 2],
}

/// The tensor that an entry describes. The file's data starts at `begin`.
fn stored(name: &str, entry: &RawValue, begin: u64) -> Result<StoredTensor, String> {
    let entry: HeaderEntry =
        serde_json::from_str(entry.get()).map_err(|error| format!("its entry cannot be read: {error}"))?;
    let dtype = DType::ALL
        .into_iter()
        .find(|dtype| dtype.as_str().eq_ignore_ascii_case(&entry.dtype))
        .ok_or_else(|| format!("is {}, a type that Lockstep does not have", entry.dtype))?;
    let [from, to] = entry.data_offsets;
    let wrong = || format!("is {dtype} {:?} in the bytes {from} to {to}, which cannot be", entry.shape);
    let needed = entry.shape.iter().try_fold(dtype.size() as u64, |bytes, extent| bytes.checked_mul(*extent));
    if needed.is_none() || needed != to.checked_sub(from) {
        return Err(wrong());
    }
    let bytes = begin.checked_add(from).zip(begin.checked_add(to)).ok_or_else(wrong)?;
    let shape = entry.shape.iter().map(|extent| usize::try_from(*extent)).collect::<Result<_, _>>();
    let shape = shape.map_err(|_| wrong())?;
    Ok(StoredTensor { name: name.to_owned(), dtype, shape, bytes: bytes.0..bytes.1 })
}

#[cfg(test)]
#[path = "shard_tests.rs"]
mod tests;
