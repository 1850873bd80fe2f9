//! The property of safetensors headers and of indexes of weights: the tensors that are accepted lie apart in the file, with the bytes
//! of their type and shape, and every fault names a place. An accepted index names files of its own folder.

use std::collections::BTreeSet;

use lockstep_engine::infer::weights::index::WeightIndex;
use lockstep_engine::infer::weights::shard::{PREFIX, header_length, read_header};

/// `data` is a whole file.
pub fn check(data: &[u8]) {
    index(data);
    let Some((prefix, rest)) = data.split_first_chunk::<PREFIX>() else { return };
    let length = data.len() as u64;
    let Ok(header) = header_length(*prefix, length) else { return };
    let json = &rest[..header as usize];
    let Ok(header) = read_header(json, length) else { return };
    let begin = (PREFIX + json.len()) as u64;
    let (mut end, mut names) = (begin, BTreeSet::new());
    for tensor in &header.tensors {
        assert!(names.insert(&tensor.name) && !header.faulty.contains(&tensor.name), "{}", tensor.name);
        assert!(tensor.bytes.start >= end && tensor.bytes.end <= length, "{tensor:?}");
        let size =
            tensor.shape.iter().try_fold(tensor.dtype.size(), |size, extent| size.checked_mul(*extent));
        assert_eq!(size.map(|size| size as u64), Some(tensor.bytes.end - tensor.bytes.start));
        end = tensor.bytes.end;
    }
    // Without a fault, each byte belongs to a tensor.
    assert!(!header.faults.is_empty() || end == length);
}

fn index(data: &[u8]) {
    match WeightIndex::read(data) {
        Ok(index) => {
            assert!(index.tensors().next().is_some());
            assert!(index.shards().iter().all(|shard| !shard.contains('/') && *shard != ".."));
        }
        Err(faults) => assert!(!faults.is_empty()),
    }
}
