//! JPEG, decoded by libjpeg-turbo. If any pixel may be wrong, the file is damaged. The file's markers show damage
//! (`markers`, `scans`), and so do the data of sequential scans (`entropy`) and any remaining warning of libjpeg.

mod entropy;
mod frame;
mod huffman;
mod markers;
mod scans;
mod turbo;

use self::markers::{Head, JpegRefusal, MOST_SCANS};
use self::turbo::{Colors, DecodeFailure};
use super::super::fault::{too_large, undecodable};
use super::pixels::{Channels, Pixels};
use crate::fault::Fault;

/// The properties of a file in its headers.
pub(super) struct JpegHeader<'a> {
    pub(super) size: (u32, u32),
    /// The first EXIF block, from its TIFF header on.
    pub(super) exif: Option<&'a [u8]>,
    /// The most bytes that decoding takes: the pixels, and the coefficients of files in several scans.
    pub(super) bytes: u64,
}

/// Reads the headers.
pub(super) fn look(payload: &[u8]) -> Result<JpegHeader<'_>, Fault> {
    let Head { frame, in_scans, exif } = markers::head(payload).map_err(refused)?;
    let components = frame.components.len() as u64;
    let step = components + if in_scans { 2 * components } else { 0 };
    let bytes = u64::from(frame.width) * u64::from(frame.height) * step;
    Ok(JpegHeader { size: (frame.width, frame.height), exif, bytes })
}

/// Decodes a file that [`look`] has accepted, at one `shrink`th of its size each way: 1, 2, 4 or 8. A damaged file is refused, or with `accept` decoded as far as libjpeg
/// can.
pub(super) fn decode(
    payload: &[u8],
    shrink: u32,
    accept: bool,
    buffer: &mut Vec<u8>,
) -> Result<Pixels, Fault> {
    let walked = markers::walk(payload).map_err(refused)?;
    let size = (walked.head.frame.width, walked.head.frame.height);
    let damage = walked.damage;
    if let Some(why) = damage.as_ref().filter(|_| !accept) {
        return Err(damaged(why));
    }
    let mut is_damaged = damage.is_some();
    let colors = match turbo::decode(&walked.bytes, size, shrink, true, buffer) {
        Err(DecodeFailure::Warning(first, _)) if accept => {
            is_damaged = true;
            match turbo::decode(&walked.bytes, size, shrink, false, buffer) {
                Ok(colors) => colors,
                // The same warning again means that libjpeg reached the end; had it given up, it would report that.
                Err(DecodeFailure::Warning(again, Some(colors))) if again == first => colors,
                Err(DecodeFailure::Warning(why, _) | DecodeFailure::Fatal(why)) => {
                    return Err(unreadable(&why));
                }
            }
        }
        Err(DecodeFailure::Warning(why, _)) => return Err(damaged(&format!("libjpeg says {why:?}"))),
        Err(DecodeFailure::Fatal(why)) => return Err(unreadable(&why)),
        Ok(colors) => colors,
    };
    let channels = match colors {
        Colors::Gray => Channels::Gray,
        Colors::Rgb => Channels::Rgb,
        Colors::Cmyk => {
            mix(buffer);
            Channels::Rgb
        }
    };
    Ok(Pixels { size: turbo::shrunk(size, shrink), channels, is_damaged })
}

/// Converts four inks to red, green and blue in place, as Pillow does.
fn mix(buffer: &mut Vec<u8>) {
    let mut to = 0;
    for from in (0..buffer.len() / 4).map(|pixel| pixel * 4) {
        let key = u32::from(buffer[from + 3]);
        for ink in 0..3 {
            // The share of the light left by black that the ink absorbs; divided by 255, rounded.
            let taken = u32::from(255 - buffer[from + ink]) * key + 128;
            let taken = (taken + (taken >> 8)) >> 8;
            // `to` never overtakes `from`.
            buffer[to] = key.saturating_sub(taken) as u8;
            to += 1;
        }
    }
    buffer.truncate(to);
}

fn refused(refusal: JpegRefusal) -> Fault {
    match refusal {
        JpegRefusal::Undecodable(why) => undecodable(format!("the JPEG cannot be decoded: {why}")),
        JpegRefusal::TooManyScans => too_large(format!(
            "the JPEG has more than {MOST_SCANS} scans, each of which is a pass over all of it"
        )),
    }
}

fn unreadable(why: &str) -> Fault {
    undecodable(format!("the JPEG cannot be decoded: libjpeg says {why:?}"))
}

fn damaged(why: &str) -> Fault {
    undecodable(format!(
        "the JPEG is damaged: {why}; send it whole, or set damaged = \"accept\" for this input to take what is left of it"
    ))
}
