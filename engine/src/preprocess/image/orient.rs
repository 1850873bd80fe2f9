//! EXIF orientation, applied to decoded pixels.

use ::image::metadata::Orientation;

use super::pixels::Channels;

/// True if width and height are swapped.
pub(super) fn is_sideways(orientation: Orientation) -> bool {
    matches!(
        orientation,
        Orientation::Rotate90
            | Orientation::Rotate270
            | Orientation::Rotate90FlipH
            | Orientation::Rotate270FlipH
    )
}

/// The size after turning.
pub(super) fn turned_size((width, height): (u32, u32), orientation: Orientation) -> (u32, u32) {
    if is_sideways(orientation) { (height, width) } else { (width, height) }
}

/// True for each axis of the turned image that begins at the source's last column or row.
pub(super) fn flips(orientation: Orientation) -> (bool, bool) {
    match orientation {
        Orientation::NoTransforms | Orientation::Rotate90FlipH => (false, false),
        Orientation::FlipHorizontal | Orientation::Rotate90 => (true, false),
        Orientation::FlipVertical | Orientation::Rotate270 => (false, true),
        Orientation::Rotate180 | Orientation::Rotate270FlipH => (true, true),
    }
}

/// Copies `from`, of that size, to `to`, rotated upright.
pub(super) fn turn(
    from: &[u8],
    (width, height): (u32, u32),
    channels: Channels,
    orientation: Orientation,
    to: &mut Vec<u8>,
) {
    let (width, height) = (width as usize, height as usize);
    to.clear();
    to.reserve_exact(from.len());
    match channels {
        Channels::Gray => turn_pixels::<1>(from, width, height, orientation, to),
        Channels::Rgb => turn_pixels::<3>(from, width, height, orientation, to),
    }
}

fn turn_pixels<const N: usize>(from: &[u8], w: usize, h: usize, orientation: Orientation, to: &mut Vec<u8>) {
    let (from, _) = from.as_chunks::<N>();
    let mut line = |begin: usize, step: isize, count: usize| {
        let places = (0..count).map(|n| begin.wrapping_add_signed(step * n as isize));
        to.extend(places.filter_map(|place| from.get(place)).flatten());
    };
    let (across, down) = (1isize, w as isize);
    // Each row of the result is a row or a column of the source, read from one of its ends.
    match orientation {
        Orientation::NoTransforms => (0..h).for_each(|y| line(y * w, across, w)),
        Orientation::FlipHorizontal => (0..h).for_each(|y| line(y * w + w - 1, -across, w)),
        Orientation::Rotate180 => (0..h).rev().for_each(|y| line(y * w + w - 1, -across, w)),
        Orientation::FlipVertical => (0..h).rev().for_each(|y| line(y * w, across, w)),
        // Transposed.
        Orientation::Rotate90FlipH => (0..w).for_each(|x| line(x, down, h)),
        Orientation::Rotate90 => (0..w).for_each(|x| line((h - 1) * w + x, -down, h)),
        // Transposed along the other diagonal.
        Orientation::Rotate270FlipH => (0..w).rev().for_each(|x| line((h - 1) * w + x, -down, h)),
        Orientation::Rotate270 => (0..w).rev().for_each(|x| line(x, down, h)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The character F in five rows of four, stored in each of EXIF's eight orientations: all become the same F.
    #[test]
    fn each_orientation_of_exif_becomes_the_same_picture() {
        let f = ["XXXX", "X   ", "XXX ", "X   ", "X   "];
        let expected: Vec<u8> = f.concat().into_bytes();
        let stored: [(u8, &[&str]); 8] = [
            (1, &["XXXX", "X   ", "XXX ", "X   ", "X   "]),
            (2, &["XXXX", "   X", " XXX", "   X", "   X"]),
            (3, &["   X", "   X", " XXX", "   X", "XXXX"]),
            (4, &["X   ", "X   ", "XXX ", "X   ", "XXXX"]),
            (5, &["XXXXX", "X X  ", "X X  ", "X    "]),
            (6, &["X    ", "X X  ", "X X  ", "XXXXX"]),
            (7, &["    X", "  X X", "  X X", "XXXXX"]),
            (8, &["XXXXX", "  X X", "  X X", "    X"]),
        ];
        for (code, rows) in stored {
            let orientation = Orientation::from_exif(code).expect("one of eight");
            let size = (rows[0].len() as u32, rows.len() as u32);
            let pixels: Vec<u8> = rows.concat().into_bytes();
            let mut turned = Vec::new();
            turn(&pixels, size, Channels::Gray, orientation, &mut turned);
            assert_eq!((turned, turned_size(size, orientation)), (expected.clone(), (4, 5)), "{code}");
            let colours: Vec<u8> = pixels.iter().flat_map(|pixel| [*pixel, 1, 2]).collect();
            let mut turned = Vec::new();
            turn(&colours, size, Channels::Rgb, orientation, &mut turned);
            assert_eq!(turned.iter().step_by(3).copied().collect::<Vec<_>>(), expected, "{code}");
        }
    }
}
