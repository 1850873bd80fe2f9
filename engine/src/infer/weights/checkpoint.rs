//! All weights of a model: the tensors of its weight shards, against the index and against the model.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::infer::weights::index::WeightIndex;
use crate::infer::weights::shard::{ShardHeader, StoredTensor};
use crate::tensor::DType;

/// The most faults that a message names.
const NAMED: usize = 20;

/// The tensors of all weight shards.
#[derive(Clone, Debug, Default)]
pub struct Checkpoint {
    /// The shards that could be read, by name.
    pub shards: Vec<WeightShard>,
    /// All faults of the files, each with its shard or tensor.
    pub faults: Vec<String>,
    /// Tensors that a fault names already, or whose shard could not be read.
    faulty: BTreeSet<String>,
}

/// A weight shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightShard {
    /// The name of the file.
    pub name: String,
    /// Its tensors, by their place in the file.
    pub tensors: Vec<StoredTensor>,
}

/// A tensor that a model takes from its weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclaredTensor {
    /// Its name in the weights.
    pub name: String,
    /// The type of its elements.
    pub dtype: DType,
    /// Its extents.
    pub shape: Vec<usize>,
}

impl Checkpoint {
    /// Puts the headers of the shards together, each by the name of its file. With an index, each tensor must be in the shard that
    /// the index names, and in no other.
    pub fn join(index: Option<&WeightIndex>, headers: BTreeMap<String, Result<ShardHeader, String>>) -> Self {
        let mut joined = Self::default();
        let mut shard_of = BTreeMap::<String, String>::new();
        let mut unreadable = BTreeSet::new();
        for (shard, header) in headers {
            let header = match header {
                Ok(header) => header,
                Err(why) => {
                    joined.faults.push(format!("{shard}: {why}"));
                    unreadable.insert(shard);
                    continue;
                }
            };
            joined.faults.extend(header.faults.iter().map(|fault| format!("{shard}: {fault}")));
            joined.faulty.extend(header.faulty);
            let mut tensors = header.tensors;
            tensors.retain(|tensor| {
                let name = &tensor.name;
                let Some(other) = shard_of.insert(name.clone(), shard.clone()) else { return true };
                joined.faults.push(format!("{name}: is in {other} and in {shard}"));
                joined.faulty.insert(name.clone());
                false
            });
            joined.shards.push(WeightShard { name: shard, tensors });
        }
        if let Some(index) = index {
            joined.follow(index, &shard_of, &unreadable);
        }
        joined
    }

    /// Compares the shards with the index.
    fn follow(
        &mut self,
        index: &WeightIndex,
        shard_of: &BTreeMap<String, String>,
        unreadable: &BTreeSet<String>,
    ) {
        for (tensor, shard) in index.tensors() {
            if unreadable.contains(shard) {
                self.faulty.insert(tensor.to_owned());
            }
            if self.faulty.contains(tensor) {
                continue;
            }
            let fault = match shard_of.get(tensor) {
                Some(found) if found == shard => continue,
                Some(found) => format!("{tensor}: is in {found}, and the index says {shard}"),
                None => format!("{tensor}: is missing in {shard}, which the index names"),
            };
            self.faults.push(fault);
            self.faulty.insert(tensor.to_owned());
        }
        for (tensor, shard) in shard_of {
            if index.shard_of(tensor).is_none() && self.faulty.insert(tensor.clone()) {
                self.faults.push(format!("{tensor}: is in {shard}, and the index does not name it"));
            }
        }
    }

    /// Compares the tensors with those that the model takes: each must be there with the same type and shape, and no other.
    /// Returns the faults that [`Checkpoint::faults`] does not name.
    pub fn compare(&self, declared: &[DeclaredTensor]) -> Vec<String> {
        let stored = self.by_name();
        let mut faults = Vec::new();
        for tensor in declared.iter().filter(|tensor| !self.faulty.contains(&tensor.name)) {
            let DeclaredTensor { name, dtype, shape } = tensor;
            match stored.get(name.as_str()) {
                None => faults.push(format!("{name}: is missing; the model takes {dtype} {shape:?}")),
                Some((shard, own)) if (own.dtype, &own.shape) != (*dtype, shape) => faults.push(format!(
                    "{name}: is {} {:?} in {shard}, and {dtype} {shape:?} in the model",
                    own.dtype, own.shape
                )),
                Some(_) => {}
            }
        }
        let names: BTreeSet<&str> = declared.iter().map(|tensor| tensor.name.as_str()).collect();
        for (name, (shard, _)) in stored {
            if !names.contains(name) && !self.faulty.contains(name) {
                faults.push(format!("{name}: is in {shard}, and the model has no such parameter or buffer"));
            }
        }
        faults
    }

    fn by_name(&self) -> BTreeMap<&str, (&str, &StoredTensor)> {
        let shards = self.shards.iter().map(|shard| (shard.name.as_str(), &shard.tensors));
        shards
            .flat_map(|(shard, tensors)| tensors.iter().map(move |own| (own.name.as_str(), (shard, own))))
            .collect()
    }

    /// True if [`Checkpoint::faults`] names the tensor already, or the fault of its shard.
    pub fn is_faulty(&self, tensor: &str) -> bool {
        self.faulty.contains(tensor)
    }

    /// The tensor with exactly these bytes of a shard.
    pub fn at(&self, shard: &str, bytes: &Range<u64>) -> Option<&StoredTensor> {
        let shard = self.shards.iter().find(|own| own.name == shard)?;
        // The tensors are in the order of their places, and only empty ones share a place.
        let first = shard.tensors.partition_point(|own| own.bytes.start < bytes.start);
        let from = shard.tensors.get(first..)?.iter();
        from.take_while(|own| own.bytes.start == bytes.start).find(|own| own.bytes == *bytes)
    }

    /// The message of all faults of the files and of `more`; none if there are none.
    pub fn refusal(&self, more: &[String]) -> Option<String> {
        let count = self.faults.len() + more.len();
        if count == 0 {
            return None;
        }
        let named: Vec<&str> = self.faults.iter().chain(more).take(NAMED).map(String::as_str).collect();
        let rest = match count - named.len() {
            0 => String::new(),
            rest => format!("; and {rest} more"),
        };
        let faults = if count == 1 { "a fault" } else { "faults" };
        Some(format!("the weights have {faults}: {}{rest}", named.join("; ")))
    }
}

#[cfg(test)]
#[path = "checkpoint_tests.rs"]
mod tests;
