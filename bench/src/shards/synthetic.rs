//! A model of 200 MB in every form that is compared: as TorchScript and ONNX, whole and with its weights in shards. Its weights are
//! random numbers that are made here, so that no large file is part of the checkout.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use lockstep_assemble::Failure;
use tch::{CModule, IValue, Kind, Tensor};

use super::onnx_file::{OnnxFile, ValuesAt};

/// The code of the model for TorchScript, by `make_skeleton.py`.
const SKELETON: &[u8] = include_bytes!("skeleton.pt");
const LAYERS: usize = 12;
/// The columns of the model's input and output, and of each layer.
pub(super) const WIDTH: usize = 2048;
const SHARDS: usize = 4;
/// The index of the shards.
const INDEX: &str = "model.safetensors.index.json";
/// The buffer of a batch normalization that is a count; only TorchScript has it.
const COUNT: &str = "norm.num_batches_tracked";

/// A weight: its name, its extents, and the least and the largest of its values.
struct Weight {
    name: String,
    shape: Vec<usize>,
    least: f32,
    most: f32,
}

impl Weight {
    fn new(name: String, shape: Vec<usize>, [least, most]: [f32; 2]) -> Self {
        Self { name, shape, least, most }
    }

    /// The bytes of its values, which depend on its name alone.
    fn values(&self) -> Vec<u8> {
        if self.name == COUNT {
            return 1_i64.to_le_bytes().to_vec();
        }
        let mut state = self.name.bytes().fold(1_u64, |state, byte| mixed(state ^ u64::from(byte)));
        let count = self.shape.iter().product();
        let mut bytes = Vec::with_capacity(4 * count);
        for _ in 0..count {
            state = mixed(state);
            // The upper 24 bits are a number from 0 to 1 that f32 has exactly.
            let unit = (state >> 40) as f32 / 16_777_216.0;
            bytes.extend((self.least + unit * (self.most - self.least)).to_le_bytes());
        }
        bytes
    }

    fn dtype(&self) -> (&'static str, Kind) {
        if self.name == COUNT { ("I64", Kind::Int64) } else { ("F32", Kind::Float) }
    }
}

/// A step of the generator splitmix64.
fn mixed(state: u64) -> u64 {
    let state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// The weights of each shard.
fn weights() -> Vec<Vec<Weight>> {
    // So that the values keep their size from layer to layer.
    let reach = (6.0 / WIDTH as f32).sqrt();
    let layer = |place: usize| {
        [
            Weight::new(format!("layers.{place}.weight"), vec![WIDTH, WIDTH], [-reach, reach]),
            Weight::new(format!("layers.{place}.bias"), vec![WIDTH], [-0.05, 0.05]),
        ]
    };
    let each = LAYERS / SHARDS;
    let mut shards: Vec<Vec<Weight>> =
        (0..SHARDS).map(|shard| (shard * each..(shard + 1) * each).flat_map(layer).collect()).collect();
    let norm = [
        ("weight", [0.9, 1.1]),
        ("bias", [-0.1, 0.1]),
        ("running_mean", [-0.1, 0.1]),
        ("running_var", [0.5, 1.5]),
    ];
    if let Some(last) = shards.last_mut() {
        last.extend(norm.map(|(name, range)| Weight::new(format!("norm.{name}"), vec![WIDTH], range)));
        last.push(Weight::new(COUNT.to_owned(), Vec::new(), [0.0, 0.0]));
    }
    shards
}

fn shard_name(place: usize) -> String {
    format!("model-{:05}-of-{SHARDS:05}.safetensors", place + 1)
}

/// Writes all forms into `folder`: the shards and their index, `skeleton.pt`, `whole.pt`, `sharded.onnx` and `whole.onnx`. Returns the
/// bytes of the largest shard.
pub(super) fn write(folder: &Path) -> Result<f64, Failure> {
    std::fs::write(folder.join("skeleton.pt"), SKELETON)?;
    let module = CModule::load(folder.join("skeleton.pt"))?;
    let mut tensors = tensors(&module)?;
    let mut sharded = OnnxFile::create(&folder.join("sharded.onnx"))?;
    let mut whole = OnnxFile::create(&folder.join("whole.onnx"))?;
    let (mut index, mut largest) = (BTreeMap::new(), 0);
    for (place, shard) in weights().iter().enumerate() {
        let name = shard_name(place);
        let (mut entries, mut at) = (serde_json::Map::new(), 0_u64);
        let values: Vec<Vec<u8>> = shard.iter().map(Weight::values).collect();
        for (weight, values) in shard.iter().zip(&values) {
            let (dtype, end) = (weight.dtype().0, at + values.len() as u64);
            let entry = serde_json::json!({"dtype": dtype, "shape": weight.shape, "data_offsets": [at, end]});
            entries.insert(weight.name.clone(), entry);
            index.insert(weight.name.clone(), name.clone());
            at = end;
        }
        let mut header = serde_json::Value::from(entries).to_string();
        header.push_str(&" ".repeat(header.len().next_multiple_of(8) - header.len()));
        let mut offset = 8 + header.len() as u64;
        let mut file = BufWriter::new(File::create(folder.join(&name))?);
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(header.as_bytes())?;
        for (weight, values) in shard.iter().zip(&values) {
            file.write_all(values)?;
            let own =
                tensors.get_mut(&weight.name).ok_or_else(|| format!("skeleton.pt has no {}", weight.name))?;
            let size: Vec<i64> = weight.shape.iter().map(|extent| *extent as i64).collect();
            let given = Tensor::f_from_data_size(values, &size, weight.dtype().1)?;
            tch::no_grad(|| own.f_set_source_tensor_(&given).map(drop))?;
            if weight.name != COUNT {
                let length = values.len() as u64;
                let external = ValuesAt::File { location: &name, offset, length };
                sharded.weight(&weight.name, &weight.shape, external)?;
                whole.weight(&weight.name, &weight.shape, ValuesAt::Here(values))?;
            }
            offset += values.len() as u64;
        }
        file.flush()?;
        largest = largest.max(offset);
    }
    let index = serde_json::json!({"weight_map": index});
    std::fs::write(folder.join(INDEX), index.to_string())?;
    module.save(folder.join("whole.pt"))?;
    for file in [sharded, whole] {
        graph(file)?;
    }
    Ok(largest as f64)
}

/// The parameters and buffers of the skeleton.
fn tensors(module: &CModule) -> Result<BTreeMap<String, Tensor>, Failure> {
    let mut tensors: BTreeMap<String, Tensor> = module.named_parameters()?.into_iter().collect();
    if let IValue::GenericDict(entries) = module.method_is::<IValue>("lockstep_buffers", &[])? {
        for entry in entries {
            if let (IValue::String(name), IValue::Tensor(tensor)) = entry {
                tensors.insert(name, tensor);
            }
        }
    }
    Ok(tensors)
}

/// Adds the nodes to a file that has its weights.
fn graph(mut file: OnnxFile) -> Result<(), Failure> {
    let mut last = "x".to_owned();
    for place in 0..LAYERS {
        let (sum, output) = (format!("sum{place}"), format!("layer{place}"));
        let [weight, bias] = ["weight", "bias"].map(|part| format!("layers.{place}.{part}"));
        file.node("Gemm", &[&last, &weight, &bias], &sum, &[("transB", 1)])?;
        file.node("Relu", &[&sum], &output, &[])?;
        last = output;
    }
    let norm = ["weight", "bias", "running_mean", "running_var"].map(|part| format!("norm.{part}"));
    let inputs: Vec<&str> = [&last].into_iter().chain(&norm).map(String::as_str).collect();
    file.node("BatchNormalization", &inputs, "y", &[])?;
    file.finish(["x", "y"], WIDTH)
}
