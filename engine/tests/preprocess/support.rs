//! Helpers of the tests of preprocessing.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lockstep_engine::align::Part;
use lockstep_engine::budget::Reservation;
use lockstep_engine::ingest::duration::duration;
use lockstep_engine::media::Media;
use lockstep_engine::position::{InputId, Position};
use lockstep_engine::preprocess::spec::{LogMelSpec, MelLog, MelScale, WaveformSpec};
use lockstep_engine::preprocess::{Preprocess, Preprocessor, RowFault, RowInfo, Scratch, rows};
use lockstep_engine::sample::{Record, Sample};
use lockstep_engine::tensor::Tensor;
use lockstep_engine::time::Timestamp;

#[path = "../../../fuzz/checks/picture.rs"]
mod picture;

pub(crate) use picture::picture as image;

/// The path of a golden file.
pub(crate) fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/preprocess").join(name)
}

/// A golden file.
#[allow(clippy::disallowed_methods, reason = "a test reads golden files")]
pub(crate) fn golden(name: &str) -> Vec<u8> {
    std::fs::read(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The type of a file by its name.
pub(crate) fn media_of(name: &str) -> Media {
    match name.rsplit('.').next() {
        Some("jpg") => Media::Jpeg,
        Some("png") => Media::Png,
        Some("webp") => Media::WebP,
        Some("wav") => Media::Wav,
        Some("flac") => Media::Flac,
        _ => Media::Text,
    }
}

/// A sample at a time, in nanoseconds.
pub(crate) fn sample(media: Media, payload: Vec<u8>, at: i64) -> Arc<Sample> {
    let event_time = Timestamp::from_nanos(at);
    Arc::new(Sample {
        duration: duration(&media, &payload).unwrap_or(Duration::ZERO),
        record: Record {
            position: Position::new(InputId(0), 0, 0),
            key: None,
            payload: payload.into(),
            headers: Vec::new(),
            timestamp: None,
            polled_at: event_time,
            read_at: event_time,
        },
        stream: "s".into(),
        event_time,
        media,
        reservation: Reservation::default(),
        same_time: Default::default(),
        assignment: 0,
        damage: Default::default(),
    })
}

/// A part without a window.
pub(crate) fn part(samples: Vec<Arc<Sample>>) -> Part<Arc<Sample>> {
    let at = samples.first().map(|sample| sample.event_time).unwrap_or_default();
    Part { samples: samples.into(), from: at, to: at, skew_ns: Some(0), coverage: None, held: false }
}

/// A part with a window, in nanoseconds.
pub(crate) fn window(samples: Vec<Arc<Sample>>, from: i64, to: i64) -> Part<Arc<Sample>> {
    let (from, to) = (Timestamp::from_nanos(from), Timestamp::from_nanos(to));
    Part { samples: samples.into(), from, to, skew_ns: Some(0), coverage: Some(1.0), held: false }
}

/// Makes one row with new memory.
pub(crate) fn make(settings: &Preprocess, part: &Part<Arc<Sample>>) -> Result<(Tensor, RowInfo), RowFault> {
    let preprocessor = Preprocessor::new(settings).expect("settings");
    make_with(&preprocessor, part, &mut Scratch::default())
}

/// Makes one row with a given preprocessor and scratch.
pub(crate) fn make_with(
    preprocessor: &Preprocessor,
    part: &Part<Arc<Sample>>,
    scratch: &mut Scratch,
) -> Result<(Tensor, RowInfo), RowFault> {
    let shape: Vec<usize> = [1].iter().chain(preprocessor.shape()).copied().collect();
    let mut tensor = Tensor::zeros(preprocessor.dtype(), &shape);
    // Batches reuse memory: old values must not show through.
    tensor.bytes_mut().fill(0xA5);
    let row = rows(&mut tensor).pop().expect("a row");
    let info = preprocessor.write_row(part, row, scratch)?;
    Ok((tensor, info))
}

/// The elements of a tensor of f32.
pub(crate) fn floats_of(tensor: Tensor) -> Vec<f32> {
    tensor.elements::<f32>().expect("f32").to_vec()
}

/// The elements of a tensor of u8.
pub(crate) fn bytes_of(tensor: Tensor) -> Vec<u8> {
    tensor.elements::<u8>().expect("u8").to_vec()
}

/// Half a second at 16 kHz to 80 bands, in decibels as in librosa.
pub(crate) fn log_mel() -> LogMelSpec {
    LogMelSpec {
        wave: WaveformSpec { rate: 16_000, length: 8_000, scale: 1.0, drift: Default::default() },
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
    }
}
