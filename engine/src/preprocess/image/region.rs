//! The region of an image that shows one detection.

use super::super::spec::{CropAspect, CropSpec};

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
        return Err(format!(
            "its box {corners:?} has a coordinate that is no finite number; correct the model that finds it"
        ));
    }
    if x2 <= x1 || y2 <= y1 {
        return Err(format!(
            "its box {corners:?} has no area; correct the model that finds it, whose boxes must be x1, y1, x2, y2, or leave \
             such boxes out by min_score in its view"
        ));
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
        return Err(format!(
            "its box {corners:?} is outside of the image of {} x {} pixels; correct the model that finds it, or leave such \
             boxes out by min_score in its view",
            size.0, size.1
        ));
    }
    // Written so that a sum that is no finite number counts, too.
    if [left, top, right, bottom].iter().any(|edge| edge.is_nan() || edge.abs() > FARTHEST) {
        return Err(format!(
            "its box {corners:?} is far larger than any image; correct the model that finds it"
        ));
    }
    Ok([left, top, right - left, bottom - top])
}

/// A coordinate, or the edge that it misses only by rounding.
fn snapped(at: f64, end: f64) -> f64 {
    [0.0, end].into_iter().find(|edge| (at - edge).abs() < ROUNDING).unwrap_or(at)
}

/// True if no part of the region is outside of an image of `size`.
pub(super) fn is_inside([left, top, width, height]: [f64; 4], size: (u32, u32)) -> bool {
    left >= 0.0 && top >= 0.0 && left + width <= f64::from(size.0) && top + height <= f64::from(size.1)
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
            assert!(found.contains(why) && found.contains("; correct the model"), "{found}");
        }
    }

    #[test]
    fn region_that_ends_at_the_edge_is_inside() {
        let third = 100.0 / 3.0;
        let found = region(1.0, CropAspect::Keep, [third, 10.0, 2.0 * third, 20.0]).expect("inside");
        assert!(is_inside(found, SIZE), "{found:?}");
        assert!(!is_inside([-0.5, 0.0, 10.0, 10.0], SIZE));
    }
}
