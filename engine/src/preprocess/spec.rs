//! What is made of a bundle's part before a model sees it. Every variant gives tensors whose shape
//! is known from the settings alone, so that a batch's memory is laid out before anything is decoded.

use std::path::PathBuf;

use crate::ingest::{OnDrift, PictureCare};

/// How the samples of one input become one row of one tensor (for text, of several).
#[derive(Clone, Debug, PartialEq)]
pub enum Preprocess {
    /// One image to `[3, height, width]` (or `[height, width, 3]`).
    Image(ImageSpec),
    /// Sound of the part's window to `[samples]`.
    Waveform(WaveformSpec),
    /// Sound of the part's window to `[mels, frames]`.
    LogMel(LogMelSpec),
    /// One text to token ids `[length]` of i64.
    TokenIds(TextSpec),
    /// One text to the attention mask `[length]` of i64: 1 where there is a token, 0 where padding.
    AttentionMask(TextSpec),
    /// The payload's own bytes to `[length]` of u8; any other length is undecodable.
    Bytes {
        /// The exact length in bytes.
        length: usize,
    },
}

/// Images: decode, resize, scale, normalise, lay out.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageSpec {
    /// Pixels of a row of the result.
    pub width: u32,
    /// Rows of the result.
    pub height: u32,
    /// How an image of another size is made to fit.
    pub resize: Resize,
    /// The order of the colours.
    pub color: Color,
    /// `value = (pixel * scale - mean) / std`, pixels from 0 to 255. 1/255 for models trained on 0 to 1.
    pub scale: f32,
    /// By channel, in the order of `color`.
    pub mean: [f32; 3],
    /// By channel, in the order of `color`; none is 0.
    pub std: [f32; 3],
    /// The order of the axes.
    pub layout: Layout,
    /// The type of the elements. With `U8`, scale, mean and std must be 1, 0 and 1.
    pub dtype: crate::tensor::DType,
    /// The largest image that is decoded, in pixels: the bound on memory.
    pub max_pixels: u64,
    /// What the input says of its pictures.
    pub care: PictureCare,
}

/// How an image is brought to another size. All resample with a filter that averages over the source
/// pixels when it shrinks (as PIL and torchvision with antialias), by `filter`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Resize {
    /// To the size asked for, whatever that does to its proportions.
    Stretch(Filter),
    /// As large as it goes with its proportions kept, centred; the rest is filled.
    Fit {
        /// How it is resampled.
        filter: Filter,
        /// What the rest is filled with, red, green, blue.
        fill: [u8; 3],
    },
    /// Shorter side to the size asked for, proportions kept, the middle cut out.
    CenterCrop(Filter),
    /// Not at all: an image of another size is at fault.
    Exact,
}

/// The resampling filter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Filter {
    /// The nearest pixel.
    Nearest,
    /// Triangle.
    #[default]
    Bilinear,
    /// Catmull-Rom (a = -0.5), as PIL.
    Bicubic,
}

/// The order of an image's colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Color {
    /// Red first.
    #[default]
    Rgb,
    /// Blue first.
    Bgr,
}

/// The order of an image's axes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// Channels, rows, columns: `[3, height, width]`.
    #[default]
    Chw,
    /// Rows, columns, channels: `[height, width, 3]`.
    Hwc,
}

/// Sound as samples: decoded, mixed down to one channel, resampled, cut to the part's window.
#[derive(Clone, Debug, PartialEq)]
pub struct WaveformSpec {
    /// Samples a second of the result.
    pub rate: u32,
    /// The exact number of samples of the result; the window, `length / rate` seconds long, begins where
    /// the part's does. What no chunk covers, or lies beyond the part's window, is silence.
    pub length: usize,
    /// What full scale becomes: 1 for -1 to 1.
    pub scale: f32,
    /// What becomes of chunks that are too short or too long for the time from one to the next.
    pub drift: OnDrift,
}

/// Sound as a log-mel spectrogram, of a waveform made as `wave` says.
#[derive(Clone, Debug, PartialEq)]
pub struct LogMelSpec {
    /// The waveform under it.
    pub wave: WaveformSpec,
    /// Samples of one Fourier transform.
    pub n_fft: usize,
    /// Samples of the Hann window, centred in the transform; at most `n_fft`.
    pub win_length: usize,
    /// Samples from one frame to the next.
    pub hop_length: usize,
    /// Bands.
    pub mels: usize,
    /// The lowest frequency in hertz.
    pub f_min: f32,
    /// The highest frequency in hertz.
    pub f_max: f32,
    /// The scale of the bands.
    pub scale: MelScale,
    /// Whether each band is normalised by its width, as librosa's `norm="slaney"`.
    pub slaney_norm: bool,
    /// Whether the signal is padded by reflection so that frame `i` is centred on sample `i * hop`.
    pub center: bool,
    /// Magnitude to the power of this: 1 or 2.
    pub power: f32,
    /// How the logarithm is taken.
    pub log: MelLog,
}

/// The mel scale.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MelScale {
    /// Linear below 1 kHz, logarithmic above: librosa's default, and Whisper's.
    #[default]
    Slaney,
    /// 2595 log10(1 + f / 700).
    Htk,
}

/// How the energies of the bands are made logarithmic.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MelLog {
    /// `10 log10(max(x, floor))`, as librosa's `power_to_db(ref=1, top_db=None)`.
    Decibel {
        /// The smallest energy.
        floor: f32,
    },
    /// `ln(max(x, floor))`.
    Natural {
        /// The smallest energy.
        floor: f32,
    },
    /// `log10(max(x, 1e-10))`, no lower than 8 below the maximum of this spectrogram, then `(x + 4) / 4`: Whisper's.
    /// As Whisper does, the last frame is left out (with `center`, 30 s at a hop of 10 ms give 3000 frames).
    Whisper,
}

/// Text to tokens by a Hugging Face `tokenizer.json`.
#[derive(Clone, Debug, PartialEq)]
pub struct TextSpec {
    /// The tokenizer's file.
    pub tokenizer: PathBuf,
    /// Tokens of a row: longer texts are cut, shorter ones padded.
    pub length: usize,
    /// Whether the tokenizer's special tokens are added (inside `length`).
    pub special_tokens: bool,
    /// The id that pads; none for the one that the tokenizer's file names.
    pub pad_id: Option<i64>,
}
