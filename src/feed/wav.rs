//! WAV files in chunks of raw sound. Their headers are read as `lockstep run` reads those of payloads.

use std::fmt::Display;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lockstep_engine::fault::PayloadError;
use lockstep_engine::ingest::wav::{ReadAt, WavHeader};
use lockstep_engine::media::Media;

use super::source::{FeedRecord, FeedSource, chunk_bytes, frame_time};
use crate::commands::Failure;

pub(super) fn open(file: &Path, chunk: Duration) -> Result<FeedSource, Failure> {
    let place = |error: &dyn Display| -> Failure { format!("{}: {error}", file.display()).into() };
    let sound = WavBytes::open(file).map_err(|error| place(&error))?;
    let WavHeader { pcm, data } = WavHeader::read(&sound).map_err(|error| place(&error))?;
    let frame = pcm.frame_size();
    let size = chunk_bytes(chunk, pcm.rate, frame);
    let content_type: Arc<str> = Media::Pcm(pcm).to_string().into();
    let (begin, mut at) = (data.start, data.start);
    let path = file.to_owned();
    let items = std::iter::from_fn(move || {
        let length = size.min(data.end - at);
        if length == 0 {
            return None;
        }
        let mut payload = vec![0; length];
        if let Err(error) = sound.read_at(at, &mut payload) {
            at = data.end;
            return Some(Err(format!("{}: {error}", path.display()).into()));
        }
        let time = frame_time(((at - begin) / frame) as u64, pcm.rate);
        at += length;
        Some(Ok(FeedRecord {
            at: time,
            kind: "audio",
            content_type: content_type.clone(),
            payload: payload.into(),
        }))
    });
    Ok(FeedSource { absolute: false, file: file.to_owned(), items: Box::new(items) })
}

/// A file's bytes: where they are, or in memory where they come through a pipe.
enum WavBytes {
    There { file: File, length: usize },
    Held(Vec<u8>),
}

impl WavBytes {
    fn open(path: &Path) -> std::io::Result<Self> {
        let mut file = File::open(path)?;
        let metadata = file.metadata()?;
        if metadata.is_file() {
            let length = usize::try_from(metadata.len()).unwrap_or(usize::MAX);
            return Ok(Self::There { file, length });
        }
        let mut held = Vec::new();
        file.read_to_end(&mut held)?;
        Ok(Self::Held(held))
    }
}

impl ReadAt for WavBytes {
    fn length(&self) -> usize {
        match self {
            Self::There { length, .. } => *length,
            Self::Held(bytes) => bytes.len(),
        }
    }

    fn read_at(&self, at: usize, into: &mut [u8]) -> Result<(), PayloadError> {
        match self {
            Self::There { file, .. } => {
                use std::os::unix::fs::FileExt;
                file.read_exact_at(into, at as u64).map_err(|error| error.to_string().into())
            }
            Self::Held(bytes) => bytes.read_at(at, into),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// A WAV file of frames of one byte each.
    fn wav(rate: u32, frames: &[u8]) -> Vec<u8> {
        let mut bytes = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x07\0\x01\0".to_vec();
        bytes.extend(rate.to_le_bytes());
        bytes.extend(rate.to_le_bytes());
        bytes.extend(b"\x01\0\x08\0data");
        bytes.extend((frames.len() as u32).to_le_bytes());
        bytes.extend(frames);
        bytes
    }

    fn published(bytes: &[u8]) -> Result<Vec<(i64, String, Vec<u8>)>, String> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        let source = open(file.path(), Duration::from_millis(100)).map_err(|error| error.to_string())?;
        let items = source.items.map(|item| item.map_err(|error| error.to_string()));
        items
            .map(|item| item.map(|item| (item.at, item.content_type.to_string(), item.payload.to_vec())))
            .collect()
    }

    #[test]
    fn a_file_is_cut_into_raw_sound_of_its_own_format() {
        let frames: Vec<u8> = (0..=255).cycle().take(2_000).collect();
        let items = published(&wav(8_000, &frames)).unwrap();
        let times: Vec<i64> = items.iter().map(|(at, ..)| *at).collect();
        assert_eq!(times, [0, 100_000_000, 200_000_000]);
        assert!(items.iter().all(|(_, kind, _)| kind == "audio/pcm;rate=8000;channels=1;format=ulaw"));
        assert_eq!(items.iter().flat_map(|(.., payload)| payload.clone()).collect::<Vec<u8>>(), frames);
    }

    #[test]
    fn a_file_that_run_would_refuse_is_refused_by_name() {
        let mut lies = wav(8_000, &[1; 100]);
        lies[40] = 120;
        assert!(published(&lies).unwrap_err().contains("claims 120 bytes of samples and 100 are there"));
        assert!(published(b"fLaC\0\0\0\x22").unwrap_err().contains("FLAC file"));
    }
}
