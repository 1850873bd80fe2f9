//! What an input takes.

use std::time::Duration;

use crate::media::{Media, Modality};

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
    /// What becomes of sound whose source drifts.
    pub drift: OnDrift,
    /// What to do when the broker has deleted records before they were read.
    pub on_data_loss: OnDataLoss,
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
