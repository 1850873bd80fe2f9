//! Settings of preprocessing: the tensors that are made of a bundle's part. Their shape follows from the settings
//! alone, so a batch's memory is laid out before anything is decoded.

use std::path::PathBuf;

use crate::ingest::{OnDrift, PictureCare};

/// The preprocessing of one input: its samples become one row of one tensor (for text, of several).
#[derive(Clone, Debug, PartialEq)]
pub enum Preprocess {
    /// One image to `[3, height, width]` (or `[height, width, 3]`).
    Image(ImageSpec),
    /// Sound of the part's window to `[samples]`.
    Waveform(WaveformSpec),
    /// Sound of the part's window to `[mels, frames]`.
    LogMel(LogMelSpec),
    /// One text to token ids `[length]`.
    TokenIds(TextSpec),
    /// One text to the attention mask `[length]`: 1 where there is a token, 0 where padding.
    AttentionMask(TextSpec),
    /// One text to the token types `[length]`, also called segment ids.
    TokenTypeIds(TextSpec),
    /// The payload's own bytes to `[length]` of u8; any other length is undecodable.
    Bytes {
        /// The exact length in bytes.
        length: usize,
    },
}

/// The preprocessing of images: decode, resize, scale, normalize, lay out.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageSpec {
    /// Pixels of a row of the result.
    pub width: u32,
    /// Rows of the result.
    pub height: u32,
    /// The part of the image that a row shows.
    pub region: ImageRegion,
    /// The treatment of an image of another size.
    pub resize: Resize,
    /// The order of the colours.
    pub color: Color,
    /// `value = (pixel * scale - mean) / std`, pixels from 0 to 255. 1/255 for models trained on 0 to 1.
    pub scale: f32,
    /// The mean of each channel, in the order of `color`.
    pub mean: [f32; 3],
    /// The standard deviation of each channel, in the order of `color`; none is 0.
    pub std: [f32; 3],
    /// The order of the axes.
    pub layout: Layout,
    /// The type of the elements. With `U8`, scale, mean and std must be 1, 0 and 1.
    pub dtype: crate::tensor::DType,
    /// The largest image that is decoded, in pixels: the bound on memory.
    pub max_pixels: u64,
    /// The detail of a JPEG that is decoded.
    pub decode: DecodeDetail,
    /// The input's treatment of its pictures.
    pub care: PictureCare,
}

/// The part of an image that a row shows.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum ImageRegion {
    /// All of it.
    #[default]
    Whole,
    /// The box of a detection.
    Crop(CropSpec),
    /// A detection, turned and scaled by its landmarks.
    Aligned(AlignedSpec),
}

impl ImageRegion {
    /// True if it depends on a detection.
    pub fn shows_detection(&self) -> bool {
        *self != Self::Whole
    }
}

/// A crop around the box of a detection.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CropSpec {
    /// The share of the box's width that is added on its left and on its right, and of its height above and below.
    pub margin: f32,
    /// The proportions of the crop.
    pub aspect: CropAspect,
    /// The colour of what is outside of the image: red, green, blue.
    pub fill: [u8; 3],
}

/// The proportions of a crop. The shorter side grows on both ends; nothing of the box is cut off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CropAspect {
    /// Those of the box.
    #[default]
    Keep,
    /// As wide as high.
    Square,
    /// Those of the row.
    Target,
}

/// An alignment by landmarks, by the similarity transform with the least squares.
#[derive(Clone, Debug, PartialEq)]
pub struct AlignedSpec {
    /// The points of the row to which the landmarks move, in the landmarks' order.
    pub points: Vec<[f64; 2]>,
    /// The colour of what is outside of the image: red, green, blue.
    pub fill: [u8; 3],
}

/// The way to resize an image. All ways resample with `filter`, which averages over the source pixels when it shrinks
/// (as PIL and torchvision with antialias).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Resize {
    /// Stretch to the requested size, without regard to proportions.
    Stretch(Filter),
    /// Scale to the largest size that fits, proportions kept, centred; fill the rest.
    Fit {
        /// The resampling filter.
        filter: Filter,
        /// The colour of the rest: red, green, blue.
        fill: [u8; 3],
    },
    /// Scale the shorter side to the requested size, proportions kept, and cut out the middle.
    CenterCrop(Filter),
    /// No resizing: an image of another size is a fault.
    Exact,
}

/// The resampling filter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Filter {
    /// Nearest pixel.
    Nearest,
    /// Triangle.
    #[default]
    Bilinear,
    /// Catmull-Rom (a = -0.5), as PIL.
    Bicubic,
}

/// The detail to which a JPEG is decoded before it is resized. Other formats are always decoded in full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DecodeDetail {
    /// Every pixel.
    #[default]
    Full,
    /// One half, one quarter or one eighth of the pixels each way, as long as twice as many remain as the result has.
    /// Values differ a little from [`Self::Full`].
    Scaled,
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
    /// The exact number of samples of the result. The first is at the beginning of the part's window. Time that no chunk
    /// covers, or beyond the part's window, is silence.
    pub length: usize,
    /// The value of full scale: 1 for a range of -1 to 1.
    pub scale: f32,
    /// The treatment of chunks that are too short or too long for the time from one to the next.
    pub drift: OnDrift,
}

/// Sound as a log-mel spectrogram of the waveform `wave`.
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
    /// True if each band is normalized by its width, as librosa's `norm="slaney"`.
    pub slaney_norm: bool,
    /// True if the signal is padded by reflection so that frame `i` is centred on sample `i * hop`.
    pub center: bool,
    /// Magnitude to the power of this: 1 or 2.
    pub power: f32,
    /// The logarithm.
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

/// The logarithm of the energies of the bands.
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
    /// Whisper's: `log10(max(x, 1e-10))`, no lower than 8 below the maximum of this spectrogram, then `(x + 4) / 4`.
    /// As in Whisper, the last frame is left out (with `center`, 30 s at a hop of 10 ms give 3000 frames).
    Whisper,
}

/// Text to tokens by a Hugging Face `tokenizer.json`.
#[derive(Clone, Debug, PartialEq)]
pub struct TextSpec {
    /// The tokenizer's file.
    pub tokenizer: PathBuf,
    /// Tokens of a row: longer texts are cut, shorter ones padded.
    pub length: usize,
    /// True if the tokenizer's special tokens are added (inside `length`).
    pub special_tokens: bool,
    /// The value of padding: the id of the padding token, or its type. None for the one in the tokenizer's file. A mask
    /// has 0 there.
    pub pad_id: Option<i64>,
    /// The type of the elements: i32 or i64.
    pub dtype: crate::tensor::DType,
}
