//! Decoded pixels of 8 bits.

/// The channels of a pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Channels {
    Gray,
    Rgb,
}

impl Channels {
    pub(super) fn count(self) -> usize {
        match self {
            Self::Gray => 1,
            Self::Rgb => 3,
        }
    }
}

/// A decoded image in a buffer: rows from the top, without padding.
pub(super) struct Pixels {
    pub(super) size: (u32, u32),
    pub(super) channels: Channels,
    /// True if some pixels are damaged.
    pub(super) is_damaged: bool,
}

/// The pixels of an image that stands upright.
#[derive(Clone, Copy)]
pub(super) struct DecodedImage<'a> {
    pub(super) pixels: &'a [u8],
    pub(super) size: (u32, u32),
    pub(super) channels: Channels,
}
