//! Payloads to 8-bit pixels. The header is read first: what would take more memory than allowed is
//! refused before any is taken.

use std::io::Cursor;

use ::image::codecs::jpeg::JpegDecoder;
use ::image::codecs::png::PngDecoder;
use ::image::codecs::webp::WebPDecoder;
use ::image::{ColorType, ImageDecoder, ImageError, Limits};

use super::super::{too_large, undecodable};
use crate::fault::Fault;
use crate::media::Media;

/// Room for a decoder's own tables beside the pixels.
const DECODER_OVERHEAD: u64 = 8 << 20;

/// What a pixel is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Channels {
    Gray,
    Rgb,
}

impl Channels {
    pub(super) fn count(self) -> usize {
        match self {
            Self::Gray => 1,
            Self::Rgb => 3,
        }
    }
}

/// A decoded image: rows from the top, without padding.
pub(super) struct Decoded<'a> {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) channels: Channels,
    pub(super) pixels: &'a [u8],
}

/// Decodes a payload into `buffer`, or lends the payload's own pixels.
pub(super) fn decode<'a>(
    media: &Media,
    payload: &'a [u8],
    max_pixels: u64,
    buffer: &'a mut Vec<u8>,
) -> Result<Decoded<'a>, Fault> {
    let broken = |error: ImageError| match error {
        ImageError::Limits(error) => too_large(format!("the {media} is larger than is decoded: {error}")),
        error => undecodable(format!("the payload is not a whole {media}: {error}")),
    };
    let limits = || {
        let mut limits = Limits::default();
        limits.max_alloc = Some(max_pixels.saturating_mul(16).saturating_add(DECODER_OVERHEAD));
        limits
    };
    let check = |(width, height): (u32, u32)| check_pixels(width, height, max_pixels);
    match media {
        Media::Rgb { width, height } => {
            check((*width, *height))?;
            let want = u64::from(*width) * u64::from(*height) * 3;
            if payload.len() as u64 != want {
                return Err(undecodable(format!(
                    "the payload has {} bytes; {media} has exactly {want}",
                    payload.len()
                )));
            }
            Ok(Decoded { width: *width, height: *height, channels: Channels::Rgb, pixels: payload })
        }
        Media::Jpeg => {
            let mut decoder = JpegDecoder::new(Cursor::new(payload)).map_err(broken)?;
            check(decoder.dimensions())?;
            if !jpeg_is_whole(payload) {
                return Err(undecodable("the JPEG ends before its end-of-image marker: it was cut"));
            }
            decoder.set_limits(limits()).map_err(broken)?;
            read(decoder, buffer).map_err(broken)
        }
        Media::Png => {
            if let Some(size) = png_size(payload) {
                check(size)?;
            }
            let decoder = PngDecoder::with_limits(Cursor::new(payload), limits()).map_err(broken)?;
            check(decoder.dimensions())?;
            read(decoder, buffer).map_err(broken)
        }
        Media::WebP => {
            check_webp(payload, &check)?;
            let mut decoder = WebPDecoder::new(Cursor::new(payload)).map_err(broken)?;
            check(decoder.dimensions())?;
            decoder.set_limits(limits()).map_err(broken)?;
            read(decoder, buffer).map_err(broken)
        }
        Media::Pcm(_) | Media::Wav | Media::Flac | Media::Text | Media::Binary => {
            Err(undecodable(format!("{media} is not an image; send image/jpeg, png, webp or x-rgb")))
        }
    }
}

fn check_pixels(width: u32, height: u32, max_pixels: u64) -> Result<(), Fault> {
    if width == 0 || height == 0 {
        return Err(undecodable(format!("the image is {width} x {height} pixels: there is nothing in it")));
    }
    if u64::from(width) * u64::from(height) > max_pixels {
        return Err(too_large(format!(
            "the image says that it is {width} x {height} pixels; at most {max_pixels} pixels are decoded \
             (max_pixels)"
        )));
    }
    Ok(())
}

/// Decodes and brings to 8 bits without alpha, in place.
fn read(decoder: impl ImageDecoder, buffer: &mut Vec<u8>) -> Result<Decoded<'_>, ImageError> {
    let (width, height) = decoder.dimensions();
    let color = decoder.color_type();
    // At most 8 bytes for each of `max_pixels`: checked before.
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
        // What else there is are floating-point pixels, which none of these formats has.
        _ => (Channels::Rgb, 3, false),
    };
    let count = channels.count();
    if step != count {
        pack(buffer, count, step, wide);
    }
    let pixels = buffer.get(..width as usize * height as usize * count).unwrap_or_default();
    Ok(Decoded { width, height, channels, pixels })
}

/// Keeps the first `count` channels of every pixel of `step` bytes; of 16-bit ones the high byte.
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

/// Whether the end-of-image marker comes after the first scan. The decoder itself fills what is missing
/// with grey. The search starts after the headers, as thumbnails in them have ends of their own.
fn jpeg_is_whole(payload: &[u8]) -> bool {
    let mut at = 2;
    while let Some([0xff, kind, rest @ ..]) = payload.get(at..) {
        match (kind, rest) {
            (0xff, _) => at += 1,
            (0x01 | 0xd0..=0xd8, _) => at += 2,
            (0xda, _) => {
                // Cameras may add padding; the marker is nearly always the last two bytes.
                return payload
                    .get(at..)
                    .is_some_and(|scan| scan.windows(2).rev().any(|two| two == [0xff, 0xd9]));
            }
            (_, [high, low, ..]) => at += 2 + usize::from(u16::from_be_bytes([*high, *low])),
            _ => return false,
        }
    }
    false
}

/// Checks the size in the bitstream of a lossy WebP, which the decoder believes before it compares it with
/// the canvas (RFC 9649; frame header: RFC 6386, section 9.1), and refuses animations.
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
