//! What one row costs. `compare.py` beside this file measures Pillow and librosa on the same work.

#![allow(missing_docs, reason = "criterion's macros make functions without any")]
#![allow(clippy::expect_used, reason = "a benchmark may stop")]

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use lockstep_engine::align::Part;
use lockstep_engine::budget::Reservation;
use lockstep_engine::media::{Media, Pcm, PcmFormat};
use lockstep_engine::position::{InputId, Position};
use lockstep_engine::preprocess::spec::{
    Color, CropAspect, CropSpec, DecodeDetail, Filter, ImageRegion, ImageSpec, Layout, LogMelSpec, MelLog,
    MelScale, Resize, WaveformSpec,
};
use lockstep_engine::preprocess::{Detection, Preprocess, Preprocessor, Scratch, rows};
use lockstep_engine::sample::{Record, Sample};
use lockstep_engine::tensor::{DType, Tensor};
use lockstep_engine::time::Timestamp;

fn part(media: Media, payload: Vec<u8>) -> Part<Arc<Sample>> {
    let at = Timestamp::from_nanos(0);
    let record = Record {
        position: Position::new(InputId(0), 0, 0),
        key: None,
        payload: payload.into(),
        headers: Vec::new(),
        timestamp: None,
        polled_at: at,
        read_at: at,
    };
    let sample = Sample {
        record,
        stream: "bench".into(),
        event_time: at,
        duration: Duration::ZERO,
        media,
        reservation: Reservation::default(),
        same_time: Default::default(),
        assignment: 0,
        damage: Default::default(),
    };
    Part {
        samples: [Arc::new(sample)].into_iter().collect(),
        from: at,
        to: at,
        skew_ns: None,
        coverage: None,
        held: false,
    }
}

fn measure(criterion: &mut Criterion, name: &str, settings: &Preprocess, part: &Part<Arc<Sample>>) {
    let preprocessor = Preprocessor::new(settings).expect("settings");
    let shape: Vec<usize> = [1].iter().chain(preprocessor.shape()).copied().collect();
    let mut tensor = Tensor::zeros(preprocessor.dtype(), &shape);
    let mut scratch = Scratch::default();
    criterion.bench_function(name, |bencher| {
        bencher.iter(|| {
            let row = rows(&mut tensor).pop().expect("a row");
            preprocessor.write_row(black_box(part), row, &mut scratch).expect("a good payload")
        });
    });
}

#[allow(clippy::disallowed_methods, reason = "a benchmark reads a picture")]
fn jpeg(criterion: &mut Criterion) {
    let spec = ImageSpec {
        width: 224,
        height: 224,
        resize: Resize::Stretch(Filter::Bilinear),
        region: Default::default(),
        color: Color::Rgb,
        scale: 1.0 / 255.0,
        mean: [0.485, 0.456, 0.406],
        std: [0.229, 0.224, 0.225],
        layout: Layout::Chw,
        dtype: DType::F32,
        max_pixels: 1 << 24,
        decode: DecodeDetail::Full,
        care: Default::default(),
    };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/preprocess/bench-640x480.jpg");
    let payload = std::fs::read(path).expect("the picture");
    measure(
        criterion,
        "jpeg 640x480 to 3x224x224",
        &Preprocess::Image(spec.clone()),
        &part(Media::Jpeg, payload),
    );

    // A frame of a camera, large for the model that looks at it.
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/preprocess/bench-1920x1080.jpg");
    let payload = std::fs::read(path).expect("the picture");
    for (name, decode) in [("full", DecodeDetail::Full), ("scaled", DecodeDetail::Scaled)] {
        let settings = Preprocess::Image(ImageSpec { width: 320, height: 240, decode, ..spec.clone() });
        let name = format!("jpeg 1920x1080 to 3x240x320, {name}");
        measure(criterion, &name, &settings, &part(Media::Jpeg, payload.clone()));
    }
}

/// Crops of one frame, each as a row: of a batch that decodes the frame once, and of a batch for each.
#[allow(clippy::disallowed_methods, reason = "a benchmark reads a picture")]
fn crops(criterion: &mut Criterion) {
    let spec = CropSpec { margin: 0.2, aspect: CropAspect::Square, fill: [0; 3] };
    let settings = Preprocess::Image(ImageSpec {
        width: 64,
        height: 64,
        resize: Resize::Stretch(Filter::Bilinear),
        region: ImageRegion::Crop(spec),
        color: Color::Rgb,
        scale: 1.0 / 255.0,
        mean: [0.5; 3],
        std: [0.5; 3],
        layout: Layout::Chw,
        dtype: DType::F32,
        max_pixels: 1 << 24,
        decode: DecodeDetail::Full,
        care: Default::default(),
    });
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/preprocess/bench-1920x1080.jpg");
    let part = part(Media::Jpeg, std::fs::read(path).expect("the picture"));
    let preprocessor = Preprocessor::new(&settings).expect("good settings");
    let detections: Vec<Detection> = (0..8)
        .map(|place| {
            let left = f64::from(place) * 220.0;
            let corners = [left, 300.0, left + 180.0, 500.0];
            Detection { row: 0, corners, score: 1.0, landmarks: Vec::new() }
        })
        .collect();
    let mut scratch = Scratch::default();
    for together in [8, 1] {
        let mut tensor = Tensor::zeros(DType::F32, &[8, 3, 64, 64]);
        criterion.bench_function(&format!("8 crops of a jpeg 1920x1080, {together} a batch"), |bencher| {
            bencher.iter(|| {
                let mut pairs = rows(&mut tensor).into_iter().zip(&detections);
                for _ in 0..8 / together {
                    let batch = pairs.by_ref().take(together).collect();
                    preprocessor.write_crops(black_box(&part), batch, &mut scratch).expect("a good payload");
                }
            });
        });
    }
}

fn mel(criterion: &mut Criterion) {
    let settings = Preprocess::LogMel(LogMelSpec {
        wave: WaveformSpec { rate: 16_000, length: 16_000, scale: 1.0, drift: Default::default() },
        n_fft: 400,
        win_length: 400,
        hop_length: 160,
        mels: 80,
        f_min: 0.0,
        f_max: 8_000.0,
        scale: MelScale::Slaney,
        slaney_norm: true,
        center: true,
        power: 2.0,
        log: MelLog::Decibel { floor: 1e-10 },
    });
    let value = |n: i32| ((f64::from(n) * f64::from(n) * 1e-4).sin() * 12_000.0) as i16;
    let payload = (0..16_000).flat_map(|n| value(n).to_le_bytes()).collect();
    let media = Media::Pcm(Pcm { rate: 16_000, channels: 1, format: PcmFormat::S16Le });
    measure(criterion, "log-mel of 1 s, 80 bands", &settings, &part(media, payload));
}

criterion_group!(benches, jpeg, crops, mel);
criterion_main!(benches);
