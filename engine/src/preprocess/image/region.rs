//! The region of an image that shows one detection, and the canvas for a region that crosses the image's edge.

use super::super::spec::{CropAspect, CropSpec};
use super::pixels::{Channels, DecodedImage};

/// A distance from the image's edge that is rounding, in pixels.
const ROUNDING: f64 = 1e-6;
/// Beyond this, coordinates are nonsense, and too large for whole numbers.
const FARTHEST: f64 = 1e9;

/// Left, top, width and height of the region around a box, in pixels of an image of `size`. `target` is the size of the row.
///
/// # Errors
/// A box that has no area, and a region without a pixel of the image.
pub(super) fn around(
    spec: &CropSpec,
    corners: [f64; 4],
    size: (u32, u32),
    target: (u32, u32),
) -> Result<[f64; 4], String> {
    let [x1, y1, x2, y2] = corners;
    if corners.iter().any(|edge| !edge.is_finite()) {
        return Err(format!("its box {corners:?} has a coordinate that is no finite number"));
    }
    if x2 <= x1 || y2 <= y1 {
        return Err(format!("its box {corners:?} has no area"));
    }
    let margin = f64::from(spec.margin);
    let (across, down) = ((x2 - x1) * margin, (y2 - y1) * margin);
    let (width, height) = (x2 - x1 + 2.0 * across, y2 - y1 + 2.0 * down);
    let wide = match spec.aspect {
        CropAspect::Keep => width / height,
        CropAspect::Square => 1.0,
        CropAspect::Target => f64::from(target.0) / f64::from(target.1),
    };
    // The shorter side grows on both ends.
    let (across, down) =
        (across + (height * wide - width).max(0.0) / 2.0, down + (width / wide - height).max(0.0) / 2.0);
    let (right_end, lower_end) = (f64::from(size.0), f64::from(size.1));
    let (left, right) = (snapped(x1 - across, right_end), snapped(x2 + across, right_end));
    let (top, bottom) = (snapped(y1 - down, lower_end), snapped(y2 + down, lower_end));
    if right <= 0.0 || left >= right_end || bottom <= 0.0 || top >= lower_end {
        return Err(format!("its box {corners:?} is outside of the image of {} x {} pixels", size.0, size.1));
    }
    // Written so that a sum that is no finite number counts, too.
    if [left, top, right, bottom].iter().any(|edge| edge.is_nan() || edge.abs() > FARTHEST) {
        return Err(format!("its box {corners:?} is far larger than any image"));
    }
    Ok([left, top, right - left, bottom - top])
}

/// A coordinate, or the edge that it misses only by rounding.
fn snapped(at: f64, end: f64) -> f64 {
    [0.0, end].into_iter().find(|edge| (at - edge).abs() < ROUNDING).unwrap_or(at)
}

/// The part of the plane that a canvas shows, in pixels of the image: left, top, right and bottom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CanvasBounds([i64; 4]);

impl CanvasBounds {
    /// The bounds that a filter needs to resize a region to `inner`; none if the region is within an image of `size`.
    /// `support` is the reach of the filter where it does not shrink.
    pub(super) fn of(region: [f64; 4], inner: [u32; 2], support: f64, size: (u32, u32)) -> Option<Self> {
        let [left, top, width, height] = region;
        let (right, bottom) = (left + width, top + height);
        if left >= 0.0 && top >= 0.0 && right <= f64::from(size.0) && bottom <= f64::from(size.1) {
            return None;
        }
        let reach = |length: f64, to: u32| support * (length / f64::from(to)).max(1.0) + 1.0;
        let (across, down) = (reach(width, inner[0]), reach(height, inner[1]));
        let bounds =
            [(left - across).floor(), (top - down).floor(), (right + across).ceil(), (bottom + down).ceil()];
        // The region's edges are bounded.
        Some(Self(bounds.map(|edge| edge as i64)))
    }

    pub(super) fn size(&self) -> (u64, u64) {
        let [left, top, right, bottom] = self.0;
        ((right - left).unsigned_abs(), (bottom - top).unsigned_abs())
    }

    /// The region in pixels of the canvas.
    pub(super) fn place(&self, [left, top, width, height]: [f64; 4]) -> [f64; 4] {
        [left - self.0[0] as f64, top - self.0[1] as f64, width, height]
    }

    /// Writes the canvas: the image where it is, and `fill` elsewhere. A gray image on a gray canvas stays gray.
    pub(super) fn paint<'a>(
        &self,
        image: DecodedImage<'_>,
        fill: [u8; 3],
        canvas: &'a mut Vec<u8>,
    ) -> DecodedImage<'a> {
        let is_gray = image.channels == Channels::Gray && fill[0] == fill[1] && fill[1] == fill[2];
        let channels = if is_gray { Channels::Gray } else { Channels::Rgb };
        let (from, to) = (image.channels.count(), channels.count());
        let (width, height) = self.size();
        // The caller has bounded the number of pixels.
        let (width, height) = (width as usize, height as usize);
        canvas.clear();
        canvas.reserve_exact(width * height * to);
        let [left, top, ..] = self.0;
        let (image_width, image_height) = (i64::from(image.size.0), i64::from(image.size.1));
        let columns =
            (-left).clamp(0, width as i64) as usize..(image_width - left).clamp(0, width as i64) as usize;
        for y in top..top + height as i64 {
            let line = usize::try_from(y).ok().filter(|_| y < image_height && !columns.is_empty());
            let line = line.and_then(|y| {
                let begin =
                    (y * image.size.0 as usize + usize::try_from(left + columns.start as i64).ok()?) * from;
                image.pixels.get(begin..begin + columns.len() * from)
            });
            let background = |canvas: &mut Vec<u8>, count| {
                (0..count).for_each(|_| canvas.extend_from_slice(fill.get(..to).unwrap_or_default()));
            };
            let Some(line) = line else {
                background(canvas, width);
                continue;
            };
            background(canvas, columns.start);
            if from == to {
                canvas.extend_from_slice(line);
            } else {
                line.iter().for_each(|gray| canvas.extend_from_slice(&[*gray; 3]));
            }
            background(canvas, width - columns.end);
        }
        DecodedImage { pixels: canvas, size: (width as u32, height as u32), channels }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: (u32, u32) = (100, 50);

    fn region(margin: f32, aspect: CropAspect, corners: [f64; 4]) -> Result<[f64; 4], String> {
        around(&CropSpec { margin, aspect, fill: [0; 3] }, corners, SIZE, (64, 128))
    }

    #[test]
    fn region_grows_by_margin_and_aspect_around_its_centre() {
        let corners = [20.0, 10.0, 40.0, 20.0];
        assert_eq!(region(0.0, CropAspect::Keep, corners), Ok([20.0, 10.0, 20.0, 10.0]));
        assert_eq!(region(0.5, CropAspect::Keep, corners), Ok([10.0, 5.0, 40.0, 20.0]));
        assert_eq!(region(0.0, CropAspect::Square, corners), Ok([20.0, 5.0, 20.0, 20.0]));
        assert_eq!(region(0.0, CropAspect::Target, corners), Ok([20.0, -5.0, 20.0, 40.0]));
        assert_eq!(region(0.0, CropAspect::Square, [20.0, 10.0, 24.0, 20.0]), Ok([17.0, 10.0, 10.0, 10.0]));
    }

    #[test]
    fn region_without_a_pixel_is_refused_with_its_box() {
        for (corners, why) in [
            ([f64::NAN, 0.0, 1.0, 1.0], "no finite number"),
            ([0.0, 0.0, f64::INFINITY, 1.0], "no finite number"),
            ([5.0, 0.0, 5.0, 1.0], "no area"),
            ([5.0, 0.0, 4.0, 1.0], "no area"),
            ([100.0, 0.0, 101.0, 1.0], "outside of the image of 100 x 50"),
            ([-7.0, 0.0, 0.0, 1.0], "outside of the image"),
            ([0.0, 50.0, 1.0, 51.0], "outside of the image"),
            ([0.0, -9.0, 1.0, -1.0], "outside of the image"),
            ([-1e12, 0.0, 1e12, 1.0], "far larger"),
            ([f64::MIN, f64::MIN, f64::MAX, f64::MAX], "far larger"),
        ] {
            let found = region(0.0, CropAspect::Keep, corners).expect_err(why);
            assert!(found.contains(why), "{found}");
        }
    }

    #[test]
    fn region_at_the_edge_needs_no_canvas() {
        let third = 100.0 / 3.0;
        let found = region(1.0, CropAspect::Keep, [third, 10.0, 2.0 * third, 20.0]).expect("inside");
        assert_eq!(CanvasBounds::of(found, [9, 9], 1.0, SIZE), None, "{found:?}");
        assert!(CanvasBounds::of([-0.5, 0.0, 10.0, 10.0], [9, 9], 1.0, SIZE).is_some());
    }

    #[test]
    fn canvas_has_the_image_where_it_is_and_fill_elsewhere() {
        let pixels: Vec<u8> = (0..6).collect();
        let image = DecodedImage { pixels: &pixels, size: (3, 2), channels: Channels::Gray };
        let mut canvas = Vec::new();
        let painted = CanvasBounds([-1, -1, 2, 3]).paint(image, [9; 3], &mut canvas);
        assert_eq!((painted.size, painted.channels), ((3, 4), Channels::Gray));
        assert_eq!(painted.pixels, [9, 9, 9, 9, 0, 1, 9, 3, 4, 9, 9, 9]);
        let painted = CanvasBounds([2, 1, 4, 2]).paint(image, [7, 8, 9], &mut canvas);
        assert_eq!((painted.size, painted.pixels), ((2, 1), &[5, 5, 5, 7, 8, 9][..]));
    }
}
