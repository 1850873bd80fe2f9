//! The demo's clip as records: two faces and a voice, 105 frames in 8.7 s.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use bytes::Bytes;
use lockstep_kafka::tail::{From, Tail};

use crate::broker::Broker;
use crate::process::{Lockstep, PATIENCE};

/// Fetched by `make setup`.
pub(crate) const CLIP: &str = ".setup/clip.mp4";
pub(crate) const FRAMES: usize = 105;
pub(crate) const JPEG: &str = "image/jpeg";
pub(crate) const PCM: &str = "audio/pcm;rate=16000;channels=1;format=s16le";

/// The clip's records, as `lockstep publish` makes them.
pub(crate) struct Clip {
    /// JPEG files.
    pub(crate) frames: Vec<Bytes>,
    /// 96 ms each: 1536 samples of 16 bits.
    pub(crate) sound: Vec<Bytes>,
}

/// The clip. Taken apart once.
pub(crate) fn clip() -> &'static Clip {
    static CLIP: OnceLock<Clip> = OnceLock::new();
    CLIP.get_or_init(take_apart)
}

fn take_apart() -> Clip {
    let broker = Broker::embedded();
    let embedded = broker.embedded.as_ref().expect("embedded");
    for topic in ["video", "audio"] {
        embedded.create_topic(topic, 1).expect("made");
    }
    let args = ["publish", "--brokers", &broker.address, "--stream", "clip", "--chunk", "96ms", CLIP];
    let ended = Lockstep::run(&args, &[]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let count = |topic: &str| {
        let words: Vec<&str> = ended.err.split_whitespace().map(|word| word.trim_matches(',')).collect();
        let count = words.windows(3).find(|three| three[1..] == ["to", topic]).map(|three| three[0].parse());
        count.and_then(Result::ok).unwrap_or_else(|| panic!("no records to {topic}: {ended:?}"))
    };
    let clip = Clip { frames: read(&broker, "video", FRAMES), sound: read(&broker, "audio", count("audio")) };
    assert_eq!(count("video"), FRAMES);
    clip
}

fn read(broker: &Broker, topic: &str, count: usize) -> Vec<Bytes> {
    let mut tail = Tail::open(&broker.address, &BTreeMap::new(), topic, From::Beginning).expect("open");
    let mut values = Vec::new();
    let until = Instant::now() + PATIENCE;
    while values.len() < count {
        assert!(Instant::now() < until, "{} of {count} records in {topic}", values.len());
        values.extend(tail.next(Duration::from_millis(200)).expect("read").map(|record| record.value));
    }
    values
}
