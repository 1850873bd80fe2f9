//! The geometry of resizing: the part of the source, its place in the row, and the way back.

use super::super::placement::Placement;
use super::super::spec::Resize;

/// The region cut out of the source, its size after resizing, and its place in the row.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Geometry {
    /// Left, top, width and height of the region, in pixels of the source.
    pub(super) source: [f64; 4],
    /// Width and height after resizing.
    pub(super) inner: [u32; 2],
    /// Left and top of its place in the row.
    pub(super) at: [u32; 2],
    pub(super) placement: Placement,
}

impl Geometry {
    /// Computes the geometry; `size` and `target` are width and height.
    pub(super) fn new(resize: Resize, size: (u32, u32), target: (u32, u32)) -> Result<Self, String> {
        let (from_w, from_h) = (f64::from(size.0), f64::from(size.1));
        let (to_w, to_h) = (f64::from(target.0), f64::from(target.1));
        let whole = [0.0, 0.0, from_w, from_h];
        let (source, inner, at) = match resize {
            Resize::Exact if size != target => {
                return Err(format!(
                    "the image is {} x {} pixels; this input takes exactly {} x {}, or set a resize mode",
                    size.0, size.1, target.0, target.1
                ));
            }
            Resize::Exact | Resize::Stretch(_) => (whole, [target.0, target.1], [0, 0]),
            // As Pillow's `ImageOps.pad`, with its rounding of halves to even.
            Resize::Fit { .. } => {
                let wider = u64::from(size.0) * u64::from(target.1) > u64::from(size.1) * u64::from(target.0);
                let inner = if wider {
                    [target.0, round(from_h / from_w * to_w).clamp(1, target.1)]
                } else {
                    [round(from_w / from_h * to_h).clamp(1, target.0), target.1]
                };
                let [left, top] =
                    [target.0 - inner[0], target.1 - inner[1]].map(|n| round(f64::from(n) / 2.0));
                (whole, inner, [left, top])
            }
            // As torchvision's `Resize` of the shorter side and `CenterCrop`: the whole image would become `full`,
            // but only its middle is computed.
            Resize::CenterCrop(_) => {
                let [sw, sh, tw, th] = [size.0, size.1, target.0, target.1].map(u64::from);
                let full = if tw * sh >= th * sw { [tw, sh * tw / sw] } else { [sw * th / sh, th] };
                let [full_w, full_h] = full.map(|n| n as f64);
                let (step_x, step_y) = (from_w / full_w, from_h / full_h);
                let left = ((full_w - to_w) / 2.0).round_ties_even() * step_x;
                let top = ((full_h - to_h) / 2.0).round_ties_even() * step_y;
                // Rounding must not move the window over the edge by a trillionth of a pixel.
                let (width, height) = ((to_w * step_x).min(from_w - left), (to_h * step_y).min(from_h - top));
                ([left, top, width, height], [target.0, target.1], [0, 0])
            }
        };
        Ok(Self::placed(source, inner, at, size))
    }

    /// Computes the geometry of a region, which may cross the edges of an image of `size`. It is fitted into the row if
    /// `fits`, and else stretched.
    pub(super) fn of_region(region: [f64; 4], fits: bool, size: (u32, u32), target: (u32, u32)) -> Self {
        let [.., width, height] = region;
        let (to_w, to_h) = (f64::from(target.0), f64::from(target.1));
        let inner = match (fits, width * to_h > height * to_w) {
            (false, _) => [target.0, target.1],
            (true, true) => [target.0, round(height / width * to_w).clamp(1, target.1)],
            (true, false) => [round(width / height * to_h).clamp(1, target.0), target.1],
        };
        let at = [target.0 - inner[0], target.1 - inner[1]].map(|n| round(f64::from(n) / 2.0));
        Self::placed(region, inner, at, size)
    }

    fn placed(source: [f64; 4], inner: [u32; 2], at: [u32; 2], size: (u32, u32)) -> Self {
        let (scale_x, scale_y) = (source[2] / f64::from(inner[0]), source[3] / f64::from(inner[1]));
        let placement = Placement {
            source_width: size.0,
            source_height: size.1,
            scale_x,
            scale_y,
            offset_x: source[0] - f64::from(at[0]) * scale_x,
            offset_y: source[1] - f64::from(at[1]) * scale_y,
        };
        Self { source, inner, at, placement }
    }

    /// The largest of 8, 4, 2 and 1 by which the source may be shrunk before it is resized, so that the region keeps at
    /// least twice the pixels of the result each way. The resizing filter then has the last word on every value.
    pub(super) fn most_shrink(&self) -> u32 {
        let [_, _, width, height] = self.source;
        let [to_width, to_height] = self.inner.map(f64::from);
        let keeps = |shrink: &u32| {
            let least = f64::from(2 * shrink);
            width >= least * to_width && height >= least * to_height
        };
        [8, 4, 2].into_iter().find(keeps).unwrap_or(1)
    }

    /// The region in pixels of a source that was shrunk and then turned to `size`. Its last column and row may stand
    /// for fewer pixels than the others; turning may have made them the first.
    pub(super) fn shrunk_source(&self, shrink: u32, size: (u32, u32), flipped: (bool, bool)) -> [f64; 4] {
        let by = f64::from(shrink.max(1));
        let [left, top, width, height] = self.source.map(|pixels| pixels / by);
        let before = |flipped: bool, shrunk: u32, source: u32| {
            if flipped { f64::from(shrunk) - f64::from(source) / by } else { 0.0 }
        };
        let left = left + before(flipped.0, size.0, self.placement.source_width);
        let top = top + before(flipped.1, size.1, self.placement.source_height);
        [left, top, width.min(f64::from(size.0) - left), height.min(f64::from(size.1) - top)]
    }

    /// True if the source is copied into the row pixel by pixel.
    pub(super) fn is_identity(&self) -> bool {
        let p = &self.placement;
        self.source == [0.0, 0.0, f64::from(p.source_width), f64::from(p.source_height)]
            && self.inner == [p.source_width, p.source_height]
    }
}

fn round(value: f64) -> u32 {
    value.round_ties_even() as u32
}

#[cfg(test)]
mod tests {
    use super::super::super::spec::Filter::Bilinear;
    use super::*;

    fn geometry(resize: Resize, size: (u32, u32), target: (u32, u32)) -> Geometry {
        Geometry::new(resize, size, target).expect("fits")
    }

    #[test]
    fn fit_pads_the_shorter_side_on_both_ends() {
        let g = geometry(Resize::Fit { filter: Bilinear, fill: [0; 3] }, (640, 480), (224, 224));
        assert_eq!((g.inner, g.at), ([224, 168], [0, 28]));
        assert_eq!(g.placement.to_source(0.0, 28.0), (0.0, 0.0));
        assert_eq!(g.placement.to_source(224.0, 196.0), (640.0, 480.0));
    }

    #[test]
    fn centre_crop_cuts_the_longer_side_on_both_ends() {
        let g = geometry(Resize::CenterCrop(Bilinear), (640, 480), (224, 224));
        assert_eq!(g.inner, [224, 224]);
        // 640 * 224 / 480 = 298 columns, of which 37 are left out on the left.
        assert!((g.source[0] - 37.0 * 640.0 / 298.0).abs() < 1e-9);
        assert_eq!(g.placement.to_source(0.0, 224.0), (g.source[0], 480.0));
    }

    #[test]
    fn geometry_fits_an_image_of_any_shape() {
        for size in [(1, 1), (1, 65_535), (65_535, 1), (3, 2), (224, 224), (500, 499)] {
            for target in [(224, 224), (1, 1), (1, 300), (300, 1)] {
                for resize in [
                    Resize::Stretch(Bilinear),
                    Resize::Fit { filter: Bilinear, fill: [0; 3] },
                    Resize::CenterCrop(Bilinear),
                ] {
                    let g = geometry(resize, size, target);
                    let [left, top, width, height] = g.source;
                    assert!(left >= 0.0 && top >= 0.0 && width > 0.0 && height > 0.0, "{g:?}");
                    assert!(left + width <= f64::from(size.0) && top + height <= f64::from(size.1), "{g:?}");
                    assert!(g.inner[0] + g.at[0] <= target.0 && g.inner[1] + g.at[1] <= target.1, "{g:?}");
                    assert!(g.inner[0] > 0 && g.inner[1] > 0, "{g:?}");
                }
            }
        }
    }

    #[test]
    fn exact_takes_no_other_size() {
        assert!(geometry(Resize::Exact, (5, 4), (5, 4)).is_identity());
        assert!(Geometry::new(Resize::Exact, (4, 5), (5, 4)).is_err());
    }
}
