//! The result of one bundle as a record: JSON under the stream's key. `docs/result.schema.json` describes it.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Map, Value};
use smallvec::SmallVec;

use crate::align::{Bundle, Part, Shortfall};
use crate::infer::gather::Gather;
use crate::infer::job::{DetectionOutput, Job, StepOutcome, StepTiming};
use crate::infer::step::Step;
use crate::infer::view::{LabelledView, show_all, shown_box};
use crate::ingest::wire;
use crate::position::{InputId, Position};
use crate::publish::json::{Object, Written, array, put};
use crate::publish::sink::OutRecord;
use crate::publish::stream_tracks::StreamTracks;
use crate::sample::{Header, Sample};
use crate::time::Timestamp;

/// The CloudEvents type of a result.
pub const EVENT_TYPE: &str = "lockstep.result.v1";

/// The parts that all results of a pipeline share, and the code that makes results.
#[derive(Debug)]
pub struct ResultMaker {
    pipeline: Written,
    source: Bytes,
    topic: Arc<str>,
    inputs: Vec<Written>,
    input_names: Vec<String>,
    pivot: Option<InputId>,
    steps: Vec<StepShown>,
}

#[derive(Debug)]
struct StepShown {
    name: String,
    written: Written,
    model: Written,
    version: Written,
    views: Vec<LabelledView>,
    waits_for: Vec<usize>,
}

/// The usual size of a result, in bytes.
const USUAL_BYTES: usize = 768;

/// The time of a bundle by stage, in nanoseconds. Together with publishing, the parts add up to the whole time since
/// the timestamp of the pivot's record or, without a pivot, of the last polled record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timing {
    /// From the timestamp of the pivot's record to its poll; without a pivot, of the last polled record.
    pub kafka: i64,
    /// From the poll to the bundle's close.
    pub align: i64,
    /// Waiting for a batch, and between steps.
    pub batch: i64,
    /// Decoding and filling the batches' memory.
    pub preprocess: i64,
    /// Waiting for an instance with a filled batch, and running.
    pub model: i64,
}

/// The identity of a bundle: a function of its stream and its event time. If the event time does not tell records
/// apart, the position of its record is part of it. So a consumer recognises a result that is published again after a
/// crash. `input` names the input of that record if it is not the leading one.
fn bundle_id<T>(bundle: &Bundle<T>, input: Option<&str>) -> String {
    let (stream, time) = (&bundle.stream, bundle.event_time.as_nanos());
    let Some(record) = bundle.record else { return format!("{stream}@{time}") };
    let (partition, offset) = (record.partition.partition, record.offset.0);
    match input {
        None => format!("{stream}@{time}:{partition}:{offset}"),
        Some(input) => format!("{stream}@{time}:{input}:{partition}:{offset}"),
    }
}

impl ResultMaker {
    /// Makes results of a pipeline for a topic. `inputs` are the inputs' names, `pivot` is the one that sets the time,
    /// if any, and `views` are those of each step with their labels.
    pub fn new(
        pipeline: &str,
        topic: &str,
        inputs: Vec<String>,
        pivot: Option<InputId>,
        steps: &[Step],
        views: Vec<Vec<LabelledView>>,
    ) -> Self {
        let steps = steps.iter().zip(views).map(|(step, views)| StepShown {
            name: step.name.clone(),
            written: Written::of(&step.name),
            model: Written::of(&step.unit.model.name),
            version: Written::of(&step.unit.model.version),
            views,
            waits_for: step.waits_for(),
        });
        Self {
            pipeline: Written::of(pipeline),
            source: format!("/lockstep/{pipeline}").into(),
            topic: topic.into(),
            inputs: inputs.iter().map(Written::of).collect(),
            input_names: inputs,
            pivot,
            steps: steps.collect(),
        }
    }

    /// The result of a job that has passed all steps, and its timing. With `tracks` it is the next result of its stream, whose
    /// detections get their tracks; without, it is the same result again.
    ///
    /// # Errors
    /// The output and step that cannot be shown as configured.
    pub fn make(&self, job: &Job, tracks: Option<&mut StreamTracks>) -> Result<(OutRecord, Timing), String> {
        let bundle = &job.bundle;
        let timing = self.timing(job);
        let mut told = self.told(job)?;
        if let Some(tracks) = tracks {
            let shown = |step, view| self.shown(&told, step, view);
            job.set_tracks(tracks.assign(&bundle.stream, bundle.event_time, shown));
        }
        self.show_tracks(job, &mut told);
        let leads = self.pivot.unwrap_or(InputId(0));
        let of_other = bundle.record.map(|record| record.input()).filter(|input| *input != leads);
        let id =
            bundle_id(bundle, of_other.and_then(|input| Some(self.input_names.get(input.index())?.as_str())));
        let event_time = bundle.event_time.to_string();
        let mut payload = Vec::with_capacity(USUAL_BYTES);
        let mut result = Object::open(&mut payload);
        result.put("id", &id);
        result.written("pipeline", &self.pipeline);
        result.put("stream", bundle.stream.as_str());
        result.put("event_time", &event_time);
        self.write(&mut result, bundle, &told);
        timing.write(result.member("timing_ns"));
        drop(result);
        let samples = || bundle.parts.iter().flat_map(|part| &part.samples);
        // Every sample's record has the stream as its key: the key's bytes are shared.
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
        let trace = of_samples.find(|header| header.is(wire::TRACEPARENT)).cloned();
        headers.extend(trace.map(|trace| Header { name: wire::TRACEPARENT.into(), ..trace }));
        let record = OutRecord {
            topic: self.topic.clone(),
            partition: None,
            key: Some(key),
            payload: payload.into(),
            headers,
            timestamp: Some(bundle.event_time),
        };
        Ok((record, timing))
    }

    /// The content to report for each step.
    fn told<'a>(&'a self, job: &'a Job) -> Result<Told<'a>, String> {
        let mut all = SmallVec::new();
        for (index, step) in self.steps.iter().enumerate() {
            let told = match job.at(index).map(|report| &report.outcome) {
                Some(StepOutcome::Done { output, placement }) => StepContent::Shown(
                    show_all(&step.views, output, placement.as_ref())
                        .map_err(|why| format!("step {}: {why}", step.name))?,
                ),
                Some(StepOutcome::DoneEach(rows)) => match job.gather(index) {
                    Some(gather) => StepContent::Each(
                        gather,
                        step.show_each(rows).map_err(|why| format!("step {}: {why}", step.name))?,
                    ),
                    None => continue,
                },
                Some(StepOutcome::Skipped(why)) => StepContent::Skipped(why),
                Some(StepOutcome::Failed(_)) | None => continue,
            };
            all.push((step, told));
        }
        Ok(all)
    }

    /// The detections that a view shows.
    fn shown<'t>(&self, told: &'t Told<'_>, step: usize, view: usize) -> Option<&'t [Value]> {
        let step = self.steps.get(step)?;
        let (_, content) = told.iter().find(|(other, _)| other.name == step.name)?;
        let StepContent::Shown(shown) = content else { return None };
        shown.get(step.views.get(view)?.name())?.as_array().map(Vec::as_slice)
    }

    /// Adds the tracks of a job to its detections.
    fn show_tracks(&self, job: &Job, told: &mut Told<'_>) {
        for tracks in job.tracks() {
            let Some(step) = self.steps.get(tracks.step) else { continue };
            let content = told.iter_mut().find(|(other, _)| other.name == step.name);
            let (Some(view), Some((_, StepContent::Shown(shown)))) = (step.views.get(tracks.view), content)
            else {
                continue;
            };
            let detections = shown.get_mut(view.name()).and_then(Value::as_array_mut);
            for (detection, id) in detections.into_iter().flatten().zip(&tracks.ids) {
                if let (Some(entry), Some(id)) = (detection.as_object_mut(), id) {
                    entry.insert("track".to_owned(), (*id).into());
                }
            }
        }
    }

    fn write(
        &self,
        result: &mut Object<'_>,
        bundle: &Bundle<Arc<Sample>>,
        told: &[(&StepShown, StepContent<'_>)],
    ) {
        result.put("event_time_ns", &bundle.event_time.as_nanos());
        result.put("revision", &bundle.revision);
        result.put("final", &bundle.is_final);
        if bundle.is_repeated {
            result.put("unchanged", &true);
        }
        result.put("complete", &bundle.is_complete());
        if !bundle.incomplete.is_empty() {
            array(result.member("incomplete"), &bundle.incomplete, |out, Shortfall { input, lack }| {
                let mut of_input = Object::open(out);
                match self.inputs.get(input.index()) {
                    Some(name) => of_input.written("input", name),
                    None => of_input.put("input", "?"),
                }
                of_input.put("reason", lack.as_str());
            });
        }
        result.put("wait_ns", &bundle.wait_ns());
        let mut inputs = Object::open(result.member("inputs"));
        for (name, part) in self.inputs.iter().zip(&bundle.parts) {
            write_part(inputs.named(name), part);
        }
        drop(inputs);
        let mut outputs = Object::open(result.member("outputs"));
        for (step, told) in told {
            step.write(outputs.named(&step.written), told);
        }
    }

    /// Follows the critical path: from the step that finished last back to the one it waited for, and so on.
    fn timing(&self, job: &Job) -> Timing {
        let bundle = &job.bundle;
        let reference = match self.pivot {
            Some(pivot) => bundle.parts.get(pivot.index()).and_then(|part| part.samples.first()),
            None => {
                let samples = bundle.parts.iter().flat_map(|part| &part.samples);
                samples.max_by_key(|sample| sample.record.read_at)
            }
        };
        let polled_at = reference.map_or(bundle.opened_at, |sample| sample.record.polled_at);
        let read_at = reference.map_or(bundle.opened_at, |sample| sample.record.read_at);
        let produced_at = reference.and_then(|sample| sample.record.timestamp).unwrap_or(polled_at);
        let mut timing = Timing {
            kafka: polled_at.nanos_since(produced_at).max(0),
            align: bundle.closed_at.nanos_since(read_at).max(0),
            ..Timing::default()
        };
        let of = |step: usize| job.at(step).map(|report| (report.timing, step));
        let last =
            |steps: &mut dyn Iterator<Item = usize>| steps.filter_map(of).max_by_key(|(t, _)| t.finished_at);
        let mut current = last(&mut (0..self.steps.len()));
        while let Some((step, index)) = current {
            let before = last(&mut self.steps[index].waits_for.iter().copied());
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

    fn write(&self, out: &mut Vec<u8>) {
        let mut timing = Object::open(out);
        timing.put("kafka", &self.kafka);
        timing.put("align", &self.align);
        timing.put("batch", &self.batch);
        timing.put("preprocess", &self.preprocess);
        timing.put("model", &self.model);
    }

    /// All parts together, in nanoseconds.
    pub fn total(&self) -> i64 {
        self.kafka + self.align + self.batch + self.preprocess + self.model
    }
}

/// The content to report for each step.
type Told<'a> = SmallVec<[(&'a StepShown, StepContent<'a>); 2]>;

/// The content to report for a step.
enum StepContent<'a> {
    Shown(Map<String, Value>),
    /// The views of each detection.
    Each(&'a Gather, Vec<Map<String, Value>>),
    Skipped(&'a str),
}

impl StepShown {
    fn show_each(&self, rows: &[DetectionOutput]) -> Result<Vec<Map<String, Value>>, String> {
        rows.iter().map(|row| show_all(&self.views, &row.output, row.placement.as_ref())).collect()
    }

    fn write(&self, out: &mut Vec<u8>, told: &StepContent<'_>) {
        let mut of_step = Object::open(out);
        of_step.written("model", &self.model);
        of_step.written("version", &self.version);
        match told {
            StepContent::Shown(shown) => write_views(&mut of_step, shown),
            StepContent::Each(gather, rows) => {
                of_step.put("of", gather.of());
                if gather.left_out() > 0 {
                    of_step.put("left_out", &gather.left_out());
                }
                let rows = gather.detections().iter().zip(rows);
                array(of_step.member("each"), rows, |out, (detection, shown)| {
                    let mut entry = Object::open(out);
                    entry.put("index", &detection.place);
                    entry.put("box", &shown_box(&detection.found));
                    write_views(&mut entry, shown);
                });
            }
            StepContent::Skipped(why) => of_step.put("skipped", why),
        }
    }
}

fn write_views(out: &mut Object<'_>, shown: &Map<String, Value>) {
    for (name, value) in shown {
        put(out.named(&Written::of(name)), value);
    }
}

fn write_part(out: &mut Vec<u8>, part: &Part<Arc<Sample>>) {
    let mut input = Object::open(out);
    if let Some(coverage) = part.coverage {
        input.put("coverage", &coverage);
    }
    if part.held {
        input.put("held", &true);
    }
    array(input.member("samples"), &part.samples, |out, sample| {
        let Position { partition, offset } = sample.position();
        let mut source = Object::open(out);
        if sample.damage.is_found() {
            source.put("damaged", &true);
        }
        source.put("event_time_ns", &sample.event_time.as_nanos());
        source.put("offset", &offset.0);
        source.put("partition", &partition.partition);
    });
    input.put("skew_ns", &part.skew_ns);
}

#[cfg(test)]
#[path = "result_tests.rs"]
mod tests;
