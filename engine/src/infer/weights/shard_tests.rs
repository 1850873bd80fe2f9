use proptest::prelude::*;

use super::*;

/// The header of a file with `data` bytes behind it.
fn read(json: &str, data: u64) -> ShardHeader {
    read_header(json.as_bytes(), PREFIX as u64 + json.len() as u64 + data).expect("a header")
}

/// A header with `entries` of one tensor each, and its faults for a file with `data` bytes.
#[track_caller]
fn faults(entries: &str, data: u64, expected: &[&str]) {
    let header = read(entries, data);
    assert_eq!(header.faults.len(), expected.len(), "{:?}", header.faults);
    for (fault, expected) in header.faults.iter().zip(expected) {
        assert!(fault.contains(expected), "{fault}: {expected}");
    }
}

#[test]
fn header_tells_type_shape_and_place_of_each_tensor() {
    let json = r#"{"__metadata__": {"format": "pt"}, "b": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [4, 16]},
        "a": {"dtype": "F32", "shape": [], "data_offsets": [0, 4]}, "none": {"dtype": "BOOL", "shape": [0, 7], "data_offsets": [16, 16]}}  "#;
    let header = read(json, 16);
    let begin = PREFIX as u64 + json.len() as u64;
    let tensor = |name: &str, dtype, shape: &[usize], bytes: Range<u64>| StoredTensor {
        name: name.to_owned(),
        dtype,
        shape: shape.to_vec(),
        bytes: begin + bytes.start..begin + bytes.end,
    };
    assert_eq!(header.faults, [""; 0]);
    assert_eq!(
        header.tensors,
        [
            tensor("a", DType::F32, &[], 0..4),
            tensor("b", DType::BF16, &[2, 3], 4..16),
            tensor("none", DType::Bool, &[0, 7], 16..16),
        ]
    );
}

#[test]
fn header_names_each_faulty_tensor() {
    let tensor = |dtype: &str, shape: &str, offsets: &str| {
        format!(r#"{{"x": {{"dtype": "{dtype}", "shape": {shape}, "data_offsets": {offsets}}}}}"#)
    };
    faults(&tensor("F32", "[2]", "[0, 8]"), 8, &[]);
    faults(&tensor("F8_E4M3", "[2]", "[0, 2]"), 2, &["x: is F8_E4M3, a type that Lockstep does not have"]);
    faults(&tensor("F32", "[2]", "[0, 4]"), 8, &["x: is f32 [2] in the bytes 0 to 4, which cannot be"]);
    faults(&tensor("F32", "[2]", "[8, 0]"), 8, &["which cannot be"]);
    faults(&tensor("I64", "[4294967296, 4294967296, 4]", "[0, 8]"), 8, &["which cannot be"]);
    faults(&tensor("U8", "[2]", "[18446744073709551613, 18446744073709551615]"), 8, &["which cannot be"]);
    faults(&tensor("F32", "[-2]", "[0, 8]"), 8, &["x: its entry cannot be read: invalid value"]);
    faults(&tensor("F32", "[2]", "[0, 8]"), 7, &["and the file has "]);
    faults(&tensor("F32", "[2]", "[4, 12]"), 12, &["4 bytes before x belong to no tensor"]);
    faults(&tensor("F32", "[2]", "[0, 8]"), 10, &["the last 2 bytes belong to no tensor"]);
    faults(r#"{"x": 1, "y": {"dtype": "U8"}}"#, 0, &["x: its entry cannot be read", "y: its entry cannot"]);
    let twice = r#"{"x": {"dtype": "U8", "shape": [2], "data_offsets": [0, 2]}, "x": {"dtype": "U8", "shape": [2], "data_offsets": [2, 4]}}"#;
    faults(twice, 4, &["x: is in the header twice"]);
    let over = r#"{"x": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}, "y": {"dtype": "U8", "shape": [2], "data_offsets": [3, 5]}}"#;
    faults(over, 5, &["y: overlaps with x"]);
}

#[test]
fn header_that_is_no_header_is_refused() {
    for text in ["", "[]", "{", "1", "{\"x\": }", "null"] {
        assert!(read_header(text.as_bytes(), 100).is_err(), "{text}");
    }
    assert_eq!(read_header(b"{}", 10), Ok(ShardHeader::default()));
}

#[test]
fn header_longer_than_its_file_is_refused_unread() {
    assert_eq!(header_length(16_u64.to_le_bytes(), 24), Ok(16));
    assert!(header_length(17_u64.to_le_bytes(), 24).is_err_and(|why| why.contains("only 16 follow")));
    assert!(header_length(u64::MAX.to_le_bytes(), u64::MAX).is_err_and(|why| why.contains("no safetensors")));
    assert!(header_length(1_u64.to_le_bytes(), 3).is_err());
}

/// Entries of a header, many of them nearly good.
fn entries() -> impl Strategy<Value = String> {
    let dtype = prop::sample::select(vec!["F32", "f16", "U8", "BOOL", "C64"]);
    let shape = prop::collection::vec(prop_oneof![0_u64..4, any::<u64>()], 0..4);
    let offset = || prop_oneof![0_u64..40, any::<u64>()];
    let entry = ("[a-c]", dtype, shape, offset(), prop_oneof![Just(None), offset().prop_map(Some)]);
    let entry = entry.prop_map(|(name, dtype, shape, from, to)| {
        let bytes = shape.iter().fold(4_u64, |bytes, extent| bytes.wrapping_mul(*extent));
        let to = to.unwrap_or(from.wrapping_add(bytes));
        format!(r#""{name}": {{"dtype": "{dtype}", "shape": {shape:?}, "data_offsets": [{from}, {to}]}}"#)
    });
    prop::collection::vec(entry, 0..4).prop_map(|entries| format!("{{{}}}", entries.join(", ")))
}

proptest! {
    #[test]
    fn header_gives_only_tensors_that_lie_apart_in_the_file(json in entries(), length in 0_u64..400) {
        let header = read_header(json.as_bytes(), length).expect("JSON");
        let mut end = (PREFIX + json.len()) as u64;
        for tensor in &header.tensors {
            prop_assert!(tensor.bytes.start >= end && tensor.bytes.end <= length);
            let size = tensor.shape.iter().product::<usize>() * tensor.dtype.size();
            prop_assert_eq!(size as u64, tensor.bytes.end - tensor.bytes.start);
            prop_assert!(!header.faulty.contains(&tensor.name));
            end = tensor.bytes.end;
        }
        if header.faults.is_empty() && !header.tensors.is_empty() {
            prop_assert_eq!(end, length);
        }
    }

    #[test]
    fn header_reads_any_bytes_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), length in any::<u64>()) {
        let _ = read_header(&bytes, length);
    }
}
