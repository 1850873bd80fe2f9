//! The index of weight shards, as Hugging Face writes it: `weight_map` names the shard of each tensor.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::infer::file_name::is_plain_name;
use crate::infer::weights::pairs::OrderedPairs;

/// The longest index that is read.
pub const MAX_INDEX: u64 = 100_000_000;

/// The shard of each tensor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WeightIndex {
    shards: BTreeMap<String, String>,
}

impl WeightIndex {
    /// Reads an index.
    ///
    /// # Errors
    /// All faults: a tensor that is there twice, and shards that are no files beside the index; or the one that makes it no index.
    pub fn read(json: &[u8]) -> Result<Self, Vec<String>> {
        let file: IndexFile = serde_json::from_slice(json).map_err(|error| {
            vec![format!(
                "it cannot be read: {error}; write {{\"weight_map\": {{\"tensor\": \"file.safetensors\"}}}}"
            )]
        })?;
        let (mut shards, mut faults) = (BTreeMap::new(), Vec::new());
        for (tensor, shard) in file.weight_map.0 {
            if !is_plain_name(&shard) {
                faults.push(format!("{tensor}: {shard:?} must be the name of a file beside the index"));
            }
            if shards.insert(tensor.clone(), shard).is_some() {
                faults.push(format!("{tensor}: is in the index twice"));
            }
        }
        if shards.is_empty() {
            faults.push("weight_map names no tensors".to_owned());
        }
        if faults.is_empty() { Ok(Self { shards }) } else { Err(faults) }
    }

    /// The names of all shards.
    pub fn shards(&self) -> BTreeSet<&str> {
        self.shards.values().map(String::as_str).collect()
    }

    /// The tensors, each with the name of its shard.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &str)> {
        self.shards.iter().map(|(tensor, shard)| (tensor.as_str(), shard.as_str()))
    }

    /// The name of a tensor's shard.
    pub fn shard_of(&self, tensor: &str) -> Option<&str> {
        self.shards.get(tensor).map(String::as_str)
    }
}

/// The text of an index. Other keys, such as `metadata`, are for people.
#[derive(Deserialize)]
struct IndexFile {
    weight_map: OrderedPairs<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_names_the_shard_of_each_tensor() {
        let json = br#"{"metadata": {"total_size": 12}, "weight_map": {"b": "2.safetensors", "a": "1.safetensors"}}"#;
        let index = WeightIndex::read(json).expect("an index");
        assert_eq!(index.shards().into_iter().collect::<Vec<_>>(), ["1.safetensors", "2.safetensors"]);
        assert_eq!((index.shard_of("b"), index.shard_of("c")), (Some("2.safetensors"), None));
    }

    #[test]
    fn index_reports_all_faults_at_once() {
        let json = br#"{"weight_map": {"a": "../1.safetensors", "b": "1.safetensors", "b": "2.safetensors", "c": ""}}"#;
        let faults = WeightIndex::read(json).expect_err("three faults");
        assert_eq!(faults.len(), 3, "{faults:?}");
        assert!(faults[0].starts_with("a: \"../1.safetensors\" must be"), "{faults:?}");
        assert!(faults[1].starts_with("b: is in the index twice"), "{faults:?}");
        for text in ["", "[]", "{}", "{\"weight_map\": {}}", "{\"weight_map\": {\"a\": 1}}"] {
            assert_eq!(WeightIndex::read(text.as_bytes()).expect_err(text).len(), 1, "{text}");
        }
    }
}
