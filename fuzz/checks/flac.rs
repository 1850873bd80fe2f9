//! The property of FLAC: accepted frames lie within the payload and follow one another, and the duration is their
//! length.

use std::time::Duration;

use lockstep_engine::ingest::duration::duration;
use lockstep_engine::ingest::flac::Flac;
use lockstep_engine::media::Media;

pub fn check(data: &[u8]) {
    let lasts = duration(&Media::Flac, data);
    match Flac::read(data) {
        Ok(flac) => {
            let mut first = 0;
            for two in flac.frames.windows(2) {
                assert_eq!(two[0].bytes.end, two[1].bytes.start);
            }
            for frame in &flac.frames {
                assert_eq!(frame.first, first);
                assert!(frame.bytes.end <= data.len() && frame.samples > 0);
                first += u64::from(frame.samples);
            }
            assert_eq!((flac.samples, first > 0), (first, true));
            let nanos = u128::from(first) * 1_000_000_000 / u128::from(flac.rate);
            assert_eq!(lasts, Ok(Duration::from_nanos(nanos as u64)));
        }
        Err(why) => assert_eq!(lasts, Err(why)),
    }
}
