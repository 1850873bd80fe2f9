//! Decoding of payloads to 8-bit pixels. The header is read first: an image that would need more memory than allowed
//! is refused before any memory is taken.

use std::io::Cursor;

use ::image::codecs::png::PngDecoder;
use ::image::codecs::webp::WebPDecoder;
use ::image::metadata::Orientation;
use ::image::{ColorType, ImageDecoder, ImageError, Limits};

use super::super::fault::{too_large, undecodable};
use super::jpeg;
use super::pixels::{Channels, Pixels};
use super::sniff;
use crate::fault::Fault;
use crate::ingest::{OnDamage, PictureCare, UseOrientation};
use crate::media::Media;

/// Memory of a decoder's own tables, beside the pixels.
const DECODER_OVERHEAD: u64 = 8 << 20;

/// The limit on an image, and its treatment.
#[derive(Clone, Copy, Debug)]
pub(super) struct DecodeLimits {
    pub(super) max_pixels: u64,
    /// The treatment of damage and of the orientation.
    pub(super) care: PictureCare,
}

/// The properties of an image in its header.
#[derive(Clone, Copy, Debug)]
pub(super) struct ImageHeader {
    /// Width and height as they are stored.
    pub(super) size: (u32, u32),
    /// The rotation to apply.
    pub(super) orientation: Orientation,
    /// The most bytes that its pixels take until they are laid out.
    pub(super) bytes: u64,
}

/// Reads the header, and refuses an image that must not be decoded.
pub(super) fn look(media: &Media, payload: &[u8], bounds: DecodeLimits) -> Result<ImageHeader, Fault> {
    if let Some(why) = sniff::mistaken(media, payload) {
        return Err(undecodable(why));
    }
    let check = |size: (u32, u32)| check_pixels(size, bounds.max_pixels);
    let seen = |size, orientation, bytes: u64| {
        let turns = bounds.care.orientation == UseOrientation::Exif;
        let orientation = if turns { orientation } else { Orientation::NoTransforms };
        let copy = if orientation == Orientation::NoTransforms { 0 } else { bytes.min(area(size) * 3) };
        ImageHeader { size, orientation, bytes: bytes + copy }
    };
    match media {
        Media::Rgb { width, height } => {
            let size = (*width, *height);
            check(size)?;
            let want = area(size) * 3;
            if payload.len() as u64 != want {
                return Err(undecodable(format!(
                    "the payload has {} bytes; {media} has exactly {want}",
                    payload.len()
                )));
            }
            Ok(seen(size, Orientation::NoTransforms, 0))
        }
        Media::Jpeg => {
            let found = jpeg::look(payload)?;
            check(found.size)?;
            let up = found.exif.and_then(Orientation::from_exif_chunk).unwrap_or(Orientation::NoTransforms);
            Ok(seen(found.size, up, found.bytes))
        }
        Media::Png => {
            if let Some(size) = png_size(payload) {
                check(size)?;
            }
            let mut decoder = png(payload, bounds.max_pixels).map_err(|error| broken(media, error))?;
            check(decoder.dimensions())?;
            Ok(seen(decoder.dimensions(), upright(&mut decoder), decoder.total_bytes()))
        }
        Media::WebP => {
            check_webp(payload, &check)?;
            let mut decoder = WebPDecoder::new(Cursor::new(payload)).map_err(|error| broken(media, error))?;
            check(decoder.dimensions())?;
            Ok(seen(decoder.dimensions(), upright(&mut decoder), decoder.total_bytes()))
        }
        Media::Pcm(_) | Media::Wav | Media::Flac | Media::Text | Media::Binary => {
            Err(undecodable(format!("{media} is not an image; send image/jpeg, png, webp or x-rgb")))
        }
    }
}

/// Decodes a payload that [`look`] has accepted into `buffer`, except raw pixels, which are the payload itself. A JPEG
/// is decoded at one `shrink`th of its size each way.
pub(super) fn decode(
    media: &Media,
    payload: &[u8],
    bounds: DecodeLimits,
    shrink: u32,
    buffer: &mut Vec<u8>,
) -> Result<Pixels, Fault> {
    let broken = |error| broken(media, error);
    match media {
        Media::Rgb { width, height } => {
            Ok(Pixels { size: (*width, *height), channels: Channels::Rgb, is_damaged: false })
        }
        Media::Jpeg => {
            let accept = bounds.care.damaged == OnDamage::Accept;
            jpeg::decode(payload, shrink, accept, buffer)
        }
        Media::Png => png(payload, bounds.max_pixels).and_then(|png| read(png, buffer)).map_err(broken),
        _ => {
            let mut decoder = WebPDecoder::new(Cursor::new(payload)).map_err(broken)?;
            decoder.set_limits(limits(bounds.max_pixels)).map_err(broken)?;
            read(decoder, buffer).map_err(broken)
        }
    }
}

fn broken(media: &Media, error: ImageError) -> Fault {
    match error {
        ImageError::Limits(error) => too_large(format!("the {media} is too large to be decoded: {error}")),
        error => undecodable(format!("the payload cannot be decoded as {media}: {error}")),
    }
}

fn limits(max_pixels: u64) -> Limits {
    let mut limits = Limits::default();
    limits.max_alloc = Some(max_pixels.saturating_mul(16).saturating_add(DECODER_OVERHEAD));
    limits
}

fn png(payload: &[u8], max_pixels: u64) -> Result<PngDecoder<Cursor<&[u8]>>, ImageError> {
    PngDecoder::with_limits(Cursor::new(payload), limits(max_pixels))
}

/// The orientation of an image. An EXIF block that cannot be parsed is ignored.
fn upright(decoder: &mut impl ImageDecoder) -> Orientation {
    decoder.orientation().unwrap_or(Orientation::NoTransforms)
}

fn area((width, height): (u32, u32)) -> u64 {
    u64::from(width) * u64::from(height)
}

fn check_pixels((width, height): (u32, u32), max_pixels: u64) -> Result<(), Fault> {
    if width == 0 || height == 0 {
        return Err(undecodable(format!("the image is {width} x {height} pixels; send at least 1 x 1")));
    }
    if u64::from(width) * u64::from(height) > max_pixels {
        return Err(too_large(format!(
            "the image says that it is {width} x {height} pixels; at most {max_pixels} pixels are decoded \
             (max_pixels)"
        )));
    }
    Ok(())
}

/// Decodes and converts to 8 bits without alpha, in place.
fn read(decoder: impl ImageDecoder, buffer: &mut Vec<u8>) -> Result<Pixels, ImageError> {
    let size = decoder.dimensions();
    let color = decoder.color_type();
    // At most 8 bytes for each of `max_pixels`; the caller has checked that.
    buffer.resize(usize::try_from(decoder.total_bytes()).unwrap_or(0), 0);
    decoder.read_image(buffer)?;
    let (channels, step, wide) = match color {
        ColorType::L8 => (Channels::Gray, 1, false),
        ColorType::La8 => (Channels::Gray, 2, false),
        ColorType::L16 => (Channels::Gray, 2, true),
        ColorType::La16 => (Channels::Gray, 4, true),
        ColorType::Rgba8 => (Channels::Rgb, 4, false),
        ColorType::Rgb16 => (Channels::Rgb, 6, true),
        ColorType::Rgba16 => (Channels::Rgb, 8, true),
        // The other types are 8-bit RGB and floating point; none of these formats has the latter.
        _ => (Channels::Rgb, 3, false),
    };
    let count = channels.count();
    if step != count {
        pack(buffer, count, step, wide);
    }
    Ok(Pixels { size, channels, is_damaged: false })
}

/// Keeps the first `count` channels of every pixel of `step` bytes; of 16-bit channels the high byte.
fn pack(buffer: &mut [u8], count: usize, step: usize, wide: bool) {
    let mut to = 0;
    for from in (0..buffer.len() / step).map(|pixel| pixel * step) {
        for channel in 0..count {
            let at = match wide {
                false => from + channel,
                true => from + 2 * channel + usize::from(cfg!(target_endian = "little")),
            };
            // `to` never overtakes `at`, and both are within the buffer.
            buffer[to] = buffer[at];
            to += 1;
        }
    }
}

/// Width and height from the IHDR chunk, which comes first (PNG, section 11.2.1).
fn png_size(payload: &[u8]) -> Option<(u32, u32)> {
    let number = |at: usize| Some(u32::from_be_bytes(payload.get(at..at + 4)?.try_into().ok()?));
    (payload.get(12..16)? == b"IHDR").then_some((number(16)?, number(20)?))
}

/// Checks the size in the bitstream of a lossy WebP, and refuses animations. The decoder uses that size before it
/// compares it with the canvas (RFC 9649; frame header: RFC 6386, section 9.1).
fn check_webp(payload: &[u8], check: &impl Fn((u32, u32)) -> Result<(), Fault>) -> Result<(), Fault> {
    let mut at = 12;
    while let Some([a, b, c, d, l0, l1, l2, l3, body @ ..]) = payload.get(at..) {
        match &[*a, *b, *c, *d] {
            b"ANIM" | b"ANMF" => {
                return Err(undecodable("the WebP is an animation; send its frames as one image each"));
            }
            b"VP8 " => {
                if let [_, _, _, 0x9d, 0x01, 0x2a, w0, w1, h0, h1, ..] = body {
                    let side = |low: u8, high: u8| u32::from(u16::from_le_bytes([low, high]) & 0x3fff);
                    check((side(*w0, *w1), side(*h0, *h1)))?;
                }
            }
            _ => {}
        }
        let length = u32::from_le_bytes([*l0, *l1, *l2, *l3]) as usize;
        let Some(next) = length.checked_next_multiple_of(2).and_then(|n| n.checked_add(at + 8)) else {
            break;
        };
        at = next;
    }
    Ok(())
}
