//! Compares the repository's models, on real frames and real speech, with golden files made in Python with the same
//! model files.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on says why and ends")]

mod support;

use lockstep_engine::infer::load_model::{LoadModel, Optimize};
use lockstep_engine::infer::rows::{assemble, split};
use lockstep_engine::infer::state::StateStore;
use lockstep_engine::sample::StreamKey;
use lockstep_engine::tensor::Tensor;
use serde_json::Value;
use support::{VIDEO, decode, f32s, frame, golden, load, model, sound};

fn close(what: &str, found: &Tensor, expected: &Value, tolerance: f32) {
    fn leaves(value: &Value, into: &mut Vec<f32>) {
        match value {
            Value::Array(values) => values.iter().for_each(|value| leaves(value, into)),
            number => into.push(number.as_f64().expect("a number") as f32),
        }
    }
    let mut wanted = Vec::new();
    leaves(expected, &mut wanted);
    let found = found.elements::<f32>().expect("f32");
    assert_eq!(found.len(), wanted.len(), "{what}: {found:?} against {wanted:?}");
    for (found, wanted) in found.iter().zip(&wanted) {
        assert!((found - wanted).abs() <= tolerance, "{what}: {found} against {wanted}");
    }
}

#[test]
fn faces_match_the_golden_file_in_every_form() {
    for (word, optimize) in Optimize::WORDS {
        let model = model("faces", &[("height", 240), ("width", 320)]);
        faces_match(word, &LoadModel { optimize, warm_up: vec![1], ..model });
    }
}

/// Frames one by one, and then together.
fn faces_match(form: &str, model: &LoadModel) {
    let mut faces = load(model);
    let golden = golden("faces");
    let clip = golden
        .as_array()
        .expect("clips")
        .iter()
        .find(|clip| clip["clip"].as_str().expect("a path").ends_with("obama_speech.mp4"));
    let entries = clip.expect("the clip that set-up fetches")["frames"].as_array().expect("frames");
    let video = decode(VIDEO);
    let frames: Vec<Tensor> = entries
        .iter()
        .map(|entry| frame(&video, entry["index"].as_u64().expect("an index") as usize))
        .collect();

    let mut run = |rows: &[&Tensor]| {
        let batch = assemble(&model.signature.inputs[0], rows).expect("frames of one size");
        let outputs = faces.run(&mut [batch]).unwrap_or_else(|error| panic!("{error}"));
        split(&model.signature, rows.len(), &outputs, |_| true).expect("as the signature says")
    };
    let mut alone = Vec::new();
    for frame in &frames {
        alone.extend(run(&[frame]));
    }
    let together = run(&frames.iter().collect::<Vec<_>>());
    for outputs in [&alone, &together] {
        assert_eq!(outputs.len(), entries.len());
        for (entry, output) in entries.iter().zip(outputs) {
            close(&format!("boxes, {form}"), output.get(0).expect("kept"), &entry["boxes"], 0.05);
            close(&format!("scores, {form}"), output.get(1).expect("kept"), &entry["scores"], 0.001);
            close(&format!("landmarks, {form}"), output.get(2).expect("kept"), &entry["landmarks"], 0.05);
        }
    }
}

#[test]
fn batch_without_faces_gives_empty_rows() {
    let model = model("faces", &[]);
    let outputs =
        load(&model).run(&mut [Tensor::zeros(lockstep_engine::tensor::DType::F32, &[2, 3, 48, 64])]);
    let rows = split(&model.signature, 2, &outputs.expect("runs"), |_| true).expect("as the signature says");
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0].get(0).expect("kept").shape(), [0, 4]);
    assert_eq!(rows[0].get(2).expect("kept").shape(), [0, 5, 2]);
}

#[test]
fn voice_matches_the_golden_file_in_one_call() {
    let golden = golden("voice");
    let samples = golden["samples"].as_u64().expect("a count") as usize;
    let audio = sound()[..samples].to_vec();
    let model = model("voice", &[]);
    let outputs = load(&model).run(&mut [
        f32s(&[1, samples], audio),
        Tensor::zeros(lockstep_engine::tensor::DType::F32, &[2, 1, 128]),
        Tensor::zeros(lockstep_engine::tensor::DType::F32, &[1, 64]),
    ]);
    close("probabilities", &outputs.expect("runs")[0], &golden["probabilities"], 0.01);
}

/// Other streams come and go beside the golden one; each call takes two chunks of 512 samples.
#[test]
fn voice_matches_the_golden_file_with_state_across_batches() {
    const LENGTH: usize = 1024;
    let golden = golden("voice");
    let sound = sound();
    let calls = golden["samples"].as_u64().expect("a count") as usize / LENGTH;
    let model = model("voice", &[]);
    let signature = &model.signature;
    let mut voice = load(&model);
    let mut store = StateStore::new(signature, 16);
    let streams: Vec<StreamKey> = ["golden", "one", "two", "three"].map(StreamKey::from).to_vec();
    let mut heard = Vec::new();
    for call in 0..calls {
        // The golden stream is in every batch, at a place that changes.
        let mut batch: Vec<usize> = (0..=call % streams.len()).collect();
        batch.rotate_left(call % 3 % (call % streams.len() + 1));
        let rows: Vec<Tensor> = batch
            .iter()
            .map(|stream| {
                let from = (call + stream * 7) * LENGTH % (sound.len() - LENGTH);
                f32s(&[LENGTH], sound[from..from + LENGTH].to_vec())
            })
            .collect();
        let keys: Vec<&StreamKey> = batch.iter().map(|stream| &streams[*stream]).collect();
        let audio = assemble(&signature.inputs[0], &rows.iter().collect::<Vec<_>>()).expect("one length");
        let mut inputs = vec![audio];
        inputs.extend(store.batch(&keys).expect("each stream once").into_iter().map(|(_, tensor)| tensor));
        let outputs = voice.run(&mut inputs).unwrap_or_else(|error| panic!("{error}"));
        let outputs = split(signature, batch.len(), &outputs, |_| true).expect("as the signature says");
        let under: Vec<(&StreamKey, u32)> = keys.iter().map(|key| (*key, 1)).collect();
        store.store(&under, &outputs);
        let place = batch.iter().position(|stream| *stream == 0).expect("the golden stream");
        heard.extend_from_slice(outputs[place].get(0).expect("kept").elements::<f32>().expect("f32"));
    }
    let count = heard.len();
    close("probabilities", &f32s(&[count], heard), &golden["probabilities"], 0.01);
}
