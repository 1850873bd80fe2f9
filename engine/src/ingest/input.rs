//! Inputs: their topics, the records that they accept, and the treatment of these records.

use std::time::Duration;

use crate::ingest::shed::ShedPolicy;
use crate::media::{Media, Modality};
use crate::sample::SameTime;

/// One input: a topic and the modality of its records.
#[derive(Clone, Debug, PartialEq)]
pub struct InputSpec {
    /// Its name, unique in the pipeline.
    pub name: String,
    /// Its topic. No other input reads it.
    pub topic: String,
    /// The modality that it accepts; a record of another modality is a fault.
    pub modality: Modality,
    /// The media type of a record without a `content-type`.
    pub default_media: Media,
    /// The largest payload, in bytes.
    pub max_bytes: usize,
    /// The limit of event times in the past; an older one is a fault.
    pub max_past: Duration,
    /// The limit of event times in the future; a later one is a fault.
    pub max_future: Duration,
    /// The offset added to its event times, in nanoseconds: the lag of its source's clock behind the others.
    pub clock_offset: i64,
    /// The meaning of records of one stream whose headers have the same event time. Records whose event time is
    /// Kafka's own timestamp are always distinct: it has milliseconds only, and no producer chose it.
    pub same_time: SameTime,
    /// The treatment of sound whose source drifts.
    pub drift: OnDrift,
    /// The treatment of its pictures.
    pub pictures: PictureCare,
    /// The reaction to records that the broker deleted before they were read.
    pub on_data_loss: OnDataLoss,
    /// The rule by which samples are shed while the pipeline cannot keep up; none to keep all.
    pub shed: Option<ShedPolicy>,
}

/// The treatment of the pictures of an input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PictureCare {
    /// The treatment of damaged pictures.
    pub damaged: OnDamage,
    /// The use of the EXIF orientation.
    pub orientation: UseOrientation,
}

/// The treatment of a picture of which some pixels are missing or garbled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDamage {
    /// It becomes a dead letter.
    #[default]
    Refuse,
    /// The pixels that the decoder returns are used, and the result reports the damage.
    Accept,
}

/// The use of a picture's EXIF orientation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UseOrientation {
    /// The picture is rotated by its EXIF orientation.
    #[default]
    Exif,
    /// The picture is used as it is stored.
    Ignore,
}

/// The reaction when the broker's retention has overtaken the reader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDataLoss {
    /// Count and log the loss, and continue from the earliest record that is left.
    #[default]
    Continue,
    /// Log the loss and stop with a non-zero exit code.
    Stop,
}

/// The treatment of sound whose source drifts: its real sample rate is not the nominal one. Then its chunks are a
/// little too short or too long for the time from one to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDrift {
    /// Chunks are used as they are. The error adds up to a gap or an overlap of a millisecond now and then.
    #[default]
    Ignore,
    /// Consecutive chunks are stretched to the time that they span.
    Resample,
}

impl OnDrift {
    /// The most nanoseconds between the end of a chunk and the beginning of the next for them to be one sound. It
    /// holds for any source, and is a millisecond: the resolution of Kafka's own timestamps.
    pub const JITTER_NS: i64 = 1_000_000;

    /// The reciprocal of the largest drift that is assumed of a source: one part in 50, or 2 %.
    pub const MOST: i64 = 50;

    /// The longest gap after a chunk, in nanoseconds, that does not split the sound; `lasts` is the chunk's length in
    /// nanoseconds. It is the jitter of timestamps, plus the drift of the source during the chunk if that is
    /// corrected. Alignment and preprocessing share this rule.
    pub const fn slack(self, lasts: i64) -> i64 {
        match self {
            Self::Ignore => Self::JITTER_NS,
            Self::Resample => Self::JITTER_NS.saturating_add(lasts / Self::MOST),
        }
    }
}
