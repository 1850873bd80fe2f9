//! Recognition of file formats by a payload's first bytes, so that an error message can name the format that was
//! sent.

/// The file format of a payload by its first bytes, with its content type if it is supported; none if it is unknown.
pub fn recognise(payload: &[u8]) -> Option<&'static str> {
    let starts = |magic: &[u8]| payload.starts_with(magic);
    let at = |from: usize, magic: &[u8]| payload.get(from..).is_some_and(|rest| rest.starts_with(magic));
    let named = if (starts(b"RIFF") || starts(b"RF64") || starts(b"BW64")) && at(8, b"WAVE") {
        "a WAV file (audio/wav)"
    } else if starts(b"RIFX") && at(8, b"WAVE") {
        "a big-endian WAV file (RIFX)"
    } else if starts(b"riff\x2e\x91\xcf\x11") {
        "a Sony Wave64 file"
    } else if starts(b"RIFF") && at(8, b"WEBP") {
        "a WebP image (image/webp)"
    } else if starts(b"RIFF") && at(8, b"AVI ") {
        "an AVI file"
    } else if starts(b"fLaC") && payload.get(4).is_some_and(|kind| kind & 0x7f == 0) {
        "a FLAC file (audio/flac)"
    } else if starts(b"OggS\0") {
        ogg(payload)
    } else if starts(b"ID3") && matches!(payload.get(3..5), Some([2..=4, 0])) {
        "a file with an ID3 tag in front, as MP3 and FLAC files have"
    } else if starts(b".snd\0\0") {
        "a Sun audio file (.au)"
    } else if starts(b"FORM") && (at(8, b"AIFF") || at(8, b"AIFC")) {
        "an AIFF file"
    } else if starts(b"caff\0\x01\0\0") {
        "a Core Audio file (.caf)"
    } else if starts(b"\0\0") && at(4, b"ftyp") {
        "an MP4 file"
    } else if starts(b"\x1a\x45\xdf\xa3") {
        "a Matroska or WebM file"
    } else if starts(b"\x89PNG\r\n\x1a\n") {
        "a PNG image (image/png)"
    } else if starts(b"\xff\xd8\xff") {
        "a JPEG image (image/jpeg)"
    } else if starts(b"\x1f\x8b\x08") {
        "compressed with gzip"
    } else {
        return None;
    };
    Some(named)
}

/// The file format of a payload that should be raw sound. Raw sound may begin with any bytes, so only long signatures
/// count.
pub fn recognise_in_raw(payload: &[u8]) -> Option<&'static str> {
    let short_mark = payload.starts_with(b"\xff\xd8\xff")
        || payload.starts_with(b"\x1f\x8b\x08")
        || payload.starts_with(b"\x1a\x45\xdf\xa3");
    let flac = payload.starts_with(b"fLaC") && payload.get(5..8) != Some(&[0, 0, 34]);
    recognise(payload).filter(|_| !short_mark && !flac)
}

/// The content of an Ogg file, by its first packet.
fn ogg(payload: &[u8]) -> &'static str {
    // The page's header has 27 bytes and one for each segment.
    let packet = payload.get(26).and_then(|segments| payload.get(27 + usize::from(*segments)..));
    let packet = packet.unwrap_or_default();
    if packet.starts_with(b"\x7fFLAC") {
        "FLAC in an Ogg file"
    } else if packet.starts_with(b"OpusHead") {
        "Opus in an Ogg file"
    } else if packet.starts_with(b"\x01vorbis") {
        "Vorbis in an Ogg file"
    } else {
        "an Ogg file"
    }
}

/// The message about a payload that is not in the announced format.
pub fn other_than(announced: &str, begins: &str, payload: &[u8]) -> String {
    match recognise(payload) {
        Some(found) => format!("the payload is {found}, not {announced}; send what the content type says"),
        None => format!("the payload does not begin as {announced} does, with {begins}"),
    }
}
