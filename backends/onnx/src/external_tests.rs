use std::io::Cursor;

use super::*;

const SHARDED: &[u8] = include_bytes!("../tests/sharded/model.onnx");
const VOICE: &[u8] = include_bytes!("../../../models/voice-onnx/1/model.onnx");

fn tensors(bytes: &[u8]) -> Result<Vec<ExternalTensor>, String> {
    read(Cursor::new(bytes), bytes.len() as u64)
}

#[test]
fn external_tensors_are_found_in_every_graph() {
    let found = tensors(SHARDED).expect("an ONNX file");
    let mut shown: Vec<_> = found
        .iter()
        .map(|tensor| (tensor.name.as_str(), tensor.data_type, tensor.shape.as_slice(), tensor.length))
        .collect();
    shown.sort_unstable();
    // `inner` is in a branch of an `If`.
    assert_eq!(
        shown,
        [
            ("first", 1, &[16, 32][..], Some(2048)),
            ("half", 10, &[24, 24], Some(1152)),
            ("inner", 1, &[24, 24], Some(2304)),
            ("second", 1, &[32, 24], Some(3072)),
        ]
    );
    assert!(
        found.iter().all(|tensor| tensor.location.ends_with("-of-00003.safetensors") && tensor.offset > 8)
    );
    assert_eq!(tensors(VOICE), Ok(Vec::new()));
}

#[test]
fn cut_or_changed_file_gives_an_error_or_tensors() {
    for length in 0..SHARDED.len() {
        let _ = tensors(&SHARDED[..length]);
        for byte in [0, 0x7f, 0xff] {
            let mut changed = SHARDED.to_vec();
            changed[length] = byte;
            let _ = tensors(&changed);
        }
    }
    assert!(tensors(&SHARDED[..SHARDED.len() - 1]).is_err_and(|why| why.contains("cut")));
}

#[test]
fn graphs_nested_without_end_are_refused() {
    // Each attribute holds a graph with a node with an attribute.
    let mut bytes = Vec::new();
    for tag in [0x32, 0x2a, 0x0a].into_iter().cycle().take(900) {
        let mut outer = vec![tag];
        let mut length = bytes.len();
        while length >= 0x80 {
            outer.push(length as u8 | 0x80);
            length >>= 7;
        }
        outer.push(length as u8);
        outer.append(&mut bytes);
        bytes = outer;
    }
    let mut reader = WireReader { file: BufReader::new(Cursor::new(&bytes)), at: 0, found: Vec::new() };
    let nested = reader.message(Message::Graph, bytes.len() as u64, 0);
    assert!(nested.is_err_and(|why| why.contains("nested too deep")));
}
