//! Rows that show detections: the image is decoded once, and each row takes its own part of it.

use super::decode::{self, ImageHeader};
use super::edge::EdgeScratch;
use super::geometry::Geometry;
use super::pixels::DecodedImage;
use super::region::{around, is_inside};
use super::similarity::Similarity;
use super::{ImagePlan, ImageScratch, orient};
use crate::fault::{Fault, Reason, StageKind};
use crate::preprocess::detection::Detection;
use crate::preprocess::placement::Placement;
use crate::preprocess::row::RowMut;
use crate::preprocess::spec::{ImageRegion, Resize};
use crate::sample::Sample;

/// The part of an image for one row.
enum ImagePart {
    /// A rectangle.
    Region(Geometry),
    /// A rectangle that may be turned.
    Aligned(Similarity),
}

impl ImagePlan {
    /// True if its rows show detections.
    pub(in crate::preprocess) fn shows_detections(&self) -> bool {
        self.region.shows_detection()
    }

    /// The most bytes that are needed to make rows of these detections one after the other, beside the rows.
    pub(in crate::preprocess) fn crop_bytes(
        &self,
        sample: &Sample,
        detections: &[&Detection],
    ) -> Result<u64, Fault> {
        let (seen, size) = self.seen(sample)?;
        let (width, height) = (u64::from(self.width), u64::from(self.height));
        let bytes = |detection: &&Detection| match self.part(detection, size) {
            Ok(ImagePart::Region(geometry)) if is_inside(geometry.source, size) => {
                let [width, rows] = geometry.inner.map(u64::from);
                width * 3 * (u64::from(size.1) + rows)
            }
            Ok(ImagePart::Region(geometry)) => EdgeScratch::bytes(size, geometry.inner),
            Ok(ImagePart::Aligned(_)) => width * height * 3,
            // Its row will tell.
            Err(_) => 0,
        };
        Ok(seen.bytes + detections.iter().map(bytes).max().unwrap_or(0))
    }

    /// Makes a row of each detection. Returns the placement of each, or none if the row is aligned by landmarks.
    ///
    /// # Errors
    /// The fault of the image. A detection that cannot be shown fails alone.
    pub(in crate::preprocess) fn write_crops(
        &self,
        sample: &Sample,
        crops: Vec<(RowMut<'_>, &Detection)>,
        scratch: &mut ImageScratch,
    ) -> Result<Vec<Result<Option<Placement>, Fault>>, Fault> {
        let ImageScratch { decoded, turned, edge, resized, resizer } = scratch;
        let (seen, _) = self.seen(sample)?;
        let image = self.decoded(sample, &seen, 1, decoded, turned)?;
        let crop = |(row, detection): (RowMut<'_>, &Detection)| match self.part(detection, image.size)? {
            ImagePart::Region(geometry) => {
                let (region, inner) = (geometry.source, geometry.inner);
                let DecodedImage { pixels, channels, .. } = if geometry.is_identity() {
                    image
                } else if is_inside(region, image.size) {
                    DecodedImage { pixels: self.resized(image, region, inner, resized, resizer)?, ..image }
                } else {
                    edge.resize(image, region, inner, (self.filter(), self.fill()), resized)
                };
                self.lay_out(pixels, channels, &geometry, row);
                Ok(Some(geometry.placement))
            }
            ImagePart::Aligned(similarity) => {
                let target = (self.width, self.height);
                let shown = similarity.sample(image, target, self.fill(), resized).map_err(unusable)?;
                let whole = [0.0, 0.0, f64::from(self.width), f64::from(self.height)];
                let DecodedImage { pixels, channels, .. } = shown;
                self.lay_out(pixels, channels, &Geometry::of_region(whole, false, target, target), row);
                Ok(None)
            }
        };
        Ok(crops.into_iter().map(crop).collect())
    }

    /// Reads the header. Returns it with the size of the image once it stands upright.
    fn seen(&self, sample: &Sample) -> Result<(ImageHeader, (u32, u32)), Fault> {
        let seen = decode::look(&sample.media, &sample.record.payload, self.bounds)?;
        Ok((seen, orient::turned_size(seen.size, seen.orientation)))
    }

    fn part(&self, detection: &Detection, size: (u32, u32)) -> Result<ImagePart, Fault> {
        let target = (self.width, self.height);
        match &self.region {
            ImageRegion::Whole => Err(unusable("the settings show whole images".to_owned())),
            ImageRegion::Crop(spec) => {
                let region = around(spec, detection.corners, size, target).map_err(unusable)?;
                let fits = matches!(self.resize, Resize::Fit { .. });
                Ok(ImagePart::Region(Geometry::of_region(region, fits, size, target)))
            }
            ImageRegion::Aligned(spec) => {
                Similarity::fit(&detection.landmarks, &spec.points).map(ImagePart::Aligned).map_err(unusable)
            }
        }
    }

    /// The colour of what is not in the image: red, green, blue.
    pub(super) fn fill(&self) -> [u8; 3] {
        match (&self.region, self.resize) {
            (ImageRegion::Crop(spec), _) => spec.fill,
            (ImageRegion::Aligned(spec), _) => spec.fill,
            (ImageRegion::Whole, Resize::Fit { fill, .. }) => fill,
            (ImageRegion::Whole, _) => [0; 3],
        }
    }
}

fn unusable(why: String) -> Fault {
    Fault::new(StageKind::Preprocess, Reason::ModelFailed, why)
}
