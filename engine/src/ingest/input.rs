//! What an input takes.

use std::time::Duration;

use crate::ingest::shed::ShedPolicy;
use crate::media::{Media, Modality};
use crate::sample::SameTime;

/// One input: a topic and the kind of thing that it carries.
#[derive(Clone, Debug, PartialEq)]
pub struct InputSpec {
    /// Its name, unique in the pipeline.
    pub name: String,
    /// Its topic, of which no other input reads.
    pub topic: String,
    /// The kind of thing that it takes; a record of another kind is at fault.
    pub modality: Modality,
    /// What a record without a `content-type` is.
    pub default_media: Media,
    /// The largest payload, in bytes.
    pub max_bytes: usize,
    /// An event time further in the past than this is absurd.
    pub max_past: Duration,
    /// An event time further in the future than this is absurd.
    pub max_future: Duration,
    /// What is added to its event times, in nanoseconds: how far the clock that they come from is behind the others.
    pub clock_offset: i64,
    /// What records of one stream are whose headers say the same event time. Where it is the record's own timestamp they are
    /// always distinct: it has milliseconds only, and nobody chose it.
    pub same_time: SameTime,
    /// What becomes of sound whose source drifts.
    pub drift: OnDrift,
    /// How its pictures are taken.
    pub pictures: PictureCare,
    /// What to do when the broker has deleted records before they were read.
    pub on_data_loss: OnDataLoss,
    /// What is put aside when the pipeline cannot keep up; none to keep all.
    pub shed: Option<ShedPolicy>,
}

/// How the pictures of an input are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PictureCare {
    /// What becomes of those that are damaged.
    pub damaged: OnDamage,
    /// Which way is up.
    pub orientation: UseOrientation,
}

/// What becomes of a picture of which some pixels are missing or garbled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDamage {
    /// It is a dead letter.
    #[default]
    Refuse,
    /// What the decoder makes of it is used, and the result says so.
    Accept,
}

/// Whether a picture is turned as its EXIF block says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UseOrientation {
    /// It is.
    #[default]
    Exif,
    /// It is taken as it is stored.
    Ignore,
}

/// What to do when the broker's retention has overtaken the reader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDataLoss {
    /// Count it, say it, go on from the earliest record that is left.
    #[default]
    Continue,
    /// Say it and stop with a non-zero exit.
    Stop,
}

/// What becomes of sound whose chunks are a little too short or too long for the time from one to the next, since the real
/// rate of its source is not the nominal one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDrift {
    /// Chunks are taken as they are: what is off adds up to a gap or an overlap of a millisecond now and then.
    #[default]
    Ignore,
    /// Chunks that follow one another are stretched to the time that they span.
    Resample,
}

impl OnDrift {
    /// How far the beginning of a chunk may lie from the end of the one before it, in nanoseconds, for them to be one
    /// sound whatever the source: a millisecond, the resolution of Kafka's own timestamps.
    pub const JITTER_NS: i64 = 1_000_000;

    /// The most that a source is taken to drift: one part in so many, 2 %.
    pub const MOST: i64 = 50;

    /// The longest gap after a chunk of a length, both in nanoseconds, that is none: the jitter of stamps, and what the source
    /// may drift while the chunk lasts if that is corrected. The rule of alignment and preprocessing alike.
    pub const fn slack(self, lasts: i64) -> i64 {
        match self {
            Self::Ignore => Self::JITTER_NS,
            Self::Resample => Self::JITTER_NS.saturating_add(lasts / Self::MOST),
        }
    }
}
