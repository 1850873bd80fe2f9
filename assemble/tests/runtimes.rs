//! One model through every runtime that has it gives the same outputs on real speech.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on says why and ends")]

use std::path::{Path, PathBuf};
use std::process::Command;

use lockstep_assemble::backends_for;
use lockstep_backend::Model;
use lockstep_engine::infer::extents::Extents;
use lockstep_engine::infer::load_model::{Device, LoadModel};
use lockstep_engine::infer::manifest::Manifest;
use lockstep_engine::tensor::{DType, Tensor};

/// The forms of one model.
const VOICES: [&str; 3] = ["voice", "voice-onnx", "voice-pt2"];
const CHUNK: usize = 512;
const BATCH: usize = 3;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn load(name: &str) -> Box<dyn Model> {
    let folder = root().join("models").join(name).join("1");
    let text = std::fs::read_to_string(folder.join("model.toml")).expect("model.toml");
    let manifest = Manifest::parse(&text).expect("a good model.toml");
    let model = LoadModel {
        name: name.to_owned(),
        version: "1".to_owned(),
        file: folder.join(manifest.file.expect("a file")),
        signature: manifest.signature,
        device: Device::Cpu,
        threads: 1,
        warm_up: Vec::new(),
        extents: Extents::default(),
    };
    let backends = backends_for([Device::Cpu]);
    let backend =
        backends.iter().find(|backend| backend.name() == manifest.backend).expect("a known backend");
    backend.load(&model).unwrap_or_else(|error| panic!("{error}"))
}

/// The clip's sound, as 16 kHz mono.
fn sound() -> Vec<f32> {
    let setup = root().join(".setup");
    let output = Command::new(setup.join("ffmpeg"))
        .args(["-v", "error", "-bitexact", "-i"])
        .arg(setup.join("clip.mp4"))
        .args(["-map", "0:a:0", "-ac", "1", "-ar", "16000", "-f", "f32le", "-"])
        .output()
        .expect("`make setup` fetches ffmpeg");
    assert!(output.status.success(), "ffmpeg: {}", String::from_utf8_lossy(&output.stderr));
    output
        .stdout
        .chunks_exact(4)
        .map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
        .collect()
}

/// Runs the clip in calls of `chunks`, each row a part of it, and returns every output of every call.
fn hear(model: &mut dyn Model, sound: &[f32], chunks: usize) -> Vec<Vec<Tensor>> {
    let part = sound.len() / BATCH / CHUNK * CHUNK;
    let mut state =
        vec![Tensor::zeros(DType::F32, &[2, BATCH, 128]), Tensor::zeros(DType::F32, &[BATCH, 64])];
    let mut all = Vec::new();
    for call in 0..part / (CHUNK * chunks) {
        let audio: Vec<f32> = (0..BATCH)
            .flat_map(|row| sound.iter().skip(row * part + call * chunks * CHUNK).take(chunks * CHUNK))
            .copied()
            .collect();
        let audio = Tensor::new(vec![BATCH, chunks * CHUNK], &audio).expect("whole chunks");
        let mut inputs = vec![audio];
        inputs.append(&mut state);
        let outputs = model.run(&mut inputs).unwrap_or_else(|error| panic!("{error}"));
        state = outputs[1..].to_vec();
        all.push(outputs);
    }
    all
}

#[test]
fn voice_gives_the_same_in_every_runtime() {
    let sound = sound();
    for chunks in [1, 2, 16] {
        let reference = hear(load(VOICES[0]).as_mut(), &sound, chunks);
        assert!(reference.len() > 3, "the clip is long enough");
        for name in &VOICES[1..] {
            let found = hear(load(name).as_mut(), &sound, chunks);
            assert_eq!(found.len(), reference.len());
            let mut furthest = [0.0_f32; 3];
            for (found, expected) in found.iter().zip(&reference) {
                for (place, (found, expected)) in found.iter().zip(expected).enumerate() {
                    assert_eq!((found.dtype(), found.shape()), (expected.dtype(), expected.shape()));
                    let pairs = found.floats().expect("floats");
                    let pairs = pairs.iter().zip(expected.elements::<f32>().expect("f32"));
                    furthest[place] =
                        pairs.map(|(one, other)| (one - other).abs()).fold(furthest[place], f32::max);
                }
            }
            // Values of the state reach 17.
            let [probability, state, context] = furthest;
            assert!(probability <= 1e-4 && state <= 1e-3 && context == 0.0, "{name}, {chunks}: {furthest:?}");
        }
    }
}
