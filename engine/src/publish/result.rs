//! The result of one bundle as a record: JSON under the stream's key. `docs/result.schema.json`
//! describes it.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use crate::align::Part;
use crate::infer::job::{Job, Outcome, StepTiming};
use crate::infer::step::Step;
use crate::infer::view::{Shown, show_all};
use crate::ingest::wire;
use crate::position::{InputId, Position};
use crate::publish::sink::OutRecord;
use crate::sample::{Header, Sample, StreamKey};
use crate::time::Timestamp;

/// The CloudEvents type of a result.
pub const EVENT_TYPE: &str = "lockstep.result.v1";

/// What is the same for all results of a pipeline.
#[derive(Debug)]
pub struct ResultMaker {
    pipeline: String,
    topic: Arc<str>,
    inputs: Vec<String>,
    pivot: Option<InputId>,
    steps: Vec<StepShown>,
}

#[derive(Debug)]
struct StepShown {
    name: String,
    model: String,
    version: String,
    views: Vec<Shown>,
    takes_from: Vec<usize>,
}

#[derive(Serialize)]
struct Document<'a> {
    id: String,
    pipeline: &'a str,
    stream: &'a str,
    event_time: String,
    event_time_ns: i64,
    complete: bool,
    inputs: Inputs<'a>,
    outputs: Map<String, Value>,
    timing_ns: Timing,
}

/// Where the time of a bundle went, in nanoseconds. With the time that publishing takes the parts add up
/// to the whole, from the timestamp on of the pivot's record or, without a pivot, of the one polled last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Timing {
    /// From the timestamp of the pivot's record to its poll; without a pivot, of the record that was polled last.
    pub kafka: i64,
    /// From there to the bundle's close.
    pub align: i64,
    /// Waiting to be cut into batches, and between steps.
    pub batch: i64,
    /// Decoding and filling the batches' memory.
    pub preprocess: i64,
    /// Waiting for an instance with a batch that is filled, and running.
    pub model: i64,
}

/// The identity of a bundle: a function of its stream and event time alone, so that a result that is
/// published again after a crash can be recognised.
pub fn bundle_id(stream: &StreamKey, event_time: Timestamp) -> String {
    format!("{stream}@{}", event_time.as_nanos())
}

impl ResultMaker {
    /// Makes results of a pipeline for a topic; `inputs` are the inputs' names, `pivot` the one that
    /// sets the time, if one does, `views` those of each step with their labels read.
    pub fn new(
        pipeline: &str,
        topic: &str,
        inputs: Vec<String>,
        pivot: Option<InputId>,
        steps: &[Step],
        views: Vec<Vec<Shown>>,
    ) -> Self {
        let steps = steps.iter().zip(views).map(|(step, views)| StepShown {
            name: step.name.clone(),
            model: step.model.name.clone(),
            version: step.model.version.clone(),
            views,
            takes_from: step.takes_from(),
        });
        Self { pipeline: pipeline.to_owned(), topic: topic.into(), inputs, pivot, steps: steps.collect() }
    }

    /// The result of a job that has been through all steps, and where its time went.
    ///
    /// # Errors
    /// Which output of which step cannot be shown as the settings ask.
    pub fn make(&self, job: &Job) -> Result<(OutRecord, Timing), String> {
        let bundle = &job.bundle;
        let timing = self.timing(job);
        let document = Document {
            id: bundle_id(&bundle.stream, bundle.event_time),
            pipeline: &self.pipeline,
            stream: bundle.stream.as_str(),
            event_time: bundle.event_time.to_string(),
            event_time_ns: bundle.event_time.as_nanos(),
            complete: bundle.is_complete(),
            inputs: Inputs { names: &self.inputs, parts: &bundle.parts },
            outputs: self.outputs(job)?,
            timing_ns: timing,
        };
        let payload = serde_json::to_vec(&document).map_err(|error| error.to_string())?;
        let record = OutRecord {
            topic: self.topic.clone(),
            key: Some(Bytes::copy_from_slice(bundle.stream.as_str().as_bytes())),
            payload: payload.into(),
            headers: self.headers(job, &document),
            timestamp: Some(bundle.event_time),
        };
        Ok((record, timing))
    }

    fn headers(&self, job: &Job, document: &Document<'_>) -> Vec<Header> {
        let mut headers = vec![
            Header::new(wire::CE_SPECVERSION, "1.0"),
            Header::new(wire::CE_ID, document.id.clone()),
            Header::new(wire::CE_SOURCE, format!("/lockstep/{}", self.pipeline)),
            Header::new(wire::CE_TYPE, EVENT_TYPE),
            Header::new(wire::CE_SUBJECT, job.bundle.stream.as_str().to_owned()),
            Header::new(wire::CE_TIME, document.event_time.clone()),
            Header::new(wire::CONTENT_TYPE, "application/json"),
        ];
        let samples = job.bundle.parts.iter().flat_map(|part| &part.samples);
        let parent =
            samples.flat_map(|sample| sample.record.headers.iter()).find(|h| &*h.name == wire::TRACEPARENT);
        headers.extend(parent.cloned());
        headers
    }

    fn outputs(&self, job: &Job) -> Result<Map<String, Value>, String> {
        let mut outputs = Map::new();
        for (index, step) in self.steps.iter().enumerate() {
            let mut shown = match job.at(index).map(|report| &report.outcome) {
                Some(Outcome::Done { output, placement }) => {
                    show_all(&step.views, output, placement.as_ref())
                        .map_err(|why| format!("step {}: {why}", step.name))?
                }
                Some(Outcome::Skipped(why)) => Map::from_iter([("skipped".into(), why.as_str().into())]),
                Some(Outcome::Failed(_)) | None => continue,
            };
            shown.insert("model".into(), step.model.as_str().into());
            shown.insert("version".into(), step.version.as_str().into());
            outputs.insert(step.name.clone(), shown.into());
        }
        Ok(outputs)
    }

    /// Along the steps that the result waited for: from the one that finished last back to the one that it
    /// waited for, and so on.
    fn timing(&self, job: &Job) -> Timing {
        let bundle = &job.bundle;
        let reference = match self.pivot {
            Some(pivot) => bundle.parts.get(pivot.index()).and_then(|part| part.samples.first()),
            None => {
                let samples = bundle.parts.iter().flat_map(|part| &part.samples);
                samples.max_by_key(|sample| sample.record.polled_at)
            }
        };
        let polled_at = reference.map_or(bundle.opened_at, |sample| sample.record.polled_at);
        let produced_at = reference.and_then(|sample| sample.record.timestamp).unwrap_or(polled_at);
        let mut timing = Timing {
            kafka: polled_at.nanos_since(produced_at).max(0),
            align: bundle.closed_at.nanos_since(polled_at).max(0),
            ..Timing::default()
        };
        let of = |step: usize| job.at(step).map(|report| (report.timing, step));
        let last =
            |steps: &mut dyn Iterator<Item = usize>| steps.filter_map(of).max_by_key(|(t, _)| t.finished_at);
        let mut current = last(&mut (0..self.steps.len()));
        while let Some((step, index)) = current {
            let before = last(&mut self.steps[index].takes_from.iter().copied());
            let since = before.map_or(bundle.closed_at, |(step, _)| step.finished_at);
            timing.add(&step, since);
            current = before;
        }
        timing
    }
}

impl Timing {
    fn add(&mut self, step: &StepTiming, since: Timestamp) {
        self.batch += step.cut_at.nanos_since(since).max(0);
        self.preprocess += step.prepared_at.nanos_since(step.cut_at).max(0);
        self.model += step.finished_at.nanos_since(step.prepared_at).max(0);
    }

    /// All parts together, in nanoseconds.
    pub fn total(&self) -> i64 {
        self.kafka + self.align + self.batch + self.preprocess + self.model
    }
}

/// What a bundle is made of, written without a tree of values in between: it is the same for every result
/// and most of it.
struct Inputs<'a> {
    names: &'a [String],
    parts: &'a [Part<Arc<Sample>>],
}

impl Serialize for Inputs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.names.iter().zip(self.parts.iter().map(Input::from)))
    }
}

#[derive(Serialize)]
struct Input<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    coverage: Option<f64>,
    samples: Samples<'a>,
    skew_ns: Option<i64>,
}

impl<'a> From<&'a Part<Arc<Sample>>> for Input<'a> {
    fn from(part: &'a Part<Arc<Sample>>) -> Self {
        Self { coverage: part.coverage, samples: Samples(&part.samples), skew_ns: part.skew_ns }
    }
}

struct Samples<'a>(&'a [Arc<Sample>]);

#[derive(Serialize)]
struct Source {
    event_time_ns: i64,
    offset: i64,
    partition: i32,
}

impl Serialize for Samples<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|sample| {
            let Position { partition, offset } = sample.position();
            Source {
                event_time_ns: sample.event_time.as_nanos(),
                offset: offset.0,
                partition: partition.partition,
            }
        }))
    }
}
