//! The placement of a source image in the model's input. It converts a model's coordinates to pixels of the source.

/// The placement of a source image: `source = model * scale + offset`, in pixels, with the origin at the upper left
/// corner of the upper left pixel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Placement {
    /// Pixels of a row of the source.
    pub source_width: u32,
    /// Rows of the source.
    pub source_height: u32,
    /// Pixels of the source for one of the model's input, across.
    pub scale_x: f64,
    /// Pixels of the source for one of the model's input, down.
    pub scale_y: f64,
    /// The left edge of the model's input, in pixels of the source; negative if the input is padded.
    pub offset_x: f64,
    /// The upper edge of the model's input, in pixels of the source; negative if the input is padded.
    pub offset_y: f64,
}

impl Placement {
    /// Converts a point of the model's input to pixels of the source.
    pub fn to_source(&self, x: f64, y: f64) -> (f64, f64) {
        (x * self.scale_x + self.offset_x, y * self.scale_y + self.offset_y)
    }
}
