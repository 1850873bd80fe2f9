//! The overlap of boxes: intersection over union (IoU).

/// The intersection over union of two boxes. A box without an area, or with a coordinate that is no finite number,
/// overlaps nothing.
pub(super) fn overlap(a: &[f64; 4], b: &[f64; 4]) -> f64 {
    let (first, second) = (area(a), area(b));
    let shared = area(&[a[0].max(b[0]), a[1].max(b[1]), a[2].min(b[2]), a[3].min(b[3])]);
    let found = shared / (first + second - shared);
    if first > 0.0 && second > 0.0 && found.is_finite() { found } else { 0.0 }
}

/// The area of a box; 0 if its corners are in the wrong order or no finite numbers.
fn area([x1, y1, x2, y2]: &[f64; 4]) -> f64 {
    let (width, height) = (x2 - x1, y2 - y1);
    // NaN compares as false.
    if width > 0.0 && height > 0.0 && (width * height).is_finite() { width * height } else { 0.0 }
}
