//! Tags that music programs put before and after the sound, although FLAC does not define them there.

/// The beginning of the sound, after ID3v2 tags.
pub(super) fn in_front(payload: &[u8]) -> usize {
    let mut at = 0;
    while let Some(length) = payload.get(at..).and_then(id3v2) {
        at += length;
    }
    at
}

/// The most tags in a row.
const MOST_TAGS: usize = 8;

/// True if only tags and zeros of padding follow, or nothing. `zeros` is the number of zeros at the payload's end.
pub(super) fn only(rest: &[u8], zeros: usize) -> bool {
    let mut rest = rest;
    for _ in 0..MOST_TAGS {
        if rest.len() <= zeros {
            return true;
        }
        let length = match rest {
            _ if rest.starts_with(b"TAG+") => Some(227),
            _ if rest.starts_with(b"TAG") => Some(128),
            _ => ape(rest).or_else(|| id3v2(rest)),
        };
        match length.and_then(|length| rest.get(length..)) {
            Some(behind) => rest = behind,
            None => return false,
        }
    }
    rest.len() <= zeros
}

/// The length of an ID3v2 tag: 7 bits of each of four bytes, without the header of 10 bytes and the footer of as many.
fn id3v2(here: &[u8]) -> Option<usize> {
    let &[b'I', b'D', b'3', 2..=4, _, flags, a, b, c, d, ..] = here else { return None };
    if [a, b, c, d].iter().any(|byte| byte & 0x80 != 0) {
        return None;
    }
    let size = [a, b, c, d].iter().fold(0, |n, byte| n << 7 | usize::from(*byte));
    Some(10 + size + if flags & 0x10 != 0 { 10 } else { 0 })
}

/// The length of an APEv2 tag that begins with its header: the items and the footer, without the header of 32 bytes.
fn ape(here: &[u8]) -> Option<usize> {
    let size: [u8; 4] = here.strip_prefix(b"APETAGEX")?.get(4..8)?.try_into().ok()?;
    (u32::from_le_bytes(size) as usize).checked_add(32)
}
