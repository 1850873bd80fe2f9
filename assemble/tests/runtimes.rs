//! One model through every runtime that has it gives the same outputs on real speech.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on says why and ends")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use lockstep_assemble::backends_for;
use lockstep_backend::{Model, digest_of};
use lockstep_engine::infer::digest::FileDigest;
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

/// A model of the repository, and the name of its backend.
fn shipped(name: &str) -> (String, LoadModel) {
    let folder = root().join("models").join(name).join("1");
    let text = std::fs::read_to_string(folder.join("model.toml")).expect("model.toml");
    let manifest = Manifest::parse(&text).expect("a good model.toml");
    let model = manifest.model(&folder, name, "1");
    (manifest.backend, model)
}

fn load(name: &str) -> Box<dyn Model> {
    let (backend, model) = shipped(name);
    try_load(&backend, &model).unwrap_or_else(|error| panic!("{error}"))
}

fn try_load(name: &str, model: &LoadModel) -> Result<Box<dyn Model>, String> {
    let backends = backends_for([Device::Cpu]);
    let backend = backends.iter().find(|backend| backend.name() == name).expect("a known backend");
    backend.load(model).map_err(|error| error.to_string())
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

#[test]
fn shipped_models_have_their_digests() {
    let about = std::fs::read_to_string(root().join("models/README.md")).expect("readable");
    for name in ["faces"].iter().chain(&VOICES) {
        let (_, model) = shipped(name);
        let digest = digest_of(&model.file).expect("readable");
        assert_eq!(model.sha256, Some(digest), "{name}");
        assert!(about.contains(&digest.to_string()), "models/README.md has another digest of {name}");
    }
}

#[test]
fn backend_checks_the_digest_before_it_reads_the_file() {
    let mut left: BTreeSet<_> =
        backends_for([Device::Cpu]).iter().map(|backend| backend.name().to_owned()).collect();
    // The builtin identity has no file.
    left.remove("builtin");
    let folder = tempfile::tempdir().expect("a folder");
    for name in VOICES {
        let (backend, good) = shipped(name);
        assert!(left.remove(&backend));
        // A load would succeed, and another would fail by what the file contains.
        let garbled = folder.path().join("garbled");
        std::fs::write(&garbled, "PK").expect("written");
        let other = Some(FileDigest([0; 32]));
        for model in
            [LoadModel { sha256: other, ..good.clone() }, LoadModel { file: garbled.clone(), ..good.clone() }]
        {
            let error = try_load(&backend, &model).err().expect("another digest");
            assert!(error.contains("its SHA-256 digest is"), "{error}");
        }
        let error = try_load(&backend, &LoadModel { file: garbled, sha256: None, ..good }).err();
        assert!(error.is_some_and(|error| error.contains("that loads")), "{backend}");
    }
    assert!(left.is_empty(), "not tried: {left:?}");
}
