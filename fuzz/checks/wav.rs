//! The property of WAV headers: accepted samples are whole frames within the payload, and the duration is their
//! length.

use lockstep_engine::ingest::duration::duration;
use lockstep_engine::ingest::wav::WavHeader;
use lockstep_engine::media::Media;

pub fn check(data: &[u8]) {
    let header = WavHeader::read(data);
    let lasts = duration(&Media::Wav, data);
    match header {
        Ok(header) => {
            assert!(!header.data.is_empty() && header.data.end <= data.len());
            assert_eq!(header.data.len() % header.pcm.frame_size(), 0);
            // The same samples as raw sound have the same duration, unless they begin like a file.
            let raw = duration(&Media::Pcm(header.pcm), &data[header.data]);
            assert!(raw == lasts || raw.is_err_and(|why| why.to_string().contains("not raw sound")));
        }
        Err(why) => assert_eq!(lasts, Err(why)),
    }
}
