//! Where a source image lies in the model's input, so that what a model finds can be told in pixels of
//! the source.

/// How a source image was placed: `model_x = source_x * scale_x + offset_x`, and so for y. Pixel
/// coordinates are continuous, with 0 at the left (upper) edge of the first pixel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Placement {
    /// Pixels of the model's input for one of the source, across.
    pub scale_x: f32,
    /// Pixels of the model's input for one of the source, down.
    pub scale_y: f32,
    /// Where the source's left edge lies in the model's input; negative when it is cut off.
    pub offset_x: f32,
    /// Where the source's upper edge lies in the model's input; negative when it is cut off.
    pub offset_y: f32,
    /// Pixels of a row of the source; 0 when not known.
    pub source_width: u32,
    /// Rows of the source; 0 when not known.
    pub source_height: u32,
}

impl Placement {
    /// A point of the model's input, in pixels of the source.
    pub fn to_source(&self, x: f32, y: f32) -> (f32, f32) {
        ((x - self.offset_x) / self.scale_x, (y - self.offset_y) / self.scale_y)
    }
}

/// The source as it is.
impl Default for Placement {
    fn default() -> Self {
        Self { scale_x: 1.0, scale_y: 1.0, offset_x: 0.0, offset_y: 0.0, source_width: 0, source_height: 0 }
    }
}
