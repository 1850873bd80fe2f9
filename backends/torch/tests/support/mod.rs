//! Shared code of the tests of real models: the models of the repository, and the clip that set-up fetches.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]

use std::path::{Path, PathBuf};
use std::process::Command;

use lockstep_backend::{Backend, Model};
use lockstep_engine::infer::extents::Extents;
use lockstep_engine::infer::load_model::LoadModel;
use lockstep_engine::infer::manifest::Manifest;
use lockstep_engine::tensor::Tensor;
use lockstep_torch::TorchBackend;

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A model of the repository, as the settings would load it.
pub fn model(name: &str, extents: &[(&str, usize)]) -> LoadModel {
    let folder = root().join("models").join(name).join("1");
    let text = std::fs::read_to_string(folder.join("model.toml")).expect("model.toml");
    let manifest = Manifest::parse(&text).expect("a good model.toml");
    let mut known = Extents::default();
    for (name, extent) in extents {
        known.set(name, *extent);
    }
    LoadModel { extents: known, ..manifest.model(&folder, name, "1") }
}

pub fn load(model: &LoadModel) -> Box<dyn Model> {
    TorchBackend::new([model.device]).load(model).unwrap_or_else(|error| panic!("{error}"))
}

pub fn f32s(shape: &[usize], values: Vec<f32>) -> Tensor {
    Tensor::new(shape.to_vec(), &values).expect("as many values as the shape says")
}

pub fn golden(name: &str) -> serde_json::Value {
    let text =
        std::fs::read_to_string(root().join("models").join(name).join("golden.json")).expect("golden file");
    serde_json::from_str(&text).expect("JSON")
}

/// The clip, decoded by the ffmpeg that set-up fetches.
pub fn decode(arguments: &str) -> Vec<u8> {
    let setup = root().join(".setup");
    let (ffmpeg, clip) = (setup.join("ffmpeg"), setup.join("clip.mp4"));
    for file in [&ffmpeg, &clip] {
        assert!(file.is_file(), "{} is not there: run `make setup`, which fetches it", file.display());
    }
    let output = Command::new(ffmpeg)
        .args(["-v", "error", "-bitexact", "-i"])
        .arg(clip)
        .args(arguments.split_whitespace())
        .arg("-")
        .output()
        .expect("ffmpeg starts");
    assert!(output.status.success(), "ffmpeg: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

pub const VIDEO: &str =
    "-map 0:v:0 -fps_mode passthrough -sws_flags accurate_rnd+bitexact -pix_fmt rgb24 -f rawvideo";
pub const AUDIO: &str = "-map 0:a:0 -ac 1 -ar 16000 -f s16le";
pub const HEIGHT: usize = 240;
pub const WIDTH: usize = 320;

/// One frame of the decoded clip as `[3, 240, 320]`, 0 to 255.
pub fn frame(video: &[u8], index: usize) -> Tensor {
    let pixels = HEIGHT * WIDTH;
    let rgb = &video[index * pixels * 3..(index + 1) * pixels * 3];
    let values =
        (0..3).flat_map(|channel| rgb.iter().skip(channel).step_by(3).map(|value| f32::from(*value)));
    f32s(&[3, HEIGHT, WIDTH], values.collect())
}

/// The decoded sound, -1 to 1.
pub fn sound() -> Vec<f32> {
    let bytes = decode(AUDIO);
    bytes.chunks_exact(2).map(|pair| f32::from(i16::from_le_bytes([pair[0], pair[1]])) / 32768.0).collect()
}
