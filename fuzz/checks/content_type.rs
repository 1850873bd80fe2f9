//! The property of content types: an accepted type can be written and parsed again. Any parameter of raw sound is
//! accepted or refused.

use lockstep_engine::media::Media;

pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match text.parse::<Media>() {
        Ok(media) => assert_eq!(media.to_string().parse(), Ok(media)),
        Err(why) => assert!(!why.to_string().is_empty()),
    }
}
