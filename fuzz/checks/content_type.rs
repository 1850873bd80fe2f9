//! Content types: a type that is understood can be written and read again, and whatever is said of raw sound is taken
//! or refused.

use lockstep_engine::media::Media;

pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match text.parse::<Media>() {
        Ok(media) => assert_eq!(media.to_string().parse(), Ok(media)),
        Err(why) => assert!(!why.is_empty()),
    }
}
