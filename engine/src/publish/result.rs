//! The result of one bundle as a record: JSON under the stream's key. `docs/result.schema.json`
//! describes it.

use std::sync::Arc;

use bytes::Bytes;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};
use smallvec::SmallVec;

use crate::align::{Part, Shortfall};
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
    source: Bytes,
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
    revision: u32,
    #[serde(rename = "final")]
    is_final: bool,
    #[serde(skip_serializing_if = "is_false")]
    unchanged: bool,
    complete: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    incomplete: Vec<Incomplete<'a>>,
    wait_ns: i64,
    inputs: Inputs<'a>,
    outputs: Outputs<'a>,
    timing_ns: Timing,
}

/// What most results fit into.
const USUAL_BYTES: usize = 768;

/// An input that brought too little.
#[derive(Serialize)]
struct Incomplete<'a> {
    input: &'a str,
    reason: &'static str,
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
        Self {
            pipeline: pipeline.to_owned(),
            source: format!("/lockstep/{pipeline}").into(),
            topic: topic.into(),
            inputs,
            pivot,
            steps: steps.collect(),
        }
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
            revision: bundle.revision,
            is_final: bundle.is_final,
            unchanged: bundle.is_repeated,
            complete: bundle.is_complete(),
            incomplete: bundle.incomplete.iter().map(|it| self.incomplete(it)).collect(),
            wait_ns: bundle.wait_ns(),
            inputs: Inputs { names: &self.inputs, parts: &bundle.parts },
            outputs: self.outputs(job)?,
            timing_ns: timing,
        };
        let mut payload = Vec::with_capacity(USUAL_BYTES);
        serde_json::to_writer(&mut payload, &document).map_err(|error| error.to_string())?;
        let Document { id, event_time, .. } = document;
        let samples = || bundle.parts.iter().flat_map(|part| &part.samples);
        // Every sample's record has the stream as its key: its bytes serve again.
        let key = samples().find_map(|sample| sample.record.key.clone());
        let key = key.unwrap_or_else(|| Bytes::copy_from_slice(bundle.stream.as_str().as_bytes()));
        let mut headers = Vec::with_capacity(8);
        headers.extend([
            Header::new(wire::CE_SPECVERSION, "1.0"),
            Header::new(wire::CE_ID, id),
            Header::new(wire::CE_SOURCE, self.source.clone()),
            Header::new(wire::CE_TYPE, EVENT_TYPE),
            Header::new(wire::CE_SUBJECT, key.clone()),
            Header::new(wire::CE_TIME, event_time),
            Header::new(wire::CONTENT_TYPE, "application/json"),
        ]);
        let mut of_samples = samples().flat_map(|sample| sample.record.headers.iter());
        headers.extend(of_samples.find(|header| &*header.name == wire::TRACEPARENT).cloned());
        let record = OutRecord {
            topic: self.topic.clone(),
            key: Some(key),
            payload: payload.into(),
            headers,
            timestamp: Some(bundle.event_time),
        };
        Ok((record, timing))
    }

    fn incomplete(&self, Shortfall { input, lack }: &Shortfall) -> Incomplete<'_> {
        Incomplete {
            input: self.inputs.get(input.index()).map_or("?", String::as_str),
            reason: lack.as_str(),
        }
    }

    fn outputs<'a>(&'a self, job: &'a Job) -> Result<Outputs<'a>, String> {
        let mut outputs = Outputs(SmallVec::new());
        for (index, step) in self.steps.iter().enumerate() {
            let shown = match job.at(index).map(|report| &report.outcome) {
                Some(Outcome::Done { output, placement }) => Told::Shown(
                    show_all(&step.views, output, placement.as_ref())
                        .map_err(|why| format!("step {}: {why}", step.name))?,
                ),
                Some(Outcome::Skipped(why)) => Told::Skipped(why),
                Some(Outcome::Failed(_)) | None => continue,
            };
            outputs.0.push((step, shown));
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

/// What the steps gave, written without a tree of values around that of the views.
struct Outputs<'a>(SmallVec<[(&'a StepShown, Told<'a>); 2]>);

/// What is told of a step.
enum Told<'a> {
    Shown(Map<String, Value>),
    Skipped(&'a str),
}

impl Serialize for Outputs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(step, told)| (&step.name, OfStep { step, told })))
    }
}

struct OfStep<'a> {
    step: &'a StepShown,
    told: &'a Told<'a>,
}

impl Serialize for OfStep<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("model", &self.step.model)?;
        map.serialize_entry("version", &self.step.version)?;
        match self.told {
            Told::Shown(shown) => {
                for (name, value) in shown {
                    map.serialize_entry(name, value)?;
                }
            }
            Told::Skipped(why) => map.serialize_entry("skipped", why)?,
        }
        map.end()
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
    #[serde(skip_serializing_if = "is_false")]
    held: bool,
    samples: Samples<'a>,
    skew_ns: Option<i64>,
}

impl<'a> From<&'a Part<Arc<Sample>>> for Input<'a> {
    fn from(part: &'a Part<Arc<Sample>>) -> Self {
        Self {
            coverage: part.coverage,
            held: part.held,
            samples: Samples(&part.samples),
            skew_ns: part.skew_ns,
        }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde gives references")]
fn is_false(value: &bool) -> bool {
    !value
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
