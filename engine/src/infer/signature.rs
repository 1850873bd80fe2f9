//! What a model takes and gives: `models/<name>/<version>/model.toml`, checked against the model's
//! file at load and against the pipeline before anything starts.

use serde::Deserialize;

use crate::tensor::DType;

/// The tensors of a model, in the order of its `forward`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// The arguments of `forward`.
    pub inputs: Vec<TensorSpec>,
    /// What it returns.
    pub outputs: Vec<TensorSpec>,
    /// The recurrent state: which output of one bundle is which input of the stream's next.
    #[serde(default)]
    pub state: Vec<StateSpec>,
    /// The most rows of a batch that the model takes; none when it does not care.
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
    /// Its extents with the batch axis among them.
    pub shape: Vec<Dim>,
    /// For a ragged output, whose first axis counts things found rather than rows of the batch: the
    /// output (i64, `[N]`) that says to which row of the batch each belongs.
    #[serde(default)]
    pub rows: Option<String>,
}

/// One extent, in `model.toml` a number or a string.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Dim {
    /// Exactly so many.
    Fixed(usize),
    /// `"batch"`: the batch axis. Any other name: any extent, the same wherever the name occurs, and
    /// `"512*n"`: a multiple.
    Named(String),
}

impl TensorSpec {
    /// Which axis is the batch's, if any.
    pub fn batch_axis(&self) -> Option<usize> {
        self.shape.iter().position(|dim| matches!(dim, Dim::Named(name) if name == "batch"))
    }
}

/// A tensor that is carried from one bundle of a stream to the next. It begins as zeros.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateSpec {
    /// The input that takes it.
    pub input: String,
    /// The output that gives the next.
    pub output: String,
}
