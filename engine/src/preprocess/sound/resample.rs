//! Resampling from one rate to another.

use std::ops::Range;

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Async, Fft, FixedAsync, FixedSync, SincInterpolationParameters, WindowFunction};

/// The number of resamplers that a thread keeps.
const KEPT: usize = 8;

/// The least number of input frames of one Fourier transform. The filter is as long, which sets its sharpness and its
/// reach around a sample.
const BLOCK: usize = 1024;

/// Pairs of rates whose smallest common block is longer than this are resampled in the time domain.
const BLOCK_MAX: usize = 8192;

/// Taps of the filter in the time domain, at the lower of the two rates.
const SINC: usize = 256;

/// The number of frames among which the one nearest to an output sample is searched: it is then off by about 1/500.
const NEAR: u64 = 512;

/// The largest ratio of two rates.
const RATIO_MAX: u32 = 64;

/// The resamplers of one thread, the most recently used first.
#[derive(Default)]
pub(super) struct Resamplers(Vec<Resampler>);

/// A resampler for one pair of rates.
pub(super) struct Resampler {
    from: u32,
    to: u32,
    /// The number of input frames after which input and output coincide on a sample again; none if it is too large.
    block: Option<u64>,
    /// Silent frames to put before the input, so that the filter's delay ends on an output sample.
    lead: usize,
    /// The output samples of that delay that the resampler does not remove by itself.
    late: u64,
    /// The number of input frames around a sample that contribute to it.
    reach: u64,
    inner: Box<dyn rubato::Resampler<f32>>,
    output: Vec<f32>,
}

impl Resamplers {
    /// The resampler for a pair of rates, created if it does not exist.
    pub(super) fn get(&mut self, from: u32, to: u32) -> Result<&mut Resampler, String> {
        match self.0.iter().position(|resampler| (resampler.from, resampler.to) == (from, to)) {
            Some(at) => self.0.get_mut(..=at).unwrap_or_default().rotate_right(1),
            None => {
                let resampler = Resampler::new(from, to)?;
                self.0.truncate(KEPT - 1);
                self.0.insert(0, resampler);
            }
        }
        self.0.first_mut().ok_or_else(|| "there is no resampler".into())
    }
}

impl Resampler {
    fn new(from: u32, to: u32) -> Result<Self, String> {
        if from.div_ceil(to.max(1)) > RATIO_MAX || to.div_ceil(from.max(1)) > RATIO_MAX {
            return Err(format!(
                "sound of {from} frames a second cannot be resampled to {to}: one rate is more than {RATIO_MAX} times the other; send sound of a rate nearer to the model's"
            ));
        }
        let common = gcd(from, to);
        let (block_in, block_out) = ((from / common) as usize, (to / common) as usize);
        let failed = |error| format!("sound of {from} frames a second cannot be resampled to {to}: {error}");
        type Made = (Box<dyn rubato::Resampler<f32>>, Option<u64>, u64, (usize, u64));
        let (inner, block, reach, (lead, late)): Made = if block_in.max(block_out) <= BLOCK_MAX {
            // An even number of blocks: the filter's delay is then a whole number of samples on both sides.
            // Enough of them for the shorter side to have a sharp filter too.
            let blocks = BLOCK.div_ceil(block_in.min(block_out)).next_multiple_of(2);
            let window = WindowFunction::BlackmanHarris2;
            let size = blocks * block_in;
            let fft = Fft::new_custom(from as usize, to as usize, size, 1, 1, window, FixedSync::Both)
                .map_err(|error| failed(error.to_string()))?;
            (Box::new(fft), Some(block_in as u64), size as u64, (0, 0))
        } else {
            let ratio = f64::from(to) / f64::from(from);
            let taps = ((SINC as f64 / ratio.min(1.0)).ceil() as usize).next_multiple_of(8);
            let parameters = SincInterpolationParameters::new(taps, WindowFunction::BlackmanHarris2);
            let sinc = Async::new_sinc(ratio, 1.0, &parameters, BLOCK, 1, FixedAsync::Input)
                .map_err(|error| failed(error.to_string()))?;
            (Box::new(sinc), None, taps as u64, sinc_delay(taps, ratio))
        };
        Ok(Self { from, to, block, lead, late, reach, inner, output: Vec::new() })
    }

    /// The input frames that contribute to `count` output samples from sample `first` on. Output sample 0 is at input
    /// frame 0. The range begins where input and output coincide on a sample.
    pub(super) fn input_for(&self, first: u64, count: u64) -> Range<u64> {
        let (from, to) = (u128::from(self.from), u128::from(self.to));
        let begin = (u128::from(first) * from / to) as u64;
        let end = (u128::from(first + count) * from).div_ceil(to) as u64;
        let begin = begin.saturating_sub(self.reach);
        let begin = match self.block {
            Some(block) => begin - begin % block,
            // Among the frames shortly before, it takes the one nearest to an output sample.
            None => (begin.saturating_sub(NEAR)..=begin)
                .min_by_key(|frame| {
                    let past = u128::from(*frame) * to % from;
                    past.min(from - past)
                })
                .unwrap_or(begin),
        };
        begin..end + self.reach
    }

    /// Silent frames to put before the input.
    pub(super) fn lead(&self) -> usize {
        self.lead
    }

    /// Fills `row` with output samples from sample `first` on. `input` is [`Self::lead`] silent frames and then the
    /// frames from `start` on, as returned by [`Self::input_for`]. The filter's delay is removed. Before and after
    /// the input is silence.
    pub(super) fn run(
        &mut self,
        input: &[f32],
        start: u64,
        first: u64,
        row: &mut [f32],
    ) -> Result<(), String> {
        let failed = |error: String| format!("the sound cannot be resampled: {error}");
        self.inner.reset();
        let needed = self.inner.process_all_needed_output_len(input.len());
        self.output.clear();
        self.output.resize(needed, 0.0);
        let from = InterleavedSlice::new(input, 1, input.len()).map_err(|error| failed(error.to_string()))?;
        let mut to = InterleavedSlice::new_mut(&mut self.output, 1, needed)
            .map_err(|error| failed(error.to_string()))?;
        let (_, made) = self
            .inner
            .process_all_into_buffer(&from, &mut to, input.len(), None)
            .map_err(|error| failed(error.to_string()))?;
        let (rate_in, rate_out) = (u128::from(self.from), u128::from(self.to));
        let skipped = (u128::from(start) * rate_out + rate_in / 2) / rate_in;
        let begin =
            usize::try_from(u128::from(first + self.late).saturating_sub(skipped)).unwrap_or(usize::MAX);
        let output = self.output.get(begin..made).unwrap_or_default();
        row.iter_mut().zip(output).for_each(|(to, from)| *to = *from);
        Ok(())
    }
}

/// The frames of silence before the input, and the samples of delay that remain. Rubato's `Async` delays by
/// `taps / 2 * ratio - 1` output samples and removes `taps / 2 * ratio`, rounded down: half a sample too many, on
/// average. With the silence, it removes a whole number of samples too few.
fn sinc_delay(taps: usize, ratio: f64) -> (usize, u64) {
    let delay = taps as f64 * ratio / 2.0;
    let rest = |lead: usize| delay - 1.0 + lead as f64 * ratio - delay.floor();
    let off = |lead: usize| (rest(lead) - rest(lead).round()).abs();
    let enough = (1.0 / ratio).ceil() as usize;
    let lead = (enough..enough + NEAR as usize).min_by(|a, b| off(*a).total_cmp(&off(*b))).unwrap_or(0);
    (lead, rest(lead).round().max(0.0) as u64)
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a.max(1) } else { gcd(b, a % b) }
}
