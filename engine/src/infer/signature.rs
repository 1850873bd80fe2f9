//! The signature of a model: the tensors in `models/<name>/<version>/model.toml`. It is checked against the model's
//! file at load and against the pipeline before anything starts.

use std::fmt;

use serde::Deserialize;

use crate::tensor::DType;

/// The tensors of a model, in the order of its `forward`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// The arguments of `forward`.
    pub inputs: Vec<TensorSpec>,
    /// The values that `forward` returns.
    pub outputs: Vec<TensorSpec>,
    /// The stream state: which output of one bundle is which input of the stream's next.
    #[serde(default)]
    pub state: Vec<StateSpec>,
    /// The most rows of a batch that the model accepts; `None` for no limit.
    #[serde(default)]
    pub max_batch: Option<usize>,
}

/// One tensor of a signature.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TensorSpec {
    /// Its name.
    pub name: String,
    /// The type of its elements.
    pub dtype: DType,
    /// Its extents, including the batch axis.
    pub shape: Vec<Dim>,
    /// For a ragged output, whose first axis counts detected items instead of rows of the batch: the output (i64,
    /// `[N]`) with the batch row of each item.
    #[serde(default)]
    pub rows: Option<String>,
}

/// One extent, in `model.toml` a number or a string.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Dim {
    /// A fixed extent.
    Fixed(usize),
    /// `"batch"` is the batch axis. Any other name is any extent, the same wherever the name occurs, and `"512*n"` is a
    /// multiple.
    Named(String),
}

/// The meaning of a [`Dim`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent<'a> {
    /// The batch axis.
    Batch,
    /// A fixed extent.
    Exactly(usize),
    /// Any extent that is a multiple, the same wherever the name occurs.
    Named {
        /// The name.
        name: &'a str,
        /// The factor between the name's value and the extent; at least 1.
        multiple: usize,
    },
}

impl Dim {
    /// Its meaning. A text that [`crate::infer::manifest`] would refuse counts as a name.
    pub fn extent(&self) -> Extent<'_> {
        match self {
            Self::Fixed(extent) => Extent::Exactly(*extent),
            Self::Named(name) if name == "batch" => Extent::Batch,
            Self::Named(text) => match text.split_once('*') {
                Some((multiple, name)) => match multiple.trim().parse() {
                    Ok(multiple) if multiple > 0 => Extent::Named { name: name.trim(), multiple },
                    _ => Extent::Named { name: text, multiple: 1 },
                },
                None => Extent::Named { name: text, multiple: 1 },
            },
        }
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(extent) => extent.fmt(f),
            Self::Named(name) => f.write_str(name),
        }
    }
}

/// A message in one line: names of tensors may hold control characters, such as a line's end.
pub fn in_one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        match c.is_control() {
            true => line.extend(c.escape_default()),
            false => line.push(c),
        }
    }
    line
}

/// Type and shape: `f32 [batch, 3, height, width]`.
impl fmt::Display for TensorSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [", self.dtype)?;
        for (place, dim) in self.shape.iter().enumerate() {
            write!(f, "{}{dim}", if place == 0 { "" } else { ", " })?;
        }
        f.write_str("]")
    }
}

impl Signature {
    /// The way to separate the rows of one output.
    pub fn rows_of(&self, output: usize) -> Option<RowsOf> {
        let spec = self.outputs.get(output)?;
        if let Some(axis) = spec.batch_axis() {
            return Some(RowsOf::Axis(axis));
        }
        if let Some(name) = &spec.rows {
            return self.outputs.iter().position(|other| other.name == *name).map(RowsOf::Index);
        }
        let is_index = self.outputs.iter().any(|other| other.rows.as_deref() == Some(&spec.name));
        is_index.then_some(RowsOf::Index(output))
    }

    /// The pairs of input and output of the stream state, as indices. Pairs with unknown names are left out.
    pub fn state_pairs(&self) -> Vec<(usize, usize)> {
        let place = |specs: &[TensorSpec], name: &str| specs.iter().position(|spec| spec.name == name);
        let pair = |state: &StateSpec| {
            Some((place(&self.inputs, &state.input)?, place(&self.outputs, &state.output)?))
        };
        self.state.iter().filter_map(pair).collect()
    }
}

/// The way to separate the rows of a batch in an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowsOf {
    /// The index on this axis.
    Axis(usize),
    /// The first axis counts detected items; the output of this index has the batch row of each.
    Index(usize),
}

impl TensorSpec {
    /// The batch axis, if any.
    pub fn batch_axis(&self) -> Option<usize> {
        self.shape.iter().position(|dim| matches!(dim, Dim::Named(name) if name == "batch"))
    }
}

/// A tensor of stream state. It begins as zeros.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateSpec {
    /// The input that takes it.
    pub input: String,
    /// The output with the next value.
    pub output: String,
}
