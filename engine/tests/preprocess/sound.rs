//! Tests of sound rows: they are exact to the sample, for any cut into chunks.

use lockstep_engine::align::Part;
use lockstep_engine::media::{Media, Pcm, PcmFormat};
use lockstep_engine::preprocess::spec::WaveformSpec;
use lockstep_engine::preprocess::{Preprocess, RowInfo};
use lockstep_engine::sample::Sample;
use proptest::prelude::*;
use std::sync::Arc;

use crate::support::{floats_of, golden, make, part, sample, window};

const BASE: i64 = 1_700_000_000_123_456_789;

/// Longer than any row here.
const MINUTE: i64 = 60_000_000_000;

fn pcm(rate: u32) -> Media {
    Media::Pcm(Pcm { rate, channels: 1, format: PcmFormat::S16Le })
}

/// The time of a frame, in whole nanoseconds.
fn time_of(frame: i64, rate: u32) -> i64 {
    (i128::from(frame) * 1_000_000_000).div_euclid(i128::from(rate)) as i64
}

/// A signal in which no two neighbours are equal and no value is zero.
fn value(frame: i64) -> i16 {
    (frame.wrapping_mul(7919) % 16_000) as i16 * 2 + 1
}

fn chunk(from: i64, length: i64, rate: u32, at: i64) -> Arc<Sample> {
    let payload = (from..from + length).flat_map(|frame| value(frame).to_le_bytes()).collect();
    sample(pcm(rate), payload, at)
}

fn wave(input: &Part<Arc<Sample>>, rate: u32, length: usize) -> (Vec<f32>, f64) {
    let (row, info) = make(
        &Preprocess::Waveform(WaveformSpec { rate, length, scale: 1.0, drift: Default::default() }),
        input,
    )
    .expect("wave");
    let RowInfo::Sound { coverage } = info else { panic!("not sound: {info:?}") };
    (floats_of(row), coverage)
}

/// Lengths of chunks, each with the gap before it: none, a positive one, or an overlap.
fn chunks() -> impl Strategy<Value = Vec<(i64, i64)>> {
    let before = prop_oneof![4 => Just(0), 1 => 100i64..500, 1 => -500i64..-100];
    prop::collection::vec((501i64..3_000, before), 1..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Compared with the whole signal, frame by frame.
    #[test]
    fn window_is_exact_for_any_chunks_in_any_order(
        rate in prop::sample::select(vec![8_000u32, 16_000, 22_050, 44_100, 48_000]),
        chunks in chunks(),
        begin in -2_000i64..6_000,
        length in 1usize..9_000,
        jitter in -5_000i64..5_000,
        seed in any::<u64>(),
    ) {
        let mut covered = std::collections::HashSet::new();
        let (mut at, mut samples) = (0, Vec::new());
        for (index, (length, before)) in chunks.iter().enumerate() {
            at = (at + before).max(0);
            // The error of each time is less than a quarter of a sample.
            let off = (seed >> (index % 60)) as i64 % 4_000;
            samples.push(chunk(at, *length, rate, BASE + time_of(at, rate) + off));
            covered.extend(at..at + length);
            at += length;
        }
        samples.sort_by_key(|sample| sample.event_time.as_nanos().wrapping_mul(seed as i64 | 1));
        let from = BASE + time_of(begin, rate) + jitter.min(4_000);
        let (row, coverage) = wave(&window(samples, from, from + MINUTE), rate, length);
        let expected: Vec<f32> = (begin..begin + length as i64)
            .map(|frame| if covered.contains(&frame) { f32::from(value(frame)) / 32_768.0 } else { 0.0 })
            .collect();
        let share = expected.iter().filter(|value| **value != 0.0).count() as f64 / length as f64;
        prop_assert_eq!(row, expected);
        prop_assert!((coverage - share).abs() < 1e-12);
    }
}

/// Kafka's own timestamps are in milliseconds: at 44.1 kHz chunks of 1024 frames begin up to 44 frames before their
/// timestamps.
#[test]
fn millisecond_times_leave_neither_gap_nor_doubled_sample() {
    let rate = 44_100;
    let samples = (0..40)
        .map(|index| {
            let exact = BASE + time_of(index * 1_024, rate);
            chunk(index * 1_024, 1_024, rate, exact - exact.rem_euclid(1_000_000))
        })
        .collect::<Vec<_>>();
    let from = samples[0].event_time.as_nanos();
    let (row, coverage) = wave(&window(samples, from, from + MINUTE), rate, 40_000);
    assert_eq!(coverage, 1.0);
    assert!(row.iter().enumerate().all(|(at, found)| *found == f32::from(value(at as i64)) / 32_768.0));
}

#[test]
fn earlier_chunk_wins_where_chunks_overlap() {
    let rate = 16_000;
    let loud = |level: i16| (0..800).flat_map(|_| level.to_le_bytes()).collect::<Vec<u8>>();
    let first = sample(pcm(rate), loud(16_384), BASE);
    let second = sample(pcm(rate), loud(-8_192), BASE + time_of(400, rate));
    for samples in [vec![first.clone(), second.clone()], vec![second, first]] {
        let (row, _) = wave(&window(samples, BASE, BASE + MINUTE), rate, 1_300);
        assert!(row[..800].iter().all(|value| *value == 0.5));
        assert!(row[800..1_200].iter().all(|value| *value == -0.25));
        assert!(row[1_200..].iter().all(|value| *value == 0.0));
    }
}

#[test]
fn earlier_chunk_wins_for_any_rates() {
    let loud = |level: i16, count: i64| (0..count).flat_map(|_| level.to_le_bytes()).collect::<Vec<u8>>();
    let first = sample(pcm(16_000), loud(16_384, 800), BASE);
    let second = sample(pcm(8_000), loud(-8_192, 800), BASE + time_of(400, 16_000));
    let (row, coverage) = wave(&window(vec![first, second], BASE, BASE + MINUTE), 16_000, 2_000);
    assert_eq!(coverage, 1.0);
    assert!(row[..800].iter().all(|value| *value == 0.5));
    assert!(row[800..1_800].iter().all(|value| (value + 0.25).abs() < 1e-3));
}

#[test]
fn part_without_window_gives_its_first_sample() {
    let rate = 16_000;
    let (row, coverage) = wave(&part(vec![chunk(5, 100, rate, BASE)]), rate, 200);
    assert_eq!(coverage, 0.5);
    assert!(
        row[..100].iter().enumerate().all(|(at, found)| *found == f32::from(value(at as i64 + 5)) / 32_768.0)
    );
    assert!(row[100..].iter().all(|value| *value == 0.0));
}

#[test]
fn silence_follows_a_window_that_is_shorter_than_the_row() {
    let rate = 16_000;
    let samples = vec![chunk(0, 1_000, rate, BASE)];
    let (row, coverage) = wave(&window(samples, BASE, BASE + time_of(400, rate)), rate, 800);
    assert_eq!(coverage, 0.5);
    assert!(
        row[..400].iter().enumerate().all(|(at, found)| *found == f32::from(value(at as i64)) / 32_768.0)
    );
    assert!(row[400..].iter().all(|value| *value == 0.0));
}

#[test]
fn channels_are_mixed_to_their_mean_and_scaled() {
    let media = Media::Pcm(Pcm { rate: 8_000, channels: 3, format: PcmFormat::F32Le });
    let payload = [0.3f32, 0.6, 0.9, -1.0, 0.0, 0.25].iter().flat_map(|v| v.to_le_bytes()).collect();
    let spec = WaveformSpec { rate: 8_000, length: 3, scale: 100.0, drift: Default::default() };
    let (row, _) = make(&Preprocess::Waveform(spec), &part(vec![sample(media, payload, 0)])).expect("wave");
    let row = floats_of(row);
    assert!((row[0] - 60.0).abs() < 1e-4 && (row[1] + 25.0).abs() < 1e-4 && row[2] == 0.0, "{row:?}");
}

fn sine(rate: u32, hertz: f64, frames: i64, at: i64) -> Arc<Sample> {
    let payload = (0..frames)
        .flat_map(|n| {
            let value = 0.5 * (std::f64::consts::TAU * hertz * n as f64 / f64::from(rate)).sin();
            (value as f32).to_le_bytes()
        })
        .collect();
    sample(Media::Pcm(Pcm { rate, channels: 1, format: PcmFormat::F32Le }), payload, at)
}

/// The second pair of rates has only a very long common block, and the ratio is reversed.
#[test]
fn resampling_keeps_a_tone_in_its_place() {
    for (from, to) in
        [(48_000, 16_000), (44_101, 16_000), (44_100, 16_000), (8_000, 16_000), (11_025, 16_000)]
    {
        let (row, coverage) = wave(&part(vec![sine(from, 440.0, i64::from(from), BASE)]), to, 16_000);
        assert!(coverage > 0.9999, "{coverage}");
        for (n, found) in row.iter().enumerate().take(14_000).skip(2_000) {
            let expected = 0.5 * (std::f64::consts::TAU * 440.0 * n as f64 / f64::from(to)).sin();
            assert!((f64::from(*found) - expected).abs() < 1e-3, "{from} {n}: {found} {expected}");
        }
    }
}

/// The resampler uses the samples beyond the window's edges, for any cut into chunks.
#[test]
fn resampled_window_is_a_piece_of_the_whole() {
    let file = golden("stereo-44k1.flac");
    let whole = wave(&part(vec![sample(Media::Flac, file.clone(), BASE)]), 16_000, 6_400).0;
    for begin in [0, 1, 777, 2_500, 3_999] {
        let from = BASE + time_of(begin, 16_000);
        let cut =
            wave(&window(vec![sample(Media::Flac, file.clone(), BASE)], from, from + MINUTE), 16_000, 2_400)
                .0;
        for (found, expected) in cut.iter().zip(&whole[begin as usize..]) {
            assert!((found - expected).abs() < 2e-5, "{begin}: {found} {expected}");
        }
    }
}

#[test]
fn resampled_sound_has_no_borders_of_chunks() {
    let rate = 48_000;
    let whole = wave(&part(vec![chunk(0, 12_000, rate, BASE)]), 16_000, 4_000).0;
    let pieces = (0..12).map(|n| chunk(n * 1_000, 1_000, rate, BASE + time_of(n * 1_000, rate))).collect();
    assert_eq!(wave(&window(pieces, BASE, BASE + MINUTE), 16_000, 4_000).0, whole);
}

/// The duration that alignment uses is the length of the decoded sound, to the frame.
#[test]
fn duration_equals_the_length_of_the_decoded_sound() {
    for name in [
        "short-u8.wav",
        "short-s24.wav",
        "wild-alaw.wav",
        "wild-f64.wav",
        "wild-rf64.wav",
        "wild-s24-low.wav",
        "wild-extensible.wav",
        "wild-pipe.flac",
        "wild-tagged.flac",
    ] {
        let sound = sample(crate::support::media_of(name), golden(name), BASE);
        let frames = usize::try_from(sound.duration.as_nanos() * 8_000 / 1_000_000_000).expect("few");
        assert!(frames >= 400, "{name}: {frames}");
        assert_eq!(wave(&part(vec![sound.clone()]), 8_000, frames).1, 1.0, "{name}");
        let (row, coverage) = wave(&part(vec![sound]), 8_000, frames + 1);
        assert!(coverage < 1.0 && row[frames] == 0.0, "{name}");
    }
}
