//! Recognition of image formats by the first bytes, for exact error messages.

use crate::media::Media;

/// The format of a payload by its first bytes, and its content type if it is supported.
fn kind(payload: &[u8]) -> Option<(&'static str, Option<&'static str>)> {
    let is = |at: usize, magic: &[u8]| payload.get(at..).is_some_and(|rest| rest.starts_with(magic));
    let any_of = |at: usize, all: &[&[u8]]| all.iter().any(|magic| is(at, magic));
    Some(match payload {
        _ if is(0, b"\xff\xd8\xff") => ("a JPEG", Some("image/jpeg")),
        _ if is(0, b"\x89PNG\r\n\x1a\n") => ("a PNG", Some("image/png")),
        _ if is(0, b"RIFF") && is(8, b"WEBP") => ("a WebP", Some("image/webp")),
        _ if is(0, b"RIFF") && is(8, b"WAVE") => ("a WAV file", Some("audio/wav")),
        _ if is(0, b"RIFF") && is(8, b"AVI ") => ("an AVI file", None),
        _ if is(0, b"fLaC") => ("a FLAC file", Some("audio/flac")),
        _ if any_of(0, &[b"GIF87a", b"GIF89a"]) => ("a GIF", None),
        _ if any_of(0, &[b"II*\0", b"MM\0*"]) => ("a TIFF", None),
        _ if any_of(0, &[b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"]) => ("a JPEG 2000", None),
        _ if any_of(0, &[b"\xff\x0a", b"\0\0\0\x0cJXL "]) => ("a JPEG XL", None),
        _ if is(4, b"ftyp") && any_of(8, &[b"avif", b"avis"]) => ("an AVIF", None),
        _ if is(4, b"ftyp") && any_of(8, &[b"heic", b"heix", b"hevc", b"mif1", b"msf1"]) => ("a HEIC", None),
        _ if is(4, b"ftyp") => ("an MP4 or QuickTime file", None),
        _ if any_of(0, &[b"\0\0\0\x01\x67", b"\0\0\0\x01\x09", b"\0\0\x01\x67"]) => ("H.264 video", None),
        _ if is(0, b"\x1f\x8b\x08") => ("compressed with gzip", None),
        _ if is(0, b"BM") && is(6, b"\0\0\0\0") => ("a BMP", None),
        _ if is(0, b"data:image/") => ("a data URL in text, not the image's own bytes", None),
        _ if any_of(0, &[b"/9j/", b"iVBORw0KGgo", b"UklGR"]) => {
            ("base64 text, not the image's own bytes", None)
        }
        _ if any_of(0, &[b"{\"", b"{ ", b"{\n", b"[{"]) => ("JSON text", None),
        _ => return None,
    })
}

/// The mistake if a payload does not begin as its type requires; none if it does.
pub(super) fn mistaken(media: &Media, payload: &[u8]) -> Option<String> {
    let (name, begins) = match media {
        Media::Jpeg => ("a JPEG", payload.starts_with(b"\xff\xd8")),
        Media::Png => ("a PNG", payload.starts_with(b"\x89PNG\r\n\x1a\n")),
        Media::WebP => {
            ("a WebP", payload.starts_with(b"RIFF") && payload.get(8..12).is_some_and(|four| four == b"WEBP"))
        }
        _ => return None,
    };
    if begins {
        return None;
    }
    Some(match kind(payload) {
        Some((found, Some(right))) => {
            format!("the payload is {found}, but its content type is {media}; send it as {right}")
        }
        Some((found, None)) => {
            format!("the payload is {found}, but its content type is {media}; send {name}")
        }
        None => {
            let first: Vec<String> = payload.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
            format!("the payload is not {name}, as it begins with the bytes {}; send {name}", first.join(" "))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payload_of_another_format_is_named_with_its_type() {
        for (media, payload, expected) in [
            (
                Media::Jpeg,
                &b"\x89PNG\r\n\x1a\n"[..],
                "the payload is a PNG, but its content type is image/jpeg; send it as image/png",
            ),
            (
                Media::Png,
                b"\xff\xd8\xff\xe0",
                "the payload is a JPEG, but its content type is image/png; send it as image/jpeg",
            ),
            (Media::WebP, b"GIF89a", "the payload is a GIF, but its content type is image/webp; send a WebP"),
            (
                Media::Jpeg,
                b"\0\x01\x02",
                "the payload is not a JPEG, as it begins with the bytes 00 01 02; send a JPEG",
            ),
        ] {
            assert_eq!(mistaken(&media, payload).as_deref(), Some(expected));
        }
        assert_eq!(mistaken(&Media::Jpeg, b"\xff\xd8"), None);
        assert_eq!(mistaken(&Media::WebP, b"RIFF\0\0\0\0WEBPVP8 "), None);
    }
}
