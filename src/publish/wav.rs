//! WAV files in chunks of raw sound.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use std::time::Duration;

use super::{Failure, Item, Source, chunk_bytes, frame_time};

struct Format {
    rate: u32,
    channels: u16,
    name: &'static str,
    /// Bytes of a frame.
    frame: usize,
}

pub(super) fn open(file: &Path, chunk: Duration) -> Result<Source, Failure> {
    let place = |error: Failure| -> Failure { format!("{}: {error}", file.display()).into() };
    let mut from = BufReader::new(File::open(file).map_err(|error| place(error.into()))?);
    let (format, length) = header(&mut from).map_err(place)?;
    let size = chunk_bytes(chunk, format.rate, format.frame);
    let mut data = from.take(length);
    let mut frames = 0;
    let content_type: std::sync::Arc<str> =
        format!("audio/pcm;rate={};channels={};format={}", format.rate, format.channels, format.name).into();
    let items = std::iter::from_fn(move || {
        let mut payload = Vec::new();
        if let Err(error) = data.by_ref().take(size as u64).read_to_end(&mut payload) {
            return Some(Err(error.into()));
        }
        payload.truncate(payload.len() / format.frame * format.frame);
        if payload.is_empty() {
            return None;
        }
        let at = frame_time(frames, format.rate);
        frames += (payload.len() / format.frame) as u64;
        Some(Ok(Item { at, kind: "audio", content_type: content_type.clone(), payload: payload.into() }))
    });
    Ok(Source { absolute: false, items: Box::new(items) })
}

/// Reads up to the samples: their format and how many bytes they are.
fn header(from: &mut impl Read) -> Result<(Format, u64), Failure> {
    let mut riff = [0; 12];
    from.read_exact(&mut riff)?;
    if !riff.starts_with(b"RIFF") || !riff.ends_with(b"WAVE") {
        return Err("this is not a WAV file".into());
    }
    let mut format = None;
    loop {
        let mut head = [0; 8];
        from.read_exact(&mut head).map_err(|_| "the WAV file ends before its sound")?;
        let [a, b, c, d, l0, l1, l2, l3] = head;
        let length = u64::from(u32::from_le_bytes([l0, l1, l2, l3]));
        match &[a, b, c, d] {
            b"fmt " => {
                let mut body = Vec::new();
                from.take(length.min(1 << 16)).read_to_end(&mut body)?;
                format = Some(parse_format(&body)?);
            }
            b"data" => return Ok((format.ok_or("the WAV file does not say its format")?, length)),
            _ => {
                std::io::copy(&mut from.take(length + length % 2), &mut std::io::sink())?;
            }
        }
    }
}

fn parse_format(body: &[u8]) -> Result<Format, Failure> {
    let short = |at: usize| match body.get(at..at + 2) {
        Some([a, b]) => u16::from_le_bytes([*a, *b]),
        _ => 0,
    };
    // An extensible format has its code further on.
    let code = if short(0) == 0xfffe { short(24) } else { short(0) };
    let (channels, bits) = (short(2), short(14));
    let rate = u32::from(short(4)) | u32::from(short(6)) << 16;
    let (name, bytes) = match (code, bits) {
        (1, 16) => ("s16le", 2),
        (3, 32) => ("f32le", 4),
        _ => {
            return Err(format!(
                "samples are of format {code} with {bits} bits; 16-bit PCM or 32-bit float would be right"
            )
            .into());
        }
    };
    if channels == 0 || rate == 0 {
        return Err("the WAV file has no channels or no rate".into());
    }
    Ok(Format { rate, channels, name, frame: usize::from(channels) * bytes })
}
