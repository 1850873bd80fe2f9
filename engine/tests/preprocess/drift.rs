//! Tests of sound from a source whose real rate is not the nominal one.

use std::f64::consts::TAU;
use std::sync::Arc;

use lockstep_engine::align::Part;
use lockstep_engine::ingest::OnDrift;
use lockstep_engine::media::{Media, Pcm, PcmFormat};
use lockstep_engine::preprocess::spec::WaveformSpec;
use lockstep_engine::preprocess::{Preprocess, RowInfo};
use lockstep_engine::sample::Sample;
use proptest::prelude::*;

use crate::support::{floats_of, make, sample, window};

const BASE: i64 = 1_700_000_000_123_456_789;
const SECOND: i64 = 1_000_000_000;

/// A microphone that records a tone.
#[derive(Clone, Copy, Debug)]
struct Microphone {
    nominal: u32,
    /// The real rate over the nominal one less 1, in parts per million.
    ppm: f64,
    hertz: f64,
    /// Frames of a chunk.
    chunk: i64,
    /// The resolution of timestamps, in nanoseconds.
    grain: i64,
}

impl Microphone {
    /// The time of a frame, in seconds since the beginning.
    fn time_of(&self, frame: i64) -> f64 {
        frame as f64 / (f64::from(self.nominal) * (1.0 + self.ppm / 1e6))
    }

    fn chunk(&self, index: i64) -> Arc<Sample> {
        let frames = index * self.chunk..(index + 1) * self.chunk;
        let payload = frames.clone().flat_map(|frame| self.tone(self.time_of(frame)).to_le_bytes()).collect();
        let time = BASE + (self.time_of(frames.start) * SECOND as f64).round() as i64;
        let media = Media::Pcm(Pcm { rate: self.nominal, channels: 1, format: PcmFormat::F32Le });
        sample(media, payload, time - time.rem_euclid(self.grain))
    }

    /// The tone at a time.
    fn tone(&self, seconds: f64) -> f32 {
        (0.5 * (TAU * self.hertz * seconds).sin()) as f32
    }

    /// The chunks that touch a window, in seconds since the beginning.
    fn part(&self, from: f64, to: f64) -> Part<Arc<Sample>> {
        let real = f64::from(self.nominal) * (1.0 + self.ppm / 1e6);
        let first = ((from * real) as i64 / self.chunk - 1).max(0);
        let last = (to * real) as i64 / self.chunk + 1;
        let nanos = |seconds: f64| BASE + (seconds * SECOND as f64).round() as i64;
        window((first..=last).map(|index| self.chunk(index)).collect(), nanos(from), nanos(to))
    }

    /// The largest error of a row of one second against the tone, from one second on, and the covered share.
    fn error(&self, rate: u32, seconds: f64, drift: OnDrift) -> (f64, f64) {
        let from = 1.0037;
        let length = (f64::from(rate) * seconds).round() as usize;
        let (row, coverage) = wave(&self.part(from, from + seconds), rate, length, drift);
        let off = row
            .iter()
            .enumerate()
            .map(|(n, found)| f64::from(*found - self.tone(from + n as f64 / f64::from(rate))).abs());
        (off.fold(0.0, f64::max), coverage)
    }
}

fn wave(input: &Part<Arc<Sample>>, rate: u32, length: usize, drift: OnDrift) -> (Vec<f32>, f64) {
    let spec = WaveformSpec { rate, length, scale: 1.0, drift };
    let (row, info) = make(&Preprocess::Waveform(spec), input).expect("wave");
    let RowInfo::Sound { coverage } = info else { panic!("not sound: {info:?}") };
    (floats_of(row), coverage)
}

/// The error is at most a tenth of a percent of the tone's amplitude of 0.5, at the same rate.
#[test]
fn drift_correction_restores_the_sound() {
    for (ppm, chunk, seconds) in [
        (150.0, 320, 1.0),
        (-150.0, 320, 1.0),
        (20.0, 1_024, 5.0),
        (-200.0, 1_600, 30.0),
        (10_000.0, 320, 1.0),
        (-10_000.0, 441, 2.0),
    ] {
        for hertz in [100.0, 440.0, 3_000.0] {
            let microphone = Microphone { nominal: 16_000, ppm, hertz, chunk, grain: 1 };
            let (off, coverage) = microphone.error(16_000, seconds, OnDrift::Resample);
            assert!(off < 5e-4, "{ppm} ppm, {hertz} Hz: off by {off}");
            assert_eq!(coverage, 1.0, "{ppm} ppm, {hertz} Hz");
            let (off, _) = microphone.error(16_000, seconds, OnDrift::Ignore);
            assert!(off > 0.005, "{ppm} ppm, {hertz} Hz: off by {off} without correction");
        }
    }
}

#[test]
fn drift_correction_works_with_another_rate() {
    for nominal in [8_000, 44_100, 48_000] {
        for ppm in [150.0, -10_000.0] {
            let chunk = i64::from(nominal) / 50;
            let microphone = Microphone { nominal, ppm, hertz: 440.0, chunk, grain: 1 };
            let (off, coverage) = microphone.error(16_000, 1.0, OnDrift::Resample);
            assert!(off < 1e-3, "{nominal} Hz, {ppm} ppm: off by {off}");
            assert_eq!(coverage, 1.0);
        }
    }
}

/// Half a minute of a drift of 150 ppm are 4.5 ms: without correction there are four gaps or overlaps of one.
#[test]
fn millisecond_timestamps_move_the_sound_by_less_than_one() {
    for ppm in [150.0, -150.0, 2_000.0] {
        let microphone = Microphone { nominal: 16_000, ppm, hertz: 50.0, chunk: 1_024, grain: 1_000_000 };
        // A tone of 50 Hz moves by 0.157 in a millisecond.
        let (off, coverage) = microphone.error(16_000, 30.0, OnDrift::Resample);
        assert!(off < 0.1, "{ppm} ppm: off by {off}");
        assert_eq!(coverage, 1.0);
    }
}

/// The second difference of a tone of 100 Hz is below 8e-4 everywhere; a gap or a doubled frame makes it far larger.
#[test]
fn drift_correction_leaves_no_borders_of_chunks() {
    for (ppm, grain) in [(150.0, 1), (-10_000.0, 1), (10_000.0, 1_000_000), (-500.0, 1_000_000)] {
        let microphone = Microphone { nominal: 16_000, ppm, hertz: 100.0, chunk: 320, grain };
        let (row, _) = wave(&microphone.part(1.0, 9.0), 16_000, 128_000, OnDrift::Resample);
        let bend = |at: &[f32]| (at[0] - 2.0 * at[1] + at[2]).abs();
        let most = row.windows(3).map(bend).fold(0.0, f32::max);
        assert!(most < 1e-3, "{ppm} ppm: {most}");
        let (row, _) = wave(&microphone.part(1.0, 9.0), 16_000, 128_000, OnDrift::Ignore);
        let most = row.windows(3).map(bend).fold(0.0, f32::max);
        assert!(most > 2e-3, "{ppm} ppm: {most} without correction");
    }
}

#[test]
fn lost_chunk_stays_a_gap() {
    let microphone = Microphone { nominal: 16_000, ppm: 150.0, hertz: 440.0, chunk: 320, grain: 1 };
    let mut part = microphone.part(1.0, 2.0);
    part.samples.remove(25);
    let (row, coverage) = wave(&part, 16_000, 16_000, OnDrift::Resample);
    assert!((coverage - 0.98).abs() < 2e-4, "{coverage}");
    let silent = row.iter().filter(|value| **value == 0.0).count();
    assert!((318..=325).contains(&silent), "{silent}");
    // Around the gap, except within the filter's reach, is the tone.
    let first = row.iter().position(|value| *value == 0.0).expect("a gap");
    for (n, found) in row.iter().enumerate().filter(|(n, _)| !(first - 40..first + 360).contains(n)) {
        let expected = microphone.tone(1.0 + n as f64 / 16_000.0);
        assert!((found - expected).abs() < 5e-4, "{n}: {found} {expected}");
    }
}

/// Frames lost within a chunk are not compensated by stretching the others.
#[test]
fn jump_is_not_stretched_away() {
    let steady = Microphone { nominal: 16_000, ppm: 0.0, hertz: 440.0, chunk: 1_600, grain: 1 };
    let mut part = steady.part(0.0, 2.0);
    for (index, sample) in part.samples.iter_mut().enumerate().skip(10) {
        *sample = crate::support::sample(
            sample.media,
            sample.record.payload.to_vec(),
            steady.chunk(index as i64).event_time.as_nanos() + 2_500_000,
        );
    }
    let corrected = wave(&part, 16_000, 32_000, OnDrift::Resample);
    assert_eq!(corrected, wave(&part, 16_000, 32_000, OnDrift::Ignore));
    assert!(corrected.1 < 1.0);
}

/// The row is the same for any cut into chunks: it has no sound beyond its window.
#[test]
fn row_is_silent_beyond_the_end_of_a_part() {
    let microphone = Microphone { nominal: 16_000, ppm: 0.0, hertz: 440.0, chunk: 16_000, grain: 1 };
    for drift in [OnDrift::Ignore, OnDrift::Resample] {
        let (row, coverage) = wave(&microphone.part(0.25, 0.75), 16_000, 16_000, drift);
        assert!((microphone.tone(0.25 + 7_999.0 / 16_000.0) - row[7_999]).abs() < 1e-6);
        assert!(row[8_000..].iter().all(|value| *value == 0.0));
        assert_eq!(coverage, 0.5);
    }
    let microphone = Microphone { nominal: 48_000, chunk: 48_000, ..microphone };
    let (row, coverage) = wave(&microphone.part(0.25, 0.75), 16_000, 16_000, OnDrift::Ignore);
    assert!(row[8_000..].iter().all(|value| *value == 0.0));
    assert!((microphone.tone(0.25 + 7_999.0 / 16_000.0) - row[7_999]).abs() < 1e-3, "no edge is heard");
    assert_eq!(coverage, 0.5);
    // A window that ends between two samples includes the first of them.
    let (_, coverage) = wave(&microphone.part(0.0, 100.4 / 16_000.0), 16_000, 16_000, OnDrift::Ignore);
    assert_eq!(coverage, 101.0 / 16_000.0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Timestamps jitter by less than a quarter of a frame, or are rounded to milliseconds.
    #[test]
    fn drift_correction_changes_nothing_without_drift(
        nominal in prop::sample::select(vec![8_000u32, 16_000, 22_050, 44_100, 48_000]),
        chunk in 100i64..3_000,
        begin in 0.0f64..3.0,
        seconds in 0.05f64..3.0,
        grain in prop::sample::select(vec![1i64, 1_000_000]),
        seed in any::<u64>(),
    ) {
        let microphone = Microphone { nominal, ppm: 0.0, hertz: 300.0, chunk, grain };
        let mut part = microphone.part(begin, begin + seconds);
        if grain == 1 {
            let quarter = SECOND / i64::from(nominal) / 4;
            for (index, sample) in part.samples.iter_mut().enumerate() {
                let off = (seed.rotate_left(index as u32 * 7) % (2 * quarter as u64)) as i64 - quarter;
                let time = sample.event_time.as_nanos() + off;
                *sample = crate::support::sample(sample.media, sample.record.payload.to_vec(), time);
            }
        }
        let length = (seconds * 16_000.0) as usize;
        prop_assert_eq!(wave(&part, 16_000, length, OnDrift::Resample), wave(&part, 16_000, length, OnDrift::Ignore));
    }
}
