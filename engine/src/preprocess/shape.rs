//! The shape and type of a row by its settings, and the check of these settings.

use super::spec::{
    DecodeDetail, Filter, ImageRegion, ImageSpec, Layout, LogMelSpec, MelLog, Preprocess, Resize, TextSpec,
    WaveformSpec,
};
use crate::ingest::duration::check_rate;
use crate::tensor::DType;

/// The most elements of a row: 256 MiB of `f32`. Anything above is a mistake in the settings.
const MAX_ELEMENTS: usize = 1 << 26;

/// The largest margin of a crop, as a share of the box. Anything above is a mistake.
pub const MOST_MARGIN: f32 = 10.0;

impl Preprocess {
    /// The extents of one row, without the batch axis.
    pub fn shape(&self) -> Vec<usize> {
        match self {
            Self::Image(spec) => {
                let (width, height) = (spec.width as usize, spec.height as usize);
                match spec.layout {
                    Layout::Chw => vec![3, height, width],
                    Layout::Hwc => vec![height, width, 3],
                }
            }
            Self::Waveform(spec) => vec![spec.length],
            Self::LogMel(spec) => vec![spec.mels, spec.frames()],
            Self::TokenIds(spec) | Self::AttentionMask(spec) | Self::TokenTypeIds(spec) => vec![spec.length],
            Self::Bytes { length } => vec![*length],
        }
    }

    /// The type of a row's elements.
    pub fn dtype(&self) -> DType {
        match self {
            Self::Image(spec) => spec.dtype,
            Self::Waveform(_) | Self::LogMel(_) => DType::F32,
            Self::TokenIds(spec) | Self::AttentionMask(spec) | Self::TokenTypeIds(spec) => spec.dtype,
            Self::Bytes { .. } => DType::U8,
        }
    }

    /// Checks the settings, without reading any file.
    ///
    /// # Errors
    /// A description of the mistake, and the remedy.
    pub fn check(&self) -> Result<(), String> {
        match self {
            Self::Image(spec) => check_image(spec)?,
            Self::Waveform(spec) => check_wave(spec)?,
            Self::LogMel(spec) => check_mel(spec)?,
            Self::TokenIds(spec) | Self::AttentionMask(spec) | Self::TokenTypeIds(spec) => check_text(spec)?,
            Self::Bytes { length } => check_positive("length", *length)?,
        }
        let shape = self.shape();
        let count = shape.iter().try_fold(1usize, |count, extent| count.checked_mul(*extent));
        if count.is_none_or(|count| count > MAX_ELEMENTS) {
            return Err(format!("a row of {shape:?} is larger than {MAX_ELEMENTS} elements"));
        }
        Ok(())
    }
}

impl LogMelSpec {
    /// Frames of the spectrogram.
    pub fn frames(&self) -> usize {
        let length = self.wave.length + if self.center { 2 * (self.n_fft / 2) } else { 0 };
        let frames = match length.checked_sub(self.n_fft) {
            Some(rest) => 1 + rest / self.hop_length.max(1),
            None => 0,
        };
        if self.log == MelLog::Whisper { frames.saturating_sub(1) } else { frames }
    }
}

fn check_positive(name: &str, value: usize) -> Result<(), String> {
    if value == 0 { Err(format!("{name} = 0: it must be at least 1")) } else { Ok(()) }
}

fn check_text(spec: &TextSpec) -> Result<(), String> {
    check_positive("length", spec.length)?;
    match (spec.dtype, spec.pad_id) {
        (DType::I32, Some(value)) if i32::try_from(value).is_err() => {
            Err(format!("the padding is {value}, which i32 cannot hold; write dtype = \"i64\""))
        }
        (DType::I32 | DType::I64, _) => Ok(()),
        (other, _) => Err(format!("tokens are of i32 or i64, not of {other}")),
    }
}

fn check_image(spec: &ImageSpec) -> Result<(), String> {
    for (name, side) in [("width", spec.width), ("height", spec.height)] {
        if !(1..=65_535).contains(&side) {
            return Err(format!("{name} = {side}: it must be from 1 to 65535"));
        }
    }
    if spec.max_pixels == 0 {
        return Err("max_pixels = 0: it must be at least 1".into());
    }
    if !spec.scale.is_finite() || spec.mean.iter().any(|mean| !mean.is_finite()) {
        return Err("scale and mean must be finite numbers".into());
    }
    if spec.std.iter().any(|std| !std.is_finite() || *std == 0.0) {
        return Err(format!("std = {:?}: each must be a finite number other than 0", spec.std));
    }
    let picks = match spec.resize {
        Resize::Stretch(filter) | Resize::Fit { filter, .. } | Resize::CenterCrop(filter) => {
            filter == Filter::Nearest
        }
        Resize::Exact => true,
    };
    if spec.decode == DecodeDetail::Scaled && picks {
        return Err("decode = \"scaled\" averages pixels, but resize = \"exact\" and filter = \"nearest\" take single \
                    ones; write decode = \"full\""
            .into());
    }
    check_region(spec)?;
    match spec.dtype {
        DType::F32 => Ok(()),
        DType::U8 if spec.scale == 1.0 && spec.mean == [0.0; 3] && spec.std == [1.0; 3] => Ok(()),
        DType::U8 => {
            Err("images of u8 are neither scaled nor normalised: leave scale 1, mean 0 and std 1".into())
        }
        other => Err(format!("images are of f32 or u8, not of {other}")),
    }
}

/// The settings of crops fit together. The configuration says the same by its keys.
fn check_region(spec: &ImageSpec) -> Result<(), String> {
    match &spec.region {
        ImageRegion::Whole => return Ok(()),
        ImageRegion::Crop(crop) if !(0.0..=MOST_MARGIN).contains(&crop.margin) => {
            return Err(format!("margin = {}: it must be from 0 to {MOST_MARGIN}", crop.margin));
        }
        ImageRegion::Crop(_) if matches!(spec.resize, Resize::CenterCrop(_) | Resize::Exact) => {
            return Err("a crop is resized by \"stretch\" or \"fit\"; write one of them".into());
        }
        ImageRegion::Crop(_) => {}
        ImageRegion::Aligned(aligned) if aligned.points.len() < 2 => {
            return Err(format!("align has {} points; write at least 2", aligned.points.len()));
        }
        ImageRegion::Aligned(aligned)
            if aligned.points.iter().flatten().any(|number| !number.is_finite()) =>
        {
            return Err("the points of align must be finite numbers".into());
        }
        ImageRegion::Aligned(_) if spec.resize != Resize::Stretch(Filter::Bilinear) => {
            return Err(
                "align samples bilinearly and brings the image to its size; leave resize and filter".into()
            );
        }
        ImageRegion::Aligned(_) => {}
    }
    if spec.decode == DecodeDetail::Scaled {
        return Err("crops take every pixel of the image; write decode = \"full\"".into());
    }
    Ok(())
}

fn check_wave(spec: &WaveformSpec) -> Result<(), String> {
    check_rate(spec.rate).map_err(String::from)?;
    check_positive("length", spec.length)?;
    if spec.length > MAX_ELEMENTS {
        return Err(format!("length = {}: it must be at most {MAX_ELEMENTS}", spec.length));
    }
    if !spec.scale.is_finite() {
        return Err(format!("scale = {}: it must be a finite number", spec.scale));
    }
    Ok(())
}

fn check_mel(spec: &LogMelSpec) -> Result<(), String> {
    check_wave(&spec.wave)?;
    for (name, value) in [
        ("n_fft", spec.n_fft),
        ("win_length", spec.win_length),
        ("hop_length", spec.hop_length),
        ("mels", spec.mels),
    ] {
        check_positive(name, value)?;
    }
    if spec.n_fft > 1 << 16 || spec.mels > 4096 {
        return Err(format!(
            "n_fft is at most 65536 and mels at most 4096, not {} and {}",
            spec.n_fft, spec.mels
        ));
    }
    if spec.win_length > spec.n_fft {
        return Err(format!("win_length = {} is longer than n_fft = {}", spec.win_length, spec.n_fft));
    }
    let nyquist = spec.wave.rate as f32 / 2.0;
    if !(0.0 <= spec.f_min && spec.f_min < spec.f_max && spec.f_max <= nyquist) {
        return Err(format!(
            "f_min = {} and f_max = {}: it must be that 0 <= f_min < f_max <= {nyquist}, half the rate",
            spec.f_min, spec.f_max
        ));
    }
    if spec.power != 1.0 && spec.power != 2.0 {
        return Err(format!("power = {}: it must be 1 or 2", spec.power));
    }
    if let MelLog::Decibel { floor } | MelLog::Natural { floor } = spec.log
        && !(floor.is_finite() && floor > 0.0)
    {
        return Err(format!("floor = {floor}: it must be above 0, as 1e-10"));
    }
    if spec.center && spec.wave.length <= spec.n_fft / 2 {
        return Err(format!(
            "length = {} is too short to be padded by reflection; it must be above n_fft / 2 = {}",
            spec.wave.length,
            spec.n_fft / 2
        ));
    }
    if spec.frames() == 0 {
        return Err(format!(
            "length = {} gives no frame of n_fft = {}: make it longer or set center",
            spec.wave.length, spec.n_fft
        ));
    }
    Ok(())
}
