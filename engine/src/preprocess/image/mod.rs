//! Images: decoded, resized, scaled, normalised, laid out.
//!
//! Everything stays 8-bit until the last pass, which writes the row's own memory. An image with one channel is
//! resized with one channel. An alpha channel is dropped, as Pillow's `convert("RGB")` does. Of 16 bits the upper 8
//! are kept. An image is rotated by its EXIF orientation, unless the input configures otherwise.
//!
//! A row shows a whole image, or the part of it with one detection (`crops`).

mod crops;
mod decode;
mod edge;
mod geometry;
mod jpeg;
mod orient;
mod pixels;
mod region;
mod similarity;
mod sniff;

use ::image::metadata::Orientation;
use fast_image_resize as fir;

use self::decode::{DecodeLimits, ImageHeader};
use self::edge::EdgeScratch;
use self::geometry::Geometry;
use self::pixels::{Channels, DecodedImage};
use super::fault::undecodable;
use super::placement::Placement;
use super::row::RowMut;
use super::spec::{Color, DecodeDetail, Filter, ImageRegion, ImageSpec, Layout, Resize};
use crate::fault::Fault;
use crate::media::Media;
use crate::sample::Sample;

/// The buffers of one thread.
#[derive(Default)]
pub(super) struct ImageScratch {
    decoded: Vec<u8>,
    turned: Vec<u8>,
    edge: EdgeScratch,
    resized: Vec<u8>,
    resizer: fir::Resizer,
}

impl ImageScratch {
    /// The largest buffer that is kept, in bytes.
    const KEPT: usize = 16 << 20;

    /// Frees the memory of large images, which the byte budget would no longer count.
    pub(super) fn trim(&mut self) {
        for buffer in [&mut self.decoded, &mut self.turned, &mut self.resized] {
            if buffer.capacity() > Self::KEPT {
                *buffer = Vec::new();
            }
        }
        if self.edge.held() > Self::KEPT {
            self.edge = EdgeScratch::default();
        }
        if self.resizer.size_of_internal_buffers() > Self::KEPT {
            self.resizer.reset_internal_buffers();
        }
    }
}

/// Prepared image settings.
pub(super) struct ImagePlan {
    width: u32,
    height: u32,
    resize: Resize,
    region: ImageRegion,
    layout: Layout,
    bounds: DecodeLimits,
    decode: DecodeDetail,
    /// For each place in the result, the channel of the source: 0, 1, 2 for red first, 2, 1, 0 for blue first.
    order: [usize; 3],
    /// For each place in the result, the value of each of the 256 pixel values.
    values: Box<[[f32; 256]; 3]>,
}

impl ImagePlan {
    pub(super) fn new(spec: &ImageSpec) -> Self {
        let mut values = Box::new([[0.0; 256]; 3]);
        for (table, (mean, std)) in values.iter_mut().zip(spec.mean.iter().zip(spec.std)) {
            for (pixel, value) in table.iter_mut().enumerate() {
                *value = (pixel as f32 * spec.scale - mean) / std;
            }
        }
        let order = match spec.color {
            Color::Rgb => [0, 1, 2],
            Color::Bgr => [2, 1, 0],
        };
        Self {
            width: spec.width,
            height: spec.height,
            resize: spec.resize,
            region: spec.region.clone(),
            layout: spec.layout,
            bounds: DecodeLimits { max_pixels: spec.max_pixels, care: spec.care },
            decode: spec.decode,
            order,
            values,
        }
    }

    /// Reads the header and computes the geometry. An image that does not fit is refused before it is decoded.
    fn look(&self, sample: &Sample) -> Result<(ImageHeader, Geometry), Fault> {
        let seen = decode::look(&sample.media, &sample.record.payload, self.bounds)?;
        let size = orient::turned_size(seen.size, seen.orientation);
        let geometry = Geometry::new(self.resize, size, (self.width, self.height)).map_err(undecodable)?;
        Ok((seen, geometry))
    }

    /// The most bytes that are needed to make a row, beside the row itself.
    pub(super) fn bytes(&self, sample: &Sample) -> Result<u64, Fault> {
        let (seen, geometry) = self.look(sample)?;
        if geometry.is_identity() {
            return Ok(seen.bytes);
        }
        // Resized in one direction, then in the other.
        let (_, height) = orient::turned_size(seen.size, seen.orientation);
        let [width, rows] = geometry.inner.map(u64::from);
        Ok(seen.bytes + width * 3 * (u64::from(height) + rows))
    }

    pub(super) fn write(
        &self,
        sample: &Sample,
        row: RowMut<'_>,
        scratch: &mut ImageScratch,
    ) -> Result<Placement, Fault> {
        let ImageScratch { decoded, turned, resized, resizer, .. } = scratch;
        let (seen, geometry) = self.look(sample)?;
        let shrink = match (&sample.media, self.decode) {
            (Media::Jpeg, DecodeDetail::Scaled) => geometry.most_shrink(),
            _ => 1,
        };
        let image = self.decoded(sample, &seen, shrink, decoded, turned)?;
        let pixels = if geometry.is_identity() {
            image.pixels
        } else {
            let region = geometry.shrunk_source(shrink, image.size, orient::flips(seen.orientation));
            self.resized(image, region, geometry.inner, resized, resizer)?
        };
        self.lay_out(pixels, image.channels, &geometry, row);
        Ok(geometry.placement)
    }

    /// Decodes an image at one `shrink`th of its size each way, and turns it upright.
    fn decoded<'a>(
        &self,
        sample: &'a Sample,
        seen: &ImageHeader,
        shrink: u32,
        decoded: &'a mut Vec<u8>,
        turned: &'a mut Vec<u8>,
    ) -> Result<DecodedImage<'a>, Fault> {
        let payload = &sample.record.payload;
        let source = decode::decode(&sample.media, payload, self.bounds, shrink, decoded)?;
        if source.is_damaged {
            sample.damage.found();
        }
        let channels = source.channels;
        let pixels = if matches!(sample.media, Media::Rgb { .. }) { payload } else { &decoded[..] };
        let size = orient::turned_size(source.size, seen.orientation);
        let pixels = match seen.orientation {
            Orientation::NoTransforms => pixels,
            orientation => {
                orient::turn(pixels, source.size, channels, orientation, turned);
                turned
            }
        };
        let pixels = pixels.get(..size.0 as usize * size.1 as usize * channels.count()).unwrap_or_default();
        Ok(DecodedImage { pixels, size, channels })
    }

    /// Resizes a region of an image.
    fn resized<'a>(
        &self,
        image: DecodedImage<'_>,
        region: [f64; 4],
        [width, height]: [u32; 2],
        resized: &'a mut Vec<u8>,
        resizer: &mut fir::Resizer,
    ) -> Result<&'a [u8], Fault> {
        resized.resize(width as usize * height as usize * image.channels.count(), 0);
        let kind = match image.channels {
            Channels::Gray => fir::PixelType::U8,
            Channels::Rgb => fir::PixelType::U8x3,
        };
        fir::images::ImageRef::new(image.size.0, image.size.1, image.pixels, kind)
            .map_err(|error| error.to_string())
            .and_then(|from| {
                let mut to = fir::images::Image::from_slice_u8(width, height, resized, kind)
                    .map_err(|error| error.to_string())?;
                resizer.resize(&from, &mut to, &self.options(region)).map_err(|error| error.to_string())
            })
            .map_err(|error| undecodable(format!("the image cannot be resized: {error}")))?;
        Ok(resized)
    }

    fn filter(&self) -> Filter {
        match self.resize {
            Resize::Stretch(filter) | Resize::Fit { filter, .. } | Resize::CenterCrop(filter) => filter,
            Resize::Exact => Filter::Nearest,
        }
    }

    fn options(&self, [left, top, width, height]: [f64; 4]) -> fir::ResizeOptions {
        let algorithm = match self.filter() {
            Filter::Nearest => fir::ResizeAlg::Nearest,
            Filter::Bilinear => fir::ResizeAlg::Convolution(fir::FilterType::Bilinear),
            Filter::Bicubic => fir::ResizeAlg::Convolution(fir::FilterType::CatmullRom),
        };
        fir::ResizeOptions::new().resize_alg(algorithm).crop(left, top, width, height)
    }

    /// Writes the row from 8-bit pixels, one pass over both.
    fn lay_out(&self, pixels: &[u8], channels: Channels, geometry: &Geometry, row: RowMut<'_>) {
        let fill = self.fill();
        match row {
            RowMut::F32(row) => {
                let map = |place: usize, pixel: u8| {
                    self.values.get(place).map_or(0.0, |table| table[usize::from(pixel)])
                };
                self.spread(pixels, channels, geometry, fill, row, map);
            }
            RowMut::U8(row) => self.spread(pixels, channels, geometry, fill, row, |_, pixel| pixel),
            // The caller refuses it: no setting gives images of this type.
            RowMut::I32(_) | RowMut::I64(_) => {}
        }
    }

    fn spread<T: Copy>(
        &self,
        pixels: &[u8],
        channels: Channels,
        geometry: &Geometry,
        fill: [u8; 3],
        row: &mut [T],
        map: impl Fn(usize, u8) -> T,
    ) {
        let (width, height) = (self.width as usize, self.height as usize);
        let [inner_width, inner_height] = geometry.inner.map(|n| n as usize);
        let [left, top] = geometry.at.map(|n| n as usize);
        let padded = inner_width != width || inner_height != height;
        let count = channels.count();
        let places = [0, 1, 2].map(|place: usize| {
            let channel = self.order.get(place).copied().unwrap_or(place);
            (if count == 1 { 0 } else { channel }, map(place, fill.get(channel).copied().unwrap_or(0)))
        });
        let lines = pixels.chunks_exact(inner_width * count);
        match self.layout {
            Layout::Chw => {
                for (place, (plane, (channel, fill))) in
                    row.chunks_exact_mut(width * height).zip(places).enumerate()
                {
                    if padded {
                        plane.fill(fill);
                    }
                    for (to, from) in plane.chunks_exact_mut(width).skip(top).zip(lines.clone()) {
                        let to = to.iter_mut().skip(left);
                        // Strides that the compiler knows make this loop about twice as fast.
                        if count == 1 {
                            to.zip(from).for_each(|(to, pixel)| *to = map(place, *pixel));
                        } else {
                            let (from, _) = from.as_chunks::<3>();
                            to.zip(from).for_each(|(to, pixel)| *to = map(place, pixel[channel % 3]));
                        }
                    }
                }
            }
            Layout::Hwc => {
                if padded {
                    let fill = places.map(|(_, fill)| fill);
                    row.chunks_exact_mut(3).for_each(|to| to.copy_from_slice(&fill));
                }
                let channels = places.map(|(channel, _)| channel);
                for (to, from) in row.chunks_exact_mut(width * 3).skip(top).zip(lines) {
                    let to = to.chunks_exact_mut(3).skip(left);
                    for (to, pixel) in to.zip(from.chunks_exact(count)) {
                        for (place, (to, channel)) in to.iter_mut().zip(channels).enumerate() {
                            *to = map(place, pixel.get(channel).copied().unwrap_or(0));
                        }
                    }
                }
            }
        }
    }
}
