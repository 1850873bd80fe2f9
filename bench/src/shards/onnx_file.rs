//! Writes small ONNX graphs: the messages of `onnx.proto` that the benchmark's model needs, in the encoding of protocol buffers.
//!
//! A message that occurs several times in a field of one message is merged. So each weight and each node is written as a graph of
//! its own, and no part of the file is held in memory.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use lockstep_assemble::Failure;

/// `TensorProto.DataType.FLOAT`.
const FLOAT: u64 = 1;
/// `AttributeProto.AttributeType.INT`.
const INT: u64 = 2;
/// `TensorProto.DataLocation.EXTERNAL`.
const EXTERNAL: u64 = 1;

/// An ONNX file that is written.
pub(super) struct OnnxFile(BufWriter<File>);

/// The place of a weight's values.
#[derive(Clone, Copy)]
pub(super) enum ValuesAt<'a> {
    /// In the file itself.
    Here(&'a [u8]),
    /// In another file.
    File { location: &'a str, offset: u64, length: u64 },
}

impl OnnxFile {
    pub(super) fn create(path: &Path) -> Result<Self, Failure> {
        let mut file = Self(BufWriter::new(File::create(path)?));
        // ModelProto: ir_version, opset_import.
        file.write(
            MessageBytes::default()
                .number(1, 9)
                .message(8, MessageBytes::default().text(1, "").number(2, 17)),
        )?;
        Ok(file)
    }

    /// Adds an f32 weight.
    pub(super) fn weight(
        &mut self,
        name: &str,
        shape: &[usize],
        values: ValuesAt<'_>,
    ) -> Result<(), Failure> {
        let mut tensor = MessageBytes::default();
        for extent in shape {
            tensor = tensor.number(1, *extent as u64);
        }
        tensor = tensor.number(2, FLOAT).text(8, name);
        tensor = match values {
            ValuesAt::Here(values) => tensor.bytes(9, values),
            ValuesAt::File { location, offset, length } => {
                let entries = [
                    ("location", location.to_owned()),
                    ("offset", offset.to_string()),
                    ("length", length.to_string()),
                ];
                entries
                    .iter()
                    .fold(tensor, |tensor, (key, value)| {
                        tensor.message(13, MessageBytes::default().text(1, key).text(2, value))
                    })
                    .number(14, EXTERNAL)
            }
        };
        self.graph(5, tensor)
    }

    /// Adds a node with one output, and attributes that are numbers.
    pub(super) fn node(
        &mut self,
        operator: &str,
        inputs: &[&str],
        output: &str,
        attributes: &[(&str, u64)],
    ) -> Result<(), Failure> {
        let node = inputs.iter().fold(MessageBytes::default(), |node, input| node.text(1, input));
        let node = attributes.iter().fold(node.text(2, output).text(4, operator), |node, (name, value)| {
            node.message(5, MessageBytes::default().text(1, name).number(3, *value).number(20, INT))
        });
        self.graph(1, node)
    }

    /// Adds the input and the output, both f32 with `width` columns, and ends the file.
    pub(super) fn finish(mut self, [input, output]: [&str; 2], width: usize) -> Result<(), Failure> {
        for (field, name) in [(11, input), (12, output)] {
            let dim = |dim| MessageBytes::default().message(1, dim);
            let rows = dim(MessageBytes::default().text(2, "batch"));
            let columns = dim(MessageBytes::default().number(1, width as u64));
            let shape = MessageBytes([rows.0, columns.0].concat());
            let tensor = MessageBytes::default().number(1, FLOAT).message(2, shape);
            let kind = MessageBytes::default().message(1, tensor);
            self.graph(field, MessageBytes::default().text(1, name).message(2, kind))?;
        }
        self.write(MessageBytes::default().message(7, MessageBytes::default().text(2, "synthetic")))?;
        Ok(self.0.flush()?)
    }

    /// Adds a field of the graph.
    fn graph(&mut self, field: u64, part: MessageBytes) -> Result<(), Failure> {
        self.write(MessageBytes::default().message(7, MessageBytes::default().message(field, part)))
    }

    fn write(&mut self, part: MessageBytes) -> Result<(), Failure> {
        Ok(self.0.write_all(&part.0)?)
    }
}

/// The bytes of a message, field after field.
#[derive(Default)]
struct MessageBytes(Vec<u8>);

impl MessageBytes {
    fn number(mut self, field: u64, value: u64) -> Self {
        self.varint(field << 3);
        self.varint(value);
        self
    }

    fn bytes(mut self, field: u64, value: &[u8]) -> Self {
        self.varint((field << 3) | 2);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    fn text(self, field: u64, value: &str) -> Self {
        self.bytes(field, value.as_bytes())
    }

    fn message(self, field: u64, value: Self) -> Self {
        self.bytes(field, &value.0)
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}
