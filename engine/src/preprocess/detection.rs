//! An object that an earlier step has found in an image.

/// An object in a source image. Coordinates are pixels of that image, with the origin at the upper left corner of the upper
/// left pixel.
#[derive(Clone, Debug, PartialEq)]
pub struct Detection {
    /// Its row in the outputs of the model that found it.
    pub row: usize,
    /// x1, y1, x2, y2 of its box.
    pub corners: [f64; 4],
    /// Its score.
    pub score: f32,
    /// x and y of its landmarks, if the model gives them.
    pub landmarks: Vec<[f64; 2]>,
}
