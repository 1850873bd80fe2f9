//! Publishes media to input topics: the records of all sources merged by event time, at a chosen pace.

mod ffmpeg;
mod images;
mod jpeg;
mod source;
mod text;
mod video;
mod wav;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use lockstep_engine::ingest::flac::Flac;
use lockstep_engine::pipeline::KafkaSpec;
use lockstep_engine::publish::sink::{OutRecord, Sink};
use lockstep_engine::sample::Header;
use lockstep_engine::time::Timestamp;
use lockstep_kafka::sink::KafkaSink;
use parking_lot::Mutex;

use crate::commands::Failure;
use source::{FeedRecord, FeedSource};

/// Set to stop publishing.
pub(crate) type CancelFlag = AtomicBool;

/// The sources to publish, and the settings.
#[derive(Clone, Debug)]
pub(crate) struct FeedPlan {
    /// The brokers, and how to talk to them.
    pub kafka: KafkaSpec,
    /// The key of every record.
    pub stream: String,
    /// Topics by kind: `video`, `audio`, `text`; each kind's own name where none is given.
    pub topics: BTreeMap<String, String>,
    /// Files and directories.
    pub paths: Vec<PathBuf>,
    /// The speed in multiples of real time. None is as fast as the broker takes records.
    pub rate: Option<f64>,
    /// The event time of the beginning.
    pub start: FeedStart,
    /// Samples a second of sound taken from videos.
    pub audio_rate: u32,
    /// The length of a record of sound.
    pub chunk: Duration,
    /// The least time from one picture of a video to the next; none to publish all.
    pub picture_every: Option<Duration>,
    /// Frames a second of directories whose images have no times in their names.
    pub fps: f64,
}

/// The event time of the beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FeedStart {
    /// The moment at which publishing begins.
    Now,
    /// As the sources say; those without absolute times begin now.
    Original,
    /// The given one.
    At(Timestamp),
}

/// The counts of published records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Published {
    /// Records that brokers have acknowledged.
    pub records: u64,
    /// Their payloads' bytes.
    pub bytes: u64,
    /// Records by topic.
    pub by_topic: BTreeMap<String, u64>,
    /// Media time from the first record to the last, in nanoseconds.
    pub span_ns: i64,
}

fn open(plan: &FeedPlan) -> Result<Vec<FeedSource>, Failure> {
    let mut sources = Vec::new();
    for path in &plan.paths {
        let place = |error: std::io::Error| format!("{}: {error}", path.display());
        if path.metadata().map_err(place)?.is_dir() {
            sources.push(images::open(path, plan.fps)?);
            continue;
        }
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
        match extension.as_str() {
            "txt" | "text" | "tsv" => sources.push(text::open(path)?),
            "wav" | "wave" => sources.push(wav::open(path, plan.chunk)?),
            "flac" => {
                whole_flac(path)?;
                sources.extend(video::open(path, plan.picture_every, plan.audio_rate, plan.chunk)?);
            }
            _ => sources.extend(video::open(path, plan.picture_every, plan.audio_rate, plan.chunk)?),
        }
    }
    if sources.is_empty() {
        return Err(
            "there is nothing to publish: name a video, a directory of images, a WAV or a text".into()
        );
    }
    Ok(sources)
}

/// Refuses a FLAC file that `lockstep run` would refuse as a payload. ffmpeg would skip its damaged parts.
fn whole_flac(file: &std::path::Path) -> Result<(), Failure> {
    let place = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let bytes = std::fs::read(file).map_err(|error| place(&error))?;
    Flac::of_at_most(&bytes, u64::MAX).map_err(|error| place(&error))?;
    Ok(())
}

/// Publishes all of it, calling `progress` after each record. Ends early, and well, when cancelled.
///
/// # Errors
/// When a source cannot be read, or a record was not delivered.
pub(crate) fn run(
    plan: &FeedPlan,
    cancel: &CancelFlag,
    progress: &mut dyn FnMut(&Published),
) -> Result<Published, Failure> {
    let mut heads = Vec::new();
    let mut empty = Vec::new();
    for mut source in open(plan)? {
        match source.items.next().transpose()? {
            Some(first) => heads.push((first, source)),
            None => empty.push(source.file),
        }
    }
    // Of a video without sound there are pictures all the same.
    empty.retain(|file| heads.iter().all(|(_, source)| source.file != *file));
    if let Some(file) = empty.first() {
        return Err(format!("{}: there is nothing in it to publish; leave it out", file.display()).into());
    }
    let began = Instant::now();
    let now = Timestamp::wall().as_nanos();
    let first_absolute = heads.iter().filter(|(_, s)| s.absolute).map(|(item, _)| item.at).min();
    // The shift from a source's times to event times.
    let shift = |absolute: bool| match (plan.start, absolute) {
        (FeedStart::Original, true) => 0,
        (FeedStart::Original | FeedStart::Now, false) => now,
        (FeedStart::At(at), false) => at.as_nanos(),
        (FeedStart::Now, true) => now.saturating_sub(first_absolute.unwrap_or(0)),
        (FeedStart::At(at), true) => at.as_nanos().saturating_sub(first_absolute.unwrap_or(0)),
    };
    let mut out = FeedProducer::start(plan)?;
    let mut published = Published::default();
    let mut first_time = None;
    while !cancel.load(Ordering::Relaxed) {
        let next = heads
            .iter()
            .enumerate()
            .min_by_key(|(_, (item, source))| item.at.saturating_add(shift(source.absolute)))
            .map(|(index, _)| index);
        let Some((item, source)) = next.and_then(|index| heads.get_mut(index)) else { break };
        let event_time = item.at.saturating_add(shift(source.absolute));
        let since_first = event_time.saturating_sub(*first_time.get_or_insert(event_time));
        if !pace(plan.rate, began, since_first, cancel) {
            break;
        }
        let following = source.items.next().transpose()?;
        let item = match following {
            Some(following) => std::mem::replace(item, following),
            None => {
                let Some(index) = next else { break };
                heads.swap_remove(index).0
            }
        };
        let bytes = item.payload.len() as u64;
        let topic = out.send(item, Timestamp::from_nanos(event_time), cancel)?;
        published.records += 1;
        published.bytes += bytes;
        published.span_ns = since_first;
        *published.by_topic.entry(topic.to_string()).or_default() += 1;
        progress(&published);
    }
    out.finish()?;
    Ok(published)
}

/// Waits until it is time. Says whether to go on.
fn pace(rate: Option<f64>, began: Instant, since_first: i64, cancel: &CancelFlag) -> bool {
    let Some(rate) = rate else { return true };
    let due = began + Duration::from_nanos((since_first.max(0) as f64 / rate.max(1e-6)) as u64);
    loop {
        let left = due.saturating_duration_since(Instant::now());
        if cancel.load(Ordering::Relaxed) {
            return false;
        }
        if left.is_zero() {
            return true;
        }
        // In short steps, so that a cancellation is seen.
        std::thread::park_timeout(left.min(Duration::from_millis(50)));
    }
}

/// Sends, and remembers the first record that was not delivered.
struct FeedProducer {
    sink: KafkaSink,
    failed: Arc<Mutex<Option<String>>>,
    failures: Arc<AtomicU64>,
    stream: String,
    key: Bytes,
    topics: BTreeMap<&'static str, Arc<str>>,
    given: BTreeMap<String, String>,
    run: i64,
    sent: u64,
}

/// The remedy if records do not arrive. A client waits for a missing topic as it waits for a missing broker.
const REMEDY: &str =
    "see that the brokers run and that the topics are there (`lockstep topics create`; --topic says which)";

/// The longest wait for the last records.
const FLUSH: Duration = Duration::from_secs(30);

impl FeedProducer {
    fn start(plan: &FeedPlan) -> Result<Self, Failure> {
        let mut spec = plan.kafka.clone();
        spec.producer.entry("message.timeout.ms".into()).or_insert_with(|| "30000".into());
        let failed = Arc::new(Mutex::new(None));
        let failures = Arc::new(AtomicU64::new(0));
        let (first, count) = (failed.clone(), failures.clone());
        let sink = KafkaSink::start(
            &spec,
            32 << 20,
            Arc::new(move |delivery| {
                if let Err(error) = delivery.outcome {
                    count.fetch_add(1, Ordering::Relaxed);
                    first.lock().get_or_insert(error.message);
                }
            }),
        )?;
        Ok(Self {
            sink,
            failed,
            failures,
            stream: plan.stream.clone(),
            key: Bytes::copy_from_slice(plan.stream.as_bytes()),
            topics: BTreeMap::new(),
            given: plan.topics.clone(),
            run: Timestamp::wall().as_nanos(),
            sent: 0,
        })
    }

    fn send(&mut self, item: FeedRecord, at: Timestamp, cancel: &CancelFlag) -> Result<Arc<str>, Failure> {
        if let Some(failure) = self.failure() {
            return Err(failure);
        }
        let given = &self.given;
        let topic = self
            .topics
            .entry(item.kind)
            .or_insert_with(|| given.get(item.kind).map_or(item.kind, String::as_str).into())
            .clone();
        // CloudEvents' Kafka binding, binary mode.
        let id = format!("{}-{:x}-{}", self.stream, self.run, self.sent);
        let headers = vec![
            Header::new("content-type", item.content_type.as_bytes().to_vec()),
            Header::new("ce_specversion", Bytes::from_static(b"1.0")),
            Header::new("ce_id", id),
            Header::new("ce_source", format!("/lockstep/publish/{}", self.stream)),
            Header::new("ce_type", format!("lockstep.sample.{}", item.kind)),
            Header::new("ce_time", at.to_string()),
        ];
        let record = OutRecord {
            topic: topic.clone(),
            partition: None,
            key: Some(self.key.clone()),
            payload: item.payload,
            headers,
            timestamp: Some(at),
        };
        while self.sink.send(&record, self.sent).is_err() {
            let _less = self.sink.flush(Duration::from_millis(100));
            if cancel.load(Ordering::Relaxed) {
                return Ok(topic);
            }
            if let Some(failure) = self.failure() {
                return Err(failure);
            }
        }
        self.sent += 1;
        Ok(topic)
    }

    fn failure(&self) -> Option<Failure> {
        let first = self.failed.lock().clone()?;
        let count = self.failures.load(Ordering::Relaxed);
        Some(format!("{count} records were not delivered; {REMEDY}; the first: {first}").into())
    }

    fn finish(mut self) -> Result<(), Failure> {
        let flushed = self.sink.flush(FLUSH);
        if let Some(failure) = self.failure() {
            return Err(failure);
        }
        flushed.map_err(|left| {
            format!("{left} records were not acknowledged within {} s; {REMEDY}", FLUSH.as_secs()).into()
        })
    }
}
