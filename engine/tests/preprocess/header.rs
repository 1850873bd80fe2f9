//! Tests of the properties of a picture before it is decoded: its orientation and the memory that it needs.

use lockstep_engine::fault::Reason;
use lockstep_engine::ingest::UseOrientation;
use lockstep_engine::media::Media;
use lockstep_engine::preprocess::spec::{Filter, ImageSpec, Resize};
use lockstep_engine::preprocess::{Preprocess, Preprocessor};

use crate::support::{bytes_of, golden, image, make, media_of, part, sample};

fn large_image(width: u32, height: u32, resize: Resize) -> ImageSpec {
    ImageSpec { max_pixels: 1 << 26, ..image(width, height, resize) }
}

/// EXIF's orientation 6, turn by 90° clockwise, in a TIFF header of one entry.
const ON_ITS_SIDE: &[u8] = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";

/// The chunk of a PNG, with its checksum.
fn png_chunk(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut chunk = (body.len() as u32).to_be_bytes().to_vec();
    chunk.extend([kind.as_slice(), body].concat());
    let sum = crc32fast::hash(&chunk[4..]);
    chunk.extend(sum.to_be_bytes());
    chunk
}

#[test]
fn png_and_webp_are_rotated_by_their_exif_orientation() {
    let png = golden("scene.png");
    // After the header, which is 13 bytes long.
    let turned_png = [&png[..33], &png_chunk(b"eXIf", ON_ITS_SIDE), &png[33..]].concat();
    let plain = golden("lossless.webp");
    let mut webp = b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\x08\0\0\0".to_vec();
    webp.extend([79, 0, 0, 59, 0, 0]);
    webp.extend(&plain[12..]);
    webp.extend(b"EXIF");
    webp.extend((ON_ITS_SIDE.len() as u32).to_le_bytes());
    webp.extend(ON_ITS_SIDE);
    let size = (webp.len() as u32 - 8).to_le_bytes();
    webp[4..8].copy_from_slice(&size);
    for (media, payload, upright) in [(Media::Png, turned_png, png), (Media::WebP, webp, plain)] {
        let row = |payload: &[u8], spec: ImageSpec| {
            let input = part(vec![sample(media, payload.to_vec(), 0)]);
            bytes_of(make(&Preprocess::Image(spec), &input).expect("a picture").0)
        };
        let spec = |width, height| large_image(width, height, Resize::Exact);
        let (lies, stands) = (row(&upright, spec(80, 60)), row(&payload, spec(60, 80)));
        for (y, line) in stands.chunks(60 * 3).enumerate() {
            for (x, pixel) in line.chunks(3).enumerate() {
                let from = ((59 - x) * 80 + y) * 3;
                assert_eq!(pixel, &lies[from..from + 3], "{media}: {x}, {y}");
            }
        }
        let mut ignored = spec(80, 60);
        ignored.care.orientation = UseOrientation::Ignore;
        assert_eq!(row(&payload, ignored), lies, "{media}");
    }
}

/// The predicted memory of a payload, or the reason of its refusal. Nothing is decoded for it.
fn memory(media: Media, payload: &[u8], spec: ImageSpec) -> Result<u64, Reason> {
    let preprocessor = Preprocessor::new(&Preprocess::Image(spec)).expect("settings");
    let input = part(vec![sample(media, payload.to_vec(), 0)]);
    preprocessor.memory(&input).map_err(|error| error.fault.reason)
}

#[test]
fn memory_of_decoding_is_known_from_the_header() {
    let exact = |name: &str| memory(media_of(name), &golden(name), large_image(160, 120, Resize::Exact));
    assert_eq!(exact("scene.jpg"), Ok(160 * 120 * 3));
    assert_eq!(exact("gray.jpg"), Ok(160 * 120));
    // Plus the coefficients, of 16 bits each.
    assert_eq!(exact("scene-progressive.jpg"), Ok(160 * 120 * 9));
    // Plus the picture rotated upright.
    let jpeg = golden("scene.jpg");
    let turned = [&jpeg[..2], b"\xff\xe1\0\x22Exif\0\0", ON_ITS_SIDE, &jpeg[2..]].concat();
    assert_eq!(memory(Media::Jpeg, &turned, large_image(120, 160, Resize::Exact)), Ok(160 * 120 * 6));
    // Plus the picture resized across and then down.
    let smaller = large_image(16, 12, Resize::Stretch(Filter::Bilinear));
    assert_eq!(memory(Media::Jpeg, &jpeg, smaller), Ok(160 * 120 * 3 + 16 * 3 * (120 + 12)));
    let wide = memory(Media::Png, &golden("gray16.png"), large_image(40, 30, Resize::Exact));
    assert_eq!(wide, Ok(40 * 30 * 2));
    let raw = Media::Rgb { width: 4, height: 2 };
    assert_eq!(memory(raw, &[0; 24], large_image(4, 2, Resize::Exact)), Ok(0), "it is the payload itself");
}

/// Only the header of a PNG of 16 million pixels.
#[test]
fn picture_of_another_size_is_refused_by_its_header() {
    let mut header = 4_000u32.to_be_bytes().repeat(2);
    header.extend([16, 6, 0, 0, 0]);
    let payload =
        [b"\x89PNG\r\n\x1a\n".as_slice(), &png_chunk(b"IHDR", &header), &png_chunk(b"IDAT", &[])].concat();
    let fitting = memory(Media::Png, &payload, large_image(4_000, 4_000, Resize::Exact));
    assert_eq!(fitting, Ok(4_000 * 4_000 * 8));
    let other = memory(Media::Png, &payload, large_image(64, 64, Resize::Exact));
    assert_eq!(other, Err(Reason::Undecodable));
}
