//! JPEG, by libjpeg-turbo. Whatever leaves a pixel in doubt is damage: what the file's markers show (`markers`, `scans`), what
//! the data of sequential scans shows (`entropy`), and any warning that libjpeg then still has.

mod entropy;
mod frame;
mod huffman;
mod markers;
mod scans;
mod turbo;

use self::markers::{Head, MOST_SCANS, Refusal};
use self::turbo::{Colors, Failure};
use super::super::{too_large, undecodable};
use super::decode::{Channels, Pixels};
use crate::fault::Fault;

/// What is known before anything is decoded.
pub(super) struct Seen<'a> {
    pub(super) size: (u32, u32),
    /// The first EXIF block, from its TIFF header on.
    pub(super) exif: Option<&'a [u8]>,
    /// The most bytes that decoding takes: the pixels, and the coefficients of files in several scans.
    pub(super) bytes: u64,
}

/// Reads the headers.
pub(super) fn look(payload: &[u8]) -> Result<Seen<'_>, Fault> {
    let Head { frame, in_scans, exif } = markers::head(payload).map_err(refused)?;
    let components = frame.components.len() as u64;
    let step = components + if in_scans { 2 * components } else { 0 };
    let bytes = u64::from(frame.width) * u64::from(frame.height) * step;
    Ok(Seen { size: (frame.width, frame.height), exif, bytes })
}

/// Decodes a file of which [`look`] has said that it is acceptable. What is damaged is refused, or with `accept` becomes what
/// libjpeg makes of it.
pub(super) fn decode(payload: &[u8], accept: bool, buffer: &mut Vec<u8>) -> Result<Pixels, Fault> {
    let walked = markers::walk(payload).map_err(refused)?;
    let size = (walked.head.frame.width, walked.head.frame.height);
    let damage = walked.damage;
    if let Some(why) = damage.as_ref().filter(|_| !accept) {
        return Err(damaged(why));
    }
    let mut is_damaged = damage.is_some();
    let colors = match turbo::decode(&walked.bytes, size, true, buffer) {
        Err(Failure::Warning(first, _)) if accept => {
            is_damaged = true;
            match turbo::decode(&walked.bytes, size, false, buffer) {
                Ok(colors) => colors,
                // It says the same again if it came to the end. Had it given up, it would say that.
                Err(Failure::Warning(again, Some(colors))) if again == first => colors,
                Err(Failure::Warning(why, _) | Failure::Fatal(why)) => return Err(unreadable(&why)),
            }
        }
        Err(Failure::Warning(why, _)) => return Err(damaged(&format!("libjpeg says {why:?}"))),
        Err(Failure::Fatal(why)) => return Err(unreadable(&why)),
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
    Ok(Pixels { size, channels, is_damaged })
}

/// Four inks to red, green and blue in place, as Pillow does it.
fn mix(buffer: &mut Vec<u8>) {
    let mut to = 0;
    for from in (0..buffer.len() / 4).map(|pixel| pixel * 4) {
        let key = u32::from(buffer[from + 3]);
        for ink in 0..3 {
            // Of the light that black leaves, what the ink takes away; over 255, rounded.
            let taken = u32::from(255 - buffer[from + ink]) * key + 128;
            let taken = (taken + (taken >> 8)) >> 8;
            // `to` never overtakes `from`.
            buffer[to] = key.saturating_sub(taken) as u8;
            to += 1;
        }
    }
    buffer.truncate(to);
}

fn refused(refusal: Refusal) -> Fault {
    match refusal {
        Refusal::Undecodable(why) => undecodable(format!("the JPEG cannot be decoded: {why}")),
        Refusal::TooManyScans => too_large(format!(
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
