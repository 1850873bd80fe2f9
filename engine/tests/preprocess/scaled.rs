//! Tests of JPEGs that are decoded at a fraction of their size: against Pillow, and against full decoding.
//! `tests/golden/preprocess/make_scaled.py` makes the pictures and Pillow's pixels.

use lockstep_engine::media::Media;
use lockstep_engine::preprocess::spec::{DecodeDetail, Filter, ImageSpec, Resize};
use lockstep_engine::preprocess::{Placement, Preprocess, Preprocessor, RowInfo};

use crate::support::{bytes_of, golden, image, make, part, sample};

/// The pixels of a picture and their placement.
fn pixels(jpeg: &[u8], size: (u32, u32), resize: Resize, decode: DecodeDetail) -> (Vec<u8>, Placement) {
    let settings =
        Preprocess::Image(ImageSpec { decode, max_pixels: 1 << 22, ..image(size.0, size.1, resize) });
    let made = make(&settings, &part(vec![sample(Media::Jpeg, jpeg.to_vec(), 0)]));
    let (row, info) = made.expect("a picture");
    let RowInfo::Image(placement) = info else { panic!("{info:?}") };
    (bytes_of(row), placement)
}

/// The mean and the largest difference.
fn difference(ours: &[u8], theirs: &[u8]) -> (f64, u8) {
    assert_eq!(ours.len(), theirs.len());
    let apart = ours.iter().zip(theirs).map(|(a, b)| a.abs_diff(*b));
    let sum: u64 = apart.clone().map(u64::from).sum();
    (sum as f64 / ours.len() as f64, apart.max().unwrap_or(0))
}

/// The picture with an EXIF block that has that orientation.
fn oriented(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    let mut exif = b"\xff\xe1\x00\x22Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    [&jpeg[..2], exif.as_slice(), &jpeg[2..]].concat()
}

/// Neither side of the picture is a multiple of 8, so the last column and row stand for fewer pixels.
#[test]
fn scaled_decoding_agrees_with_pillow() {
    let jpeg = golden("scaled-333x251.jpg");
    for (shrink, size) in [(2, (70, 55)), (4, (33, 24)), (8, (20, 15))] {
        for (name, filter) in [("bilinear", Filter::Bilinear), ("bicubic", Filter::Bicubic)] {
            let (ours, _) = pixels(&jpeg, size, Resize::Stretch(filter), DecodeDetail::Scaled);
            let apart = difference(&ours, &golden(&format!("scaled-{shrink}-{name}.u8")));
            println!("1/{shrink} {name}: {apart:?}");
            assert!(apart.1 <= 1, "1/{shrink} {name}: {apart:?}");
        }
    }
}

#[test]
fn scaled_decoding_stays_close_to_full_decoding() {
    let fit = Resize::Fit { filter: Filter::Bilinear, fill: [0; 3] };
    for name in ["scaled-333x251.jpg", "bench-640x480.jpg", "bench-1920x1080.jpg"] {
        let jpeg = golden(name);
        for resize in [Resize::Stretch(Filter::Bilinear), fit, Resize::CenterCrop(Filter::Bicubic)] {
            for size in [(80, 60), (41, 29), (20, 15), (15, 20)] {
                let full = pixels(&jpeg, size, resize, DecodeDetail::Full);
                let scaled = pixels(&jpeg, size, resize, DecodeDetail::Scaled);
                assert_eq!(full.1, scaled.1, "the placement does not change");
                let (mean, most) = difference(&full.0, &scaled.0);
                println!("{name} {resize:?} {size:?}: {mean} {most}");
                assert!(mean <= 2.0 && most <= 16, "{name} {resize:?} {size:?}: {mean} {most}");
            }
        }
    }
}

/// An edge that turning has made the first is still the edge.
#[test]
fn scaled_decoding_keeps_each_orientation_in_place() {
    let jpeg = golden("scaled-333x251.jpg");
    for orientation in 1..=8 {
        let jpeg = oriented(&jpeg, orientation);
        for size in [(20, 15), (15, 20)] {
            let made = |decode| pixels(&jpeg, size, Resize::CenterCrop(Filter::Bilinear), decode);
            let (full, scaled) = (made(DecodeDetail::Full), made(DecodeDetail::Scaled));
            let sides = (full.1.source_width, full.1.source_height);
            assert_eq!(sides, if orientation < 5 { (333, 251) } else { (251, 333) });
            let apart = difference(&full.0, &scaled.0);
            println!("{orientation} {size:?}: {apart:?}");
            assert!(apart.0 <= 2.0 && apart.1 <= 12, "{orientation} {size:?}: {apart:?}");
        }
    }
}

/// A result of more than half the size, each way, needs every pixel.
#[test]
fn scaled_decoding_of_a_large_result_is_full_decoding() {
    let jpeg = golden("scaled-333x251.jpg");
    for size in [(84, 20), (20, 63), (333, 251), (400, 400)] {
        let made = |decode| pixels(&jpeg, size, Resize::Stretch(Filter::Bilinear), decode).0;
        assert!(made(DecodeDetail::Full) == made(DecodeDetail::Scaled), "{size:?}");
    }
}

#[test]
fn scaled_decoding_is_refused_where_single_pixels_count() {
    for resize in [Resize::Exact, Resize::Stretch(Filter::Nearest)] {
        let settings = Preprocess::Image(ImageSpec { decode: DecodeDetail::Scaled, ..image(20, 15, resize) });
        let error = Preprocessor::new(&settings).err().expect("refused");
        assert!(error.contains("write decode = \"full\""), "{error}");
    }
}
