//! The settings of pictures in checks and tests.

use lockstep_engine::preprocess::spec::{Color, ImageSpec, Layout, Resize};
use lockstep_engine::tensor::DType;

/// RGB bytes of a picture of up to a megapixel, row by row, resized but not normalized.
pub(crate) fn picture(width: u32, height: u32, resize: Resize) -> ImageSpec {
    ImageSpec {
        width,
        height,
        resize,
        region: Default::default(),
        color: Color::Rgb,
        scale: 1.0,
        mean: [0.0; 3],
        std: [1.0; 3],
        layout: Layout::Hwc,
        dtype: DType::U8,
        max_pixels: 1 << 20,
        decode: Default::default(),
        care: Default::default(),
    }
}
