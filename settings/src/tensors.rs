//! The preprocessing of a step's inputs: `image`, `waveform`, `log_mel`, `token_ids`, `attention_mask`,
//! `token_type_ids` and `bytes`.

use std::path::Path;
use std::time::Duration;

use lockstep_engine::align::Join;
use lockstep_engine::ingest::{OnDrift, PictureCare};
use lockstep_engine::media::Modality;
use lockstep_engine::preprocess::spec::{
    AlignedSpec, Color, CropAspect, CropSpec, DecodeDetail, Filter, ImageRegion, ImageSpec, Layout,
    LogMelSpec, MelLog, MelScale, Resize, TextSpec, WaveformSpec,
};
use lockstep_engine::preprocess::{MOST_MARGIN, Preprocess};
use lockstep_engine::tensor::DType;

use super::kinds::{
    any_number, boolean, count, integer, list, number, path, point, shown, small, three, whole, word,
};
use super::reader::Section;

/// The keys of preprocessing, of which a binding has one.
pub(super) const MAKERS: [&str; 7] =
    ["image", "waveform", "log_mel", "token_ids", "attention_mask", "token_type_ids", "bytes"];

/// The fewest points that determine an alignment.
pub(super) const LEAST_POINTS: usize = 2;

/// Those of [`MAKERS`] that take text.
pub(super) const TEXT_MAKERS: [&str; 3] = ["token_ids", "attention_mask", "token_type_ids"];

/// The input that a tensor is made from.
pub(super) struct Made<'a> {
    pub(super) input: &'a str,
    pub(super) modality: Modality,
    pub(super) join: Join,
    pub(super) drift: OnDrift,
    pub(super) pictures: PictureCare,
    /// The base folder of relative paths.
    pub(super) base: &'a Path,
}

/// Reads the one of [`MAKERS`] that a binding has.
pub(super) fn read(binding: &Section<'_>, made: &Made<'_>) -> Option<Preprocess> {
    let example = match made.modality {
        Modality::Image => "image = { width = 320, height = 240 }",
        Modality::Audio => "waveform = { rate = 16000 }",
        Modality::Text => "token_ids = { tokenizer = \"tokenizer.json\", length = 77 }",
        Modality::Binary => "bytes = { length = 1000 }",
    };
    let maker = binding.one_of(&MAKERS, example)?;
    let section = binding.table(maker)?;
    let takes = match maker {
        "image" => Some(Modality::Image),
        "waveform" | "log_mel" => Some(Modality::Audio),
        "token_ids" | "attention_mask" | "token_type_ids" => Some(Modality::Text),
        _ => None,
    };
    if takes.is_some_and(|takes| takes != made.modality) {
        binding.wrong(
            maker,
            format!(
                "cannot be made from {}, which carries {}; write {example}",
                made.input,
                modality_word(made.modality)
            ),
        );
    }
    let preprocess = match maker {
        "image" => image(&section, made.pictures).map(Preprocess::Image),
        "waveform" => waveform(&section, made, 1.0).map(Preprocess::Waveform),
        "log_mel" => log_mel(&section, made).map(Preprocess::LogMel),
        "token_ids" => text(&section, made.base, "pad_id").map(Preprocess::TokenIds),
        "attention_mask" => text(&section, made.base, "pad_id").map(Preprocess::AttentionMask),
        "token_type_ids" => text(&section, made.base, "pad_type_id").map(Preprocess::TokenTypeIds),
        _ => section
            .required("length", "length = 1000", count(1..=(1 << 30)))
            .map(|length| Preprocess::Bytes { length }),
    };
    section.finish();
    preprocess
}

/// The name of a modality, for people.
pub fn modality_word(modality: Modality) -> &'static str {
    match modality {
        Modality::Image => "images",
        Modality::Audio => "sound",
        Modality::Text => "text",
        Modality::Binary => "bytes",
    }
}

fn image(section: &Section<'_>, care: PictureCare) -> Option<ImageSpec> {
    let width = section.required("width", "width = 320", small(1..=65_535));
    let height = section.required("height", "height = 240", small(1..=65_535));
    let filter = section.or(
        "filter",
        Filter::default(),
        word(&[("nearest", Filter::Nearest), ("bilinear", Filter::Bilinear), ("bicubic", Filter::Bicubic)]),
    );
    let fill = section.or("fill", [0; 3], three(|value| whole(0..=255)(value).map(|n| n as u8)));
    let resize = section.or(
        "resize",
        Resize::Stretch(filter),
        word(&[
            ("stretch", Resize::Stretch(filter)),
            ("fit", Resize::Fit { filter, fill }),
            ("center-crop", Resize::CenterCrop(filter)),
            ("exact", Resize::Exact),
        ]),
    );
    let region = region(section, fill);
    if section.has("fill") && !matches!(resize, Resize::Fit { .. }) && !region.shows_detection() {
        section.wrong("fill", "has no effect without resize = \"fit\"; remove it, or write resize = \"fit\"");
    }
    if matches!(region, ImageRegion::Crop(_)) && matches!(resize, Resize::CenterCrop(_) | Resize::Exact) {
        section.wrong(
            "resize",
            "cannot bring a crop to its size; write \"stretch\" or \"fit\", or aspect = \"target\" in crop",
        );
    }
    for key in ["resize", "filter"].into_iter().filter(|key| section.has(key)) {
        if matches!(region, ImageRegion::Aligned(_)) {
            section.wrong(key, "has no effect with align, which samples bilinearly; remove it");
        }
    }
    let spec = ImageSpec {
        width: width.unwrap_or(1),
        height: height.unwrap_or(1),
        resize,
        region,
        color: section.or("color", Color::default(), word(&[("rgb", Color::Rgb), ("bgr", Color::Bgr)])),
        scale: section.or("scale", 1.0, any_number),
        mean: section.or("mean", [0.0; 3], three(any_number)),
        std: section.or("std", [1.0; 3], three(any_number)),
        layout: section.or("layout", Layout::default(), word(&[("chw", Layout::Chw), ("hwc", Layout::Hwc)])),
        dtype: section.or("dtype", DType::F32, word(&[("f32", DType::F32), ("u8", DType::U8)])),
        decode: section.or(
            "decode",
            DecodeDetail::default(),
            word(&[("full", DecodeDetail::Full), ("scaled", DecodeDetail::Scaled)]),
        ),
        max_pixels: section.or("max_pixels", 1 << 26, whole(1..=(1 << 32))),
        care,
    };
    if spec.decode == DecodeDetail::Scaled && (filter == Filter::Nearest || resize == Resize::Exact) {
        section.wrong(
            "decode",
            "\"scaled\" averages pixels, but resize = \"exact\" and filter = \"nearest\" take single ones; write \"full\"",
        );
    }
    if spec.decode == DecodeDetail::Scaled && spec.region.shows_detection() {
        section.wrong(
            "decode",
            "\"scaled\" fits a whole image to the row, and a crop is a part of it; write \"full\" or remove it",
        );
    }
    if spec.std.contains(&0.0) {
        section.wrong("std", "has a 0, and pixels are divided by it; write 1 to leave a channel as it is");
    }
    if spec.scale == 0.0 {
        section
            .wrong("scale", "is 0, which makes every image black; write 1, or 0.00392156862745098 for 1/255");
    }
    if spec.dtype == DType::U8 && (spec.scale, spec.mean, spec.std) != (1.0, [0.0; 3], [1.0; 3]) {
        section.wrong(
            "dtype",
            "\"u8\" leaves pixels as they are; remove scale, mean and std, or write dtype = \"f32\"",
        );
    }
    width.and(height).map(|_| spec)
}

/// The part of the image that shows a detection: `crop` or `align`.
fn region(section: &Section<'_>, fill: [u8; 3]) -> ImageRegion {
    let points = section.optional("align", list(point));
    let crop = section.table("crop");
    if section.has("align") && section.has("crop") {
        section.wrong("align", "contradicts crop; remove one of them");
    }
    if let Some(crop) = crop {
        let margin = crop.or("margin", 0.0, number(0.0..=MOST_MARGIN));
        let aspect = crop.or(
            "aspect",
            CropAspect::default(),
            word(&[
                ("keep", CropAspect::Keep),
                ("square", CropAspect::Square),
                ("target", CropAspect::Target),
            ]),
        );
        crop.finish();
        return ImageRegion::Crop(CropSpec { margin, aspect, fill });
    }
    if let Some(count) = points.as_ref().map(Vec::len).filter(|count| *count < LEAST_POINTS) {
        section.wrong(
            "align",
            format!("has {count} entries; write at least two points, as [[10, 20], [30, 20]]"),
        );
    }
    // A mistake in a value is noted, and the key counts as written.
    match (section.has("align"), section.has("crop")) {
        (true, _) => ImageRegion::Aligned(AlignedSpec { points: points.unwrap_or_default(), fill }),
        (false, true) => ImageRegion::Crop(CropSpec { margin: 0.0, aspect: CropAspect::default(), fill }),
        (false, false) => ImageRegion::Whole,
    }
}

/// The length of a window in samples at a rate, rounded.
fn samples_of(length: Duration, rate: u32) -> u128 {
    (length.as_nanos() * u128::from(rate) + 500_000_000) / 1_000_000_000
}

fn waveform(section: &Section<'_>, made: &Made<'_>, scale: f32) -> Option<WaveformSpec> {
    let rate = section.required("rate", "rate = 16000", small(1..=1_000_000))?;
    let samples = section.optional("samples", count(1..=(1 << 30)));
    let scale = section.or("scale", scale, any_number);
    let pad_to = section.optional("pad_to", count(1..=(1 << 30)));
    let length = match (made.join, samples) {
        (Join::Window { before, after }, samples) => {
            let window = before.saturating_add(after);
            let right = samples_of(window, rate);
            if let Some(samples) = samples.filter(|samples| *samples as u128 != right) {
                section.wrong(
                    "samples",
                    format!(
                        "is {samples}, but the window of {} is {window:?} long, which at {rate} Hz makes {right}; \
                         write samples = {right} or remove it",
                        made.input
                    ),
                );
            }
            usize::try_from(right).ok()?
        }
        (Join::Pivot, Some(samples)) => samples,
        (Join::Pivot, None) => {
            section.wrong(
                "samples",
                format!(
                    "is missing: {} is the pivot and has no window; write the samples of a record, as \
                     samples = 512",
                    made.input
                ),
            );
            return None;
        }
        (Join::Nearest { .. } | Join::Latest { .. } | Join::AllBetweenPivots { .. }, _) => {
            section.wrong_here(format!(
                "needs a window to cut sound from, but {0} has none; write {0} = {{ window = {{ before = \
                 \"512ms\" }} }} in [align]",
                made.input
            ));
            return None;
        }
    };
    if length == 0 {
        section.wrong("rate", format!("is {rate}, at which the window of {} holds no sample", made.input));
        return None;
    }
    if let Some(padded) = pad_to {
        if matches!(made.join, Join::Pivot) {
            let why = format!("has no effect, since {} has no window; write samples = {padded}", made.input);
            section.wrong("pad_to", why);
        } else if padded < length {
            let why =
                format!("is {padded}, but the window of {} has {length} samples; write more", made.input);
            section.wrong("pad_to", why);
        }
    }
    Some(WaveformSpec { rate, length: pad_to.unwrap_or(length).max(length), scale, drift: made.drift })
}

fn log_mel(section: &Section<'_>, made: &Made<'_>) -> Option<LogMelSpec> {
    let wave = waveform(section, made, 1.0);
    let n_fft = section.or("n_fft", 400, count(2..=65_536));
    let win_length = section.or("win_length", n_fft, count(1..=65_536));
    let hop_length = section.or("hop_length", 160, count(1..=65_536));
    let mels = section.or("mels", 80, count(1..=1024));
    let f_min = section.or("f_min", 0.0, number(0.0..=f32::MAX));
    let f_max = section.optional("f_max", number(0.0..=f32::MAX));
    let scale = section.or(
        "mel_scale",
        MelScale::default(),
        word(&[("slaney", MelScale::Slaney), ("htk", MelScale::Htk)]),
    );
    let slaney_norm = section.or("slaney_norm", true, boolean);
    let center = section.or("center", true, boolean);
    let power = section.or("power", 2.0, |value| match any_number(value)? {
        power if power == 1.0 || power == 2.0 => Ok(power),
        _ => Err(format!("is {}; write 1 (magnitude) or 2 (power)", shown(value))),
    });
    let floor = section.or("floor", 1e-10, |value| match number(0.0..=f32::MAX)(value)? {
        0.0 => Err("0 has no logarithm; write a small number, as 1e-10".to_owned()),
        floor => Ok(floor),
    });
    let log = section.or(
        "log",
        MelLog::Decibel { floor },
        word(&[
            ("decibel", MelLog::Decibel { floor }),
            ("natural", MelLog::Natural { floor }),
            ("whisper", MelLog::Whisper),
        ]),
    );
    let wave = wave?;
    let nyquist = wave.rate as f32 / 2.0;
    let f_max = f_max.unwrap_or(nyquist);
    if f_max > nyquist {
        section.wrong("f_max", format!("is {f_max}, above half of the rate; write at most {nyquist}"));
    }
    if f_min >= f_max {
        section.wrong("f_min", format!("is {f_min}, not below f_max, which is {f_max}; write a lower one"));
    }
    if win_length > n_fft {
        section.wrong(
            "win_length",
            format!("is {win_length}, more than n_fft, which is {n_fft}; write {n_fft} or less"),
        );
    }
    let least = if center { n_fft / 2 + 1 } else { n_fft };
    if wave.length < least {
        section.wrong(
            "n_fft",
            format!(
                "is {n_fft}, which needs {least} samples or more, but the sound has {}; write a smaller one",
                wave.length
            ),
        );
    }
    Some(LogMelSpec {
        wave,
        n_fft,
        win_length,
        hop_length,
        mels,
        f_min,
        f_max,
        scale,
        slaney_norm,
        center,
        power,
        log,
    })
}

/// Reads the settings of a text; `pad` is the key of the value of padding.
fn text(section: &Section<'_>, base: &Path, pad: &str) -> Option<TextSpec> {
    let tokenizer = section.required("tokenizer", "tokenizer = \"tokenizer.json\"", path);
    let length = section.required("length", "length = 77", count(1..=1_000_000));
    let special_tokens = section.or("special_tokens", true, boolean);
    let pad_id = section.optional(pad, integer);
    let dtype = section.or("dtype", DType::I64, word(&[("i32", DType::I32), ("i64", DType::I64)]));
    if let Some(value) = pad_id.filter(|value| dtype == DType::I32 && i32::try_from(*value).is_err()) {
        section.wrong(pad, format!("is {value}, which i32 cannot hold; write dtype = \"i64\""));
    }
    let tokenizer = base.join(tokenizer?);
    if !tokenizer.is_file() {
        section.wrong(
            "tokenizer",
            format!("{} is no file; write the path of a Hugging Face tokenizer.json", tokenizer.display()),
        );
    }
    Some(TextSpec { tokenizer, length: length?, special_tokens, pad_id, dtype })
}

/// The type and the shape of one row of a preprocessed tensor.
pub(super) fn row_of(preprocess: &Preprocess) -> (DType, Vec<usize>) {
    (preprocess.dtype(), preprocess.shape())
}
