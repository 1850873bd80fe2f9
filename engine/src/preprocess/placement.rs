//! Where a source image lies in the model's input, so that what a model finds can be told in pixels of
//! the source.

/// Where the source image lies in a row: `source = model * scale + offset`, in pixels with the origin at the
/// upper left corner of the upper left pixel. Boxes that a model finds are put back on the source image so.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Placement {
    /// Pixels of a row of the source.
    pub source_width: u32,
    /// Rows of the source.
    pub source_height: u32,
    /// Source pixels for one pixel of the model's input, across.
    pub scale_x: f64,
    /// Source pixels for one pixel of the model's input, down.
    pub scale_y: f64,
    /// Where in the source the left edge of the model's input lies; negative when it is padded.
    pub offset_x: f64,
    /// Where in the source the upper edge of the model's input lies; negative when it is padded.
    pub offset_y: f64,
}

impl Placement {
    /// A point of the model's input in pixels of the source.
    pub fn to_source(&self, x: f64, y: f64) -> (f64, f64) {
        (x * self.scale_x + self.offset_x, y * self.scale_y + self.offset_y)
    }
}

/// The source as it is.
impl Default for Placement {
    fn default() -> Self {
        Self { source_width: 0, source_height: 0, scale_x: 1.0, scale_y: 1.0, offset_x: 0.0, offset_y: 0.0 }
    }
}
