//! WAV headers: RIFF, RF64 (EBU Tech 3306) and BW64 (ITU-R BS.2088), read from a payload or from a file.

mod format;

use crate::fault::PayloadError;
use std::ops::Range;

use self::format::Form;
use super::duration::whole_frames;
use crate::media::container::other_than;
use crate::media::{Media, Pcm, PcmFormat};

/// The most chunks that are read. A usual header has a handful of them.
const MOST_CHUNKS: usize = 64;

/// Bytes with random access: a payload, or a file too large for memory.
pub trait ReadAt {
    /// The number of bytes.
    fn length(&self) -> usize;

    /// Fills `into` with the bytes from `at` on.
    ///
    /// # Errors
    /// When some of the bytes do not exist or cannot be read.
    fn read_at(&self, at: usize, into: &mut [u8]) -> Result<(), PayloadError>;
}

impl ReadAt for [u8] {
    fn length(&self) -> usize {
        self.len()
    }

    fn read_at(&self, at: usize, into: &mut [u8]) -> Result<(), PayloadError> {
        let from = at.checked_add(into.len()).and_then(|end| self.get(at..end));
        into.copy_from_slice(from.ok_or("the WAV header is cut")?);
        Ok(())
    }
}

/// The header of a WAV file, checked against the payload's length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WavHeader {
    /// The format of the samples.
    pub pcm: Pcm,
    /// The range of the samples in the payload: a whole number of frames, at least one.
    pub data: Range<usize>,
}

impl WavHeader {
    /// The number of frames.
    pub fn frames(&self) -> usize {
        self.data.len() / self.pcm.frame_size().max(1)
    }

    /// Reads the chunks. Writers that cannot seek put placeholders into the size: 0, or sizes near 2 and 4 GiB. Then
    /// the samples reach to the end of the payload. Any other size beyond the payload's end is refused.
    ///
    /// # Errors
    /// A description of the mistake in the header.
    pub fn read(from: &(impl ReadAt + ?Sized)) -> Result<Self, PayloadError> {
        let large = begins(from)?;
        let mut form = None;
        let mut large_data = None;
        let mut at = 12;
        for _ in 0..MOST_CHUNKS {
            let Some(RiffChunk { name, size, body }) = RiffChunk::at(from, at)? else { break };
            match &name {
                b"ds64" if large => large_data = Some(large_data_size(from, body, size)?),
                b"fmt " if form.is_some() => {
                    return Err("the WAV header has two fmt chunks; write one".into());
                }
                b"fmt " => form = Some(format::read(from, body, size)?),
                b"data" => {
                    let form =
                        form.ok_or("the WAV header has no fmt chunk before its data chunk; write it first")?;
                    return Self::of_data(from, form, body, data_size(size, large, large_data)?);
                }
                _ => {}
            }
            // Chunks are padded to an even length.
            let Some(next) = body.checked_add(size).and_then(|end| end.checked_add(size % 2)) else { break };
            at = next;
        }
        Err("the WAV header has no data chunk".into())
    }

    fn of_data(
        from: &(impl ReadAt + ?Sized),
        form: Form,
        body: usize,
        size: Option<usize>,
    ) -> Result<Self, PayloadError> {
        let left = from.length().saturating_sub(body);
        let frame = form.frame_size();
        let length = match size {
            Some(0) if left == 0 || chunks_fill(from, body)? => {
                return Err("the WAV file's data chunk is empty; send at least one frame".into());
            }
            None | Some(0) => left - left % frame,
            Some(size) if size > left => {
                return Err(format!(
                    "the WAV header claims {size} bytes of samples and {left} are there: the file was cut, or its \
                     header is wrong"
                ).into());
            }
            Some(size) => {
                no_second_data(from, body + size + size % 2)?;
                size
            }
        };
        whole_frames(length, frame, &Media::Wav)?;
        let data = body..body + length;
        let format = form.settle(from, data.clone())?;
        Ok(Self { pcm: Pcm { rate: form.rate, channels: form.channels, format }, data })
    }
}

/// A chunk: its name, its declared size, and the place of its content.
struct RiffChunk {
    name: [u8; 4],
    size: usize,
    body: usize,
}

impl RiffChunk {
    /// The chunk at a place; none at the end of the payload.
    fn at(from: &(impl ReadAt + ?Sized), at: usize) -> Result<Option<Self>, PayloadError> {
        let Some(body) = at.checked_add(8).filter(|body| *body <= from.length()) else { return Ok(None) };
        let mut head = [0; 8];
        from.read_at(at, &mut head)?;
        let [a, b, c, d, size @ ..] = head;
        Ok(Some(Self { name: [a, b, c, d], size: u32::from_le_bytes(size) as usize, body }))
    }

    /// True if the name is printable ASCII, as names of chunks are.
    fn is_named(&self) -> bool {
        self.name.iter().all(|byte| (0x20..0x7f).contains(byte))
    }

    fn end(&self) -> Option<usize> {
        self.body.checked_add(self.size)?.checked_add(self.size % 2)
    }
}

/// Checks the file's first bytes. Returns true if sizes may be in a ds64 chunk.
fn begins(from: &(impl ReadAt + ?Sized)) -> Result<bool, PayloadError> {
    let mut start = [0; 64];
    let there = start.len().min(from.length());
    let start = start.get_mut(..there).unwrap_or_default();
    from.read_at(0, start)?;
    match (start.get(..4), start.get(8..12)) {
        (Some(b"RIFF"), Some(b"WAVE")) => Ok(false),
        (Some(b"RF64" | b"BW64"), Some(b"WAVE")) => Ok(true),
        _ => Err(other_than("a WAV file (audio/wav)", "RIFF and WAVE", start).into()),
    }
}

/// The size of the data chunk by a ds64 chunk. The 8 bytes of the file's size come before it.
fn large_data_size(from: &(impl ReadAt + ?Sized), body: usize, size: usize) -> Result<u64, PayloadError> {
    if size < 24 {
        return Err("the WAV header's ds64 chunk is cut".into());
    }
    let mut bytes = [0; 8];
    from.read_at(body + 8, &mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

/// The size of the samples in bytes; none if the writer did not know it when it wrote the header.
fn data_size(size: usize, large: bool, large_data: Option<u64>) -> Result<Option<usize>, PayloadError> {
    // arecord writes 0x7fffff00 or 0x80000000, SoX 0x7ffff000, FFmpeg 0xffffffff.
    let open = (0x7fff_f000..=0x8000_0000).contains(&size) || size >= 0xffff_ff00;
    match large_data.filter(|_| large) {
        Some(data) if size >= 0xffff_ffff => {
            Ok((data != 0 && data != u64::MAX).then(|| usize::try_from(data).unwrap_or(usize::MAX)))
        }
        Some(data) if data != 0 && data != size as u64 => Err(format!(
            "the WAV header says {size} bytes of samples in its data chunk and {data} in its ds64 chunk; the two must \
             be the same"
        ).into()),
        _ => Ok((!open).then_some(size)),
    }
}

/// True if only chunks follow up to the end: then a data chunk of size 0 before them is indeed empty.
fn chunks_fill(from: &(impl ReadAt + ?Sized), mut at: usize) -> Result<bool, PayloadError> {
    for _ in 0..MOST_CHUNKS {
        if at >= from.length() {
            return Ok(true);
        }
        let Some(next) = RiffChunk::at(from, at)?.filter(RiffChunk::is_named).and_then(|chunk| chunk.end())
        else {
            return Ok(false);
        };
        // The byte of padding after the last chunk may be missing.
        if next > from.length() + 1 {
            return Ok(false);
        }
        at = next;
    }
    Ok(false)
}

/// Refuses a second data chunk: it would not be clear which one is the sound.
fn no_second_data(from: &(impl ReadAt + ?Sized), mut at: usize) -> Result<(), PayloadError> {
    for _ in 0..MOST_CHUNKS {
        let Some(chunk) = RiffChunk::at(from, at)?.filter(RiffChunk::is_named) else { break };
        if &chunk.name == b"data" {
            return Err("the WAV file has several data chunks; write one".into());
        }
        let Some(next) = chunk.end() else { break };
        at = next;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
