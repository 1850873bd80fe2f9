//! Log-mel spectrograms, as librosa's `feature.melspectrogram` with reflected padding and a periodic Hann
//! window, and as Whisper's.

use std::f64::consts::PI;
use std::sync::Arc;

use realfft::num_complex::Complex;
use realfft::{RealFftPlanner, RealToComplex};

use super::super::spec::{LogMelSpec, MelLog, MelScale};

/// The buffers of one thread.
#[derive(Default)]
pub(in super::super) struct MelScratch {
    padded: Vec<f32>,
    frame: Vec<f32>,
    spectrum: Vec<Complex<f32>>,
    energies: Vec<f32>,
    transform: Vec<Complex<f32>>,
}

/// Prepared spectrogram settings.
pub(in super::super) struct MelPlan {
    transform: Arc<dyn RealToComplex<f32>>,
    window: Vec<f32>,
    bands: Vec<Band>,
    hop: usize,
    frames: usize,
    center: bool,
    squared: bool,
    log: MelLog,
}

/// One triangle of the filter bank: the weights of the bins from `first` on.
struct Band {
    first: usize,
    weights: Vec<f32>,
}

impl MelPlan {
    pub(in super::super) fn new(spec: &LogMelSpec) -> Self {
        Self {
            transform: RealFftPlanner::new().plan_fft_forward(spec.n_fft),
            window: hann(spec.win_length, spec.n_fft),
            bands: bands(spec),
            hop: spec.hop_length,
            frames: spec.frames(),
            center: spec.center,
            squared: spec.power == 2.0,
            log: spec.log,
        }
    }

    /// Fills a row of `[mels, frames]` from a waveform.
    pub(in super::super) fn write(&self, wave: &[f32], row: &mut [f32], scratch: &mut MelScratch) {
        let MelScratch { padded, frame, spectrum, energies, transform } = scratch;
        let size = self.window.len();
        let wave = if self.center {
            reflect(wave, size / 2, padded);
            padded
        } else {
            wave
        };
        frame.resize(size, 0.0);
        spectrum.resize(size / 2 + 1, Complex::default());
        energies.resize(size / 2 + 1, 0.0);
        transform.resize(self.transform.get_scratch_len(), Complex::default());
        for (index, samples) in wave.windows(size).step_by(self.hop).take(self.frames).enumerate() {
            for ((to, sample), weight) in frame.iter_mut().zip(samples).zip(&self.window) {
                *to = sample * weight;
            }
            // It fails for buffers of other lengths only.
            if self.transform.process_with_scratch(frame, spectrum, transform).is_err() {
                return;
            }
            for (to, bin) in energies.iter_mut().zip(spectrum.iter()) {
                let power = bin.re * bin.re + bin.im * bin.im;
                *to = if self.squared { power } else { power.sqrt() };
            }
            let column = row.iter_mut().skip(index).step_by(self.frames);
            for (to, band) in column.zip(&self.bands) {
                let bins = energies.get(band.first..).unwrap_or_default();
                *to = dot(&band.weights, bins);
            }
        }
        self.take_log(row);
    }

    fn take_log(&self, row: &mut [f32]) {
        match self.log {
            MelLog::Decibel { floor } => row.iter_mut().for_each(|x| *x = 10.0 * x.max(floor).log10()),
            MelLog::Natural { floor } => row.iter_mut().for_each(|x| *x = x.max(floor).ln()),
            MelLog::Whisper => {
                row.iter_mut().for_each(|x| *x = x.max(1e-10).log10());
                let floor = row.iter().copied().fold(f32::NEG_INFINITY, f32::max) - 8.0;
                row.iter_mut().for_each(|x| *x = (x.max(floor) + 4.0) / 4.0);
            }
        }
    }
}

/// Sums in eight lanes, which the compiler can keep in one register.
fn dot(weights: &[f32], bins: &[f32]) -> f32 {
    let (weights, rest) = weights.as_chunks::<8>();
    let (lanes, _) = bins.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for (weights, bins) in weights.iter().zip(lanes) {
        for (sum, (weight, bin)) in sums.iter_mut().zip(weights.iter().zip(bins)) {
            *sum += weight * bin;
        }
    }
    let tail = bins.get(weights.len() * 8..).unwrap_or_default();
    sums.iter().sum::<f32>() + rest.iter().zip(tail).map(|(weight, bin)| weight * bin).sum::<f32>()
}

/// The wave with `margin` samples mirrored at both ends, the end samples themselves not doubled.
fn reflect(wave: &[f32], margin: usize, padded: &mut Vec<f32>) {
    padded.clear();
    padded.reserve(wave.len() + 2 * margin);
    padded.extend(wave.iter().skip(1).take(margin).rev());
    padded.extend(wave);
    padded.extend(wave.iter().rev().skip(1).take(margin));
}

/// A periodic Hann window of `length`, centred in `size` zeros.
fn hann(length: usize, size: usize) -> Vec<f32> {
    let mut window = vec![0.0; size];
    let left = (size - length.min(size)) / 2;
    for (n, value) in window.iter_mut().skip(left).take(length).enumerate() {
        *value = (0.5 - 0.5 * (2.0 * PI * n as f64 / length as f64).cos()) as f32;
    }
    window
}

/// Triangles between points that are evenly spaced on the mel scale, as `librosa.filters.mel`.
fn bands(spec: &LogMelSpec) -> Vec<Band> {
    let (low, high) = (to_mel(f64::from(spec.f_min), spec.scale), to_mel(f64::from(spec.f_max), spec.scale));
    let edge =
        |index: usize| from_mel(low + (high - low) * index as f64 / (spec.mels + 1) as f64, spec.scale);
    let bin_width = f64::from(spec.wave.rate) / spec.n_fft as f64;
    (0..spec.mels)
        .map(|band| {
            let (left, middle, right) = (edge(band), edge(band + 1), edge(band + 2));
            let height = if spec.slaney_norm { 2.0 / (right - left) } else { 1.0 };
            let weight = |bin: usize| {
                let frequency = bin as f64 * bin_width;
                let rising = (frequency - left) / (middle - left);
                let falling = (right - frequency) / (right - middle);
                (rising.min(falling).max(0.0) * height) as f32
            };
            let bins = 0..=spec.n_fft / 2;
            let first = bins.clone().find(|bin| weight(*bin) > 0.0).unwrap_or(0);
            let weights = bins.skip(first).map(weight).take_while(|weight| *weight > 0.0).collect();
            Band { first, weights }
        })
        .collect()
}

/// Slaney's scale: linear to 1 kHz (15 mel), then 27 steps to a factor of 6.4.
fn to_mel(hertz: f64, scale: MelScale) -> f64 {
    match scale {
        MelScale::Htk => 2595.0 * (1.0 + hertz / 700.0).log10(),
        MelScale::Slaney if hertz < 1000.0 => hertz * 3.0 / 200.0,
        MelScale::Slaney => 15.0 + (hertz / 1000.0).ln() * 27.0 / 6.4f64.ln(),
    }
}

fn from_mel(mel: f64, scale: MelScale) -> f64 {
    match scale {
        MelScale::Htk => 700.0 * (10f64.powf(mel / 2595.0) - 1.0),
        MelScale::Slaney if mel < 15.0 => mel * 200.0 / 3.0,
        MelScale::Slaney => 1000.0 * ((mel - 15.0) * 6.4f64.ln() / 27.0).exp(),
    }
}
