use lockstep_engine::infer::extents::Extents;
use lockstep_engine::infer::load_model::{Device, GpuProvider};
use lockstep_engine::infer::signature::Signature;

use super::*;
use crate::digest::digest_of;

/// A file of weights with one tensor of four bytes for each name.
fn shard(names: &[&str]) -> Vec<u8> {
    let entries = names.iter().enumerate().map(|(place, name)| {
        let at = 4 * place;
        format!(r#""{name}": {{"dtype": "F32", "shape": [1], "data_offsets": [{at}, {}]}}"#, at + 4)
    });
    let json = format!("{{{}}}", entries.collect::<Vec<_>>().join(", "));
    let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
    bytes.extend(json.as_bytes());
    bytes.resize(bytes.len() + 4 * names.len(), 7);
    bytes
}

/// A folder with two shards and their index.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    write(&folder, "1.safetensors", &shard(&["a", "b"]));
    write(&folder, "2.safetensors", &shard(&["c"]));
    let map = br#"{"weight_map": {"a": "1.safetensors", "b": "1.safetensors", "c": "2.safetensors"}}"#;
    write(&folder, "m.safetensors.index.json", map);
    folder
}

fn write(folder: &tempfile::TempDir, name: &str, content: &[u8]) {
    std::fs::write(folder.path().join(name), content).expect("written");
}

fn model(folder: &tempfile::TempDir, weights: &str, digests: &[(&str, &str)]) -> LoadModel {
    let digest = |(name, text): &(&str, &str)| ((*name).to_owned(), text.parse().expect("64 digits"));
    LoadModel {
        name: "model".to_owned(),
        version: "1".to_owned(),
        file: folder.path().join("model.pt"),
        sha256: None,
        weights: Some(Weights {
            file: weights.to_owned(),
            sha256: digests.iter().map(digest).collect(),
            prepack: false,
        }),
        signature: Signature::default(),
        device: Device::Cpu,
        provider: GpuProvider::default(),
        threads: 1,
        warm_up: Vec::new(),
        optimize: Default::default(),
        extents: Extents::default(),
    }
}

const INDEX: &str = "m.safetensors.index.json";

fn faults(folder: &tempfile::TempDir) -> Vec<String> {
    read_weights(&model(folder, INDEX, &[])).expect("an index").expect("weights").faults
}

#[test]
fn weights_are_read_by_their_index_or_alone() {
    let folder = folder();
    let whole = read_weights(&model(&folder, INDEX, &[])).expect("good").expect("weights");
    assert_eq!((whole.faults.len(), whole.shards.len(), whole.shards[0].tensors.len()), (0, 2, 2));
    let one = read_weights(&model(&folder, "2.safetensors", &[])).expect("good").expect("weights");
    assert_eq!(one.shards[0].tensors[0].name, "c");
    let none = LoadModel { weights: None, ..model(&folder, "", &[]) };
    assert!(read_weights(&none).expect("nothing to read").is_none());
}

#[test]
fn weights_name_each_shard_that_is_missing_or_cut() {
    let folder = folder();
    std::fs::remove_file(folder.path().join("1.safetensors")).expect("removed");
    assert_eq!(faults(&folder), ["1.safetensors: the file is missing"]);
    let whole = shard(&["c"]);
    write(&folder, "2.safetensors", &whole[..whole.len() - 1]);
    let found = faults(&folder);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[1].starts_with("2.safetensors: c: ends at byte "), "{found:?}");
    for (length, says) in [(5, "has 5 bytes only"), (20, "its header has ")] {
        write(&folder, "2.safetensors", &whole[..length]);
        assert!(faults(&folder)[1].contains(says), "{:?}", faults(&folder));
    }
    write(&folder, "2.safetensors", &u64::MAX.to_le_bytes());
    assert!(faults(&folder)[1].contains("it is no safetensors file"), "{:?}", faults(&folder));
}

#[test]
fn index_that_cannot_be_read_is_named() {
    let folder = folder();
    write(&folder, INDEX, b"{}");
    let error = read_weights(&model(&folder, INDEX, &[])).expect_err("no index");
    assert!(error.contains("m.safetensors.index.json: it cannot be read"), "{error}");
    std::fs::remove_file(folder.path().join(INDEX)).expect("removed");
    assert!(read_weights(&model(&folder, INDEX, &[])).is_err());
}

#[test]
fn digests_of_all_weights_are_verified_first() {
    let folder = folder();
    let digest = |name: &str| digest_of(&folder.path().join(name)).expect("readable").to_string();
    let (index, one, two) = (digest(INDEX), digest("1.safetensors"), digest("2.safetensors"));
    let all = [(INDEX, index.as_str()), ("1.safetensors", &one), ("2.safetensors", &two)];
    read_weights(&model(&folder, INDEX, &all)).expect("the right digests");
    let error = read_weights(&model(&folder, INDEX, &all[..2])).expect_err("one is missing");
    assert!(error.contains("2.safetensors: [weights.sha256] in its model.toml has no digest"), "{error}");
    let swapped = [(INDEX, index.as_str()), ("1.safetensors", &two), ("2.safetensors", &one)];
    let error = read_weights(&model(&folder, INDEX, &swapped)).expect_err("others");
    let both = [
        format!("1.safetensors: its SHA-256 digest is {one}"),
        format!("2.safetensors: its SHA-256 digest is {two}"),
    ];
    assert!(both.iter().all(|said| error.contains(said)), "{error}");
}
