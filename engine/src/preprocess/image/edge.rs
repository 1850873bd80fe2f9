//! Resizing of a region that crosses the edge of the image.
//!
//! What is outside of the image has one colour, so its share of a pixel is enough, and only pixels of the image are read.
//! The work and the memory depend on the image and the row, but not on the size of the region.

use std::ops::Range;

use super::super::spec::Filter;
use super::pixels::{Channels, DecodedImage};

/// The scale from which on the sum of a filter's weights is taken for the scale: both differ by less than 0.01 %.
const SMOOTH: f64 = 64.0;
/// The most pixels of a row's axis that one pixel of the image reaches where the filter shrinks, and the most pixels of the
/// image in one pixel of the row where it does not: those of the bicubic filter.
const MOST_REACHED: usize = 5;

/// The buffers of one thread.
#[derive(Default)]
pub(super) struct EdgeScratch {
    columns: AxisShares,
    rows: AxisShares,
    /// One line of the row, not yet resized across.
    line: Vec<f32>,
}

impl EdgeScratch {
    /// The most bytes that are needed to resize a region of an image of `size` to `inner`, the result included.
    pub(super) fn bytes(size: (u32, u32), inner: [u32; 2]) -> u64 {
        let [width, height] = inner;
        let axes = AxisShares::bytes(size.0, width) + AxisShares::bytes(size.1, height);
        let line = u64::from(size.0) * 3 * size_of::<f32>() as u64;
        axes + line + u64::from(width) * u64::from(height) * 3
    }

    /// The bytes that the buffers hold.
    pub(super) fn held(&self) -> usize {
        self.columns.held() + self.rows.held() + self.line.capacity() * size_of::<f32>()
    }

    /// Resizes a region of the plane in which `image` lies on `fill`. A gray image on gray stays gray.
    pub(super) fn resize<'a>(
        &mut self,
        image: DecodedImage<'_>,
        region: [f64; 4],
        inner: [u32; 2],
        (filter, fill): (Filter, [u8; 3]),
        resized: &'a mut Vec<u8>,
    ) -> DecodedImage<'a> {
        let is_gray = image.channels == Channels::Gray && fill[0] == fill[1] && fill[1] == fill[2];
        let channels = if is_gray { Channels::Gray } else { Channels::Rgb };
        let [left, top, width, height] = region;
        self.columns.compute((left, width), inner[0], image.size.0, filter);
        self.rows.compute((top, height), inner[1], image.size.1, filter);
        resized.clear();
        resized.reserve_exact(inner[0] as usize * inner[1] as usize * channels.count());
        match channels {
            Channels::Gray => self.lines([fill[0]], image, resized),
            Channels::Rgb => self.lines(fill, image, resized),
        }
        DecodedImage { pixels: resized, size: (inner[0], inner[1]), channels }
    }

    /// Appends the resized lines: for each, sums the image's lines, then resizes the sum across.
    fn lines<const N: usize>(&mut self, fill: [u8; N], image: DecodedImage<'_>, resized: &mut Vec<u8>) {
        let fill = fill.map(f32::from);
        let Self { columns, rows, line } = self;
        let shown = columns.shown();
        let from = image.channels.count();
        for (first, shares, outside) in rows.iter() {
            line.clear();
            line.reserve_exact(shown.len() * N);
            line.extend(fill.map(|value| value * outside).iter().cycle().take(shown.len() * N));
            for (y, share) in (first..).zip(shares) {
                let begin = (y * image.size.0 as usize + shown.start) * from;
                let pixels = image.pixels.get(begin..begin + shown.len() * from).unwrap_or_default();
                if from == N {
                    line.iter_mut().zip(pixels).for_each(|(sum, value)| *sum += share * f32::from(*value));
                } else {
                    let (sums, _) = line.as_chunks_mut::<N>();
                    for (sums, gray) in sums.iter_mut().zip(pixels) {
                        sums.iter_mut().for_each(|sum| *sum += share * f32::from(*gray));
                    }
                }
            }
            // The bicubic filter overshoots. Between the two directions the values are levels again, as Pillow's are.
            line.iter_mut().for_each(|value| *value = value.clamp(0.0, 255.0));
            let (line, _) = line.as_chunks::<N>();
            for (first, shares, outside) in columns.iter() {
                let mut sums = fill.map(|value| value * outside);
                for (values, share) in line.iter().skip(first.saturating_sub(shown.start)).zip(shares) {
                    sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += share * value);
                }
                // The conversion saturates.
                resized.extend(sums.map(|sum| (sum + 0.5) as u8));
            }
        }
    }
}

/// The shares of the image's pixels in each pixel of the row, along one axis.
#[derive(Default)]
struct AxisShares {
    spans: Vec<AxisSpan>,
    shares: Vec<f32>,
}

/// The pixels of the image in one pixel of the row.
struct AxisSpan {
    /// The first of them.
    first: usize,
    /// The places of their shares.
    shares: Range<usize>,
}

impl AxisShares {
    /// The most bytes for an axis of `count` pixels over `size` pixels of the image.
    fn bytes(size: u32, count: u32) -> u64 {
        let shares = MOST_REACHED as u64 * (u64::from(size) + u64::from(count));
        shares * size_of::<f32>() as u64 + u64::from(count) * size_of::<AxisSpan>() as u64
    }

    fn held(&self) -> usize {
        self.spans.capacity() * size_of::<AxisSpan>() + self.shares.capacity() * size_of::<f32>()
    }

    /// Computes the shares of `size` pixels in `count` pixels that show `length` pixels from `start` on.
    fn compute(&mut self, (start, length): (f64, f64), count: u32, size: u32, filter: Filter) {
        self.spans.clear();
        self.shares.clear();
        self.spans.reserve_exact(count as usize);
        self.shares.reserve_exact(MOST_REACHED * (size as usize + count as usize));
        let scale = length / f64::from(count);
        // A filter that shrinks averages over all pixels that it leaves out.
        let stretch = scale.max(1.0);
        let weigh: fn(f64) -> f64 = match filter {
            Filter::Nearest | Filter::Bilinear => |distance| (1.0 - distance.abs()).max(0.0),
            Filter::Bicubic => catmull_rom,
        };
        for place in 0..count {
            let centre = start + (f64::from(place) + 0.5) * scale;
            let reach = if filter == Filter::Bicubic { 2.0 * stretch } else { stretch };
            let (first, end) = match filter {
                Filter::Nearest => (centre.floor(), centre.floor() + 1.0),
                _ => ((centre - reach + 0.5).floor(), (centre + reach + 0.5).floor()),
            };
            let weight = |at: i64| weigh((at as f64 + 0.5 - centre) / stretch);
            // The region's edges are bounded, so whole numbers hold these.
            let inside = first.clamp(0.0, f64::from(size)) as i64..end.clamp(0.0, f64::from(size)) as i64;
            let begin = self.shares.len();
            if filter == Filter::Nearest {
                self.shares.extend(inside.clone().map(|_| 1.0));
            } else if !inside.is_empty() {
                let sum = match stretch {
                    SMOOTH.. => stretch,
                    _ => (first as i64..end as i64).map(weight).sum(),
                };
                self.shares.extend(inside.clone().map(|at| (weight(at) / sum) as f32));
            }
            self.spans.push(AxisSpan { first: inside.start as usize, shares: begin..self.shares.len() });
        }
    }

    /// The pixels of the image that are in any pixel of the row.
    fn shown(&self) -> Range<usize> {
        let shown = || self.spans.iter().filter(|span| !span.shares.is_empty());
        let first = shown().map(|span| span.first).min().unwrap_or(0);
        first..shown().map(|span| span.first + span.shares.len()).max().unwrap_or(first)
    }

    /// For each pixel of the row: the first pixel of the image, the shares from there on, and the share of the rest.
    fn iter(&self) -> impl Iterator<Item = (usize, &[f32], f32)> {
        self.spans.iter().map(|span| {
            let shares = self.shares.get(span.shares.clone()).unwrap_or_default();
            (span.first, shares, 1.0 - shares.iter().sum::<f32>())
        })
    }
}

/// The cubic filter with a = -0.5.
fn catmull_rom(distance: f64) -> f64 {
    let x = distance.abs();
    match x {
        ..1.0 => (1.5 * x - 2.5) * x * x + 1.0,
        1.0..2.0 => ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGE: DecodedImage<'static> =
        DecodedImage { pixels: &[0, 1, 2, 3, 4, 5], size: (3, 2), channels: Channels::Gray };

    fn resized(region: [f64; 4], inner: [u32; 2], filter: Filter, fill: [u8; 3]) -> (Channels, Vec<u8>) {
        let mut made = Vec::new();
        let shown = EdgeScratch::default().resize(IMAGE, region, inner, (filter, fill), &mut made);
        assert_eq!(shown.size, (inner[0], inner[1]));
        (shown.channels, made)
    }

    #[test]
    fn edge_shows_the_image_where_it_is_and_fill_elsewhere() {
        for filter in [Filter::Nearest, Filter::Bilinear, Filter::Bicubic] {
            let made = resized([-1.0, -1.0, 3.0, 4.0], [3, 4], filter, [9; 3]);
            assert_eq!(made, (Channels::Gray, vec![9, 9, 9, 9, 0, 1, 9, 3, 4, 9, 9, 9]), "{filter:?}");
            let made = resized([2.0, 1.0, 2.0, 1.0], [2, 1], filter, [7, 8, 9]);
            assert_eq!(made, (Channels::Rgb, vec![5, 5, 5, 7, 8, 9]), "{filter:?}");
        }
    }

    #[test]
    fn edge_of_any_scale_gives_shares_that_sum_to_one() {
        let mut axis = AxisShares::default();
        for filter in [Filter::Nearest, Filter::Bilinear, Filter::Bicubic] {
            for (length, count) in [(10.0, 100), (31.0, 30), (63.9 * 8.0, 8), (64.1 * 8.0, 8), (900.5, 3)] {
                // The image is larger than what the filter reaches.
                axis.compute((2500.0, length), count, 6000, filter);
                assert!(axis.shares.len() <= MOST_REACHED * (6000 + count as usize));
                for (_, shares, outside) in axis.iter() {
                    assert!(outside.abs() < 1e-4, "{filter:?} {length} {count}: {outside} {}", shares.len());
                }
            }
        }
    }

    #[test]
    fn edge_holds_no_more_memory_than_it_has_announced() {
        for (length, inner) in [(5.0, [50, 60]), (500.0, [7, 9]), (1e9, [3, 1])] {
            let (mut edge, mut made) = (EdgeScratch::default(), Vec::new());
            let region = [-1.5, -1.5, length, length];
            edge.resize(IMAGE, region, inner, (Filter::Bicubic, [1, 2, 3]), &mut made);
            let held = (edge.held() + made.capacity()) as u64;
            assert!(held <= EdgeScratch::bytes(IMAGE.size, inner), "{held} {length}");
        }
    }
}
