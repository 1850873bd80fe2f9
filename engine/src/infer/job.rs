//! A bundle on its way through the steps of a pipeline. Independent steps run side by side. The report that completes
//! what a step waits for returns that step, exactly once.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use smallvec::SmallVec;

use crate::align::Bundle;
use crate::batch::Batchable;
use crate::fault::{Fault, Reason, StageKind};
use crate::infer::condition::{ShownOperand, ShownValue, StepCondition};
use crate::infer::gather::Gather;
use crate::infer::step::{BindingSource, OnMissing, Step};
use crate::infer::tracks::ShownTracks;
use crate::infer::view::LabelledView;
use crate::sample::{Sample, StreamKey};
use crate::time::Timestamp;

pub use crate::infer::report::{DetectionOutput, StepFailure, StepOutcome, StepReport, StepTiming};

/// The dependencies between steps.
#[derive(Clone, Debug)]
pub struct Graph {
    names: Vec<String>,
    /// For each step, the steps that it waits for.
    awaits: Vec<Vec<usize>>,
    /// For each step, its sources.
    sources: Vec<Vec<(BindingSource, OnMissing)>>,
    /// For each step, the steps that wait for it.
    feeds: Vec<Vec<usize>>,
    /// For each step, the condition on which it runs.
    conditions: Vec<Option<StepCondition<ShownOperand>>>,
    /// For each step, the views of its outputs.
    views: Vec<Vec<LabelledView>>,
    input_names: Vec<String>,
    /// For each step, the detections for each of which it runs.
    each: Vec<Option<DetectionRule>>,
}

/// The choice of detections for which a step runs.
#[derive(Clone, Debug)]
struct DetectionRule {
    step: usize,
    view: usize,
    /// The names of step and view.
    name: String,
    most: usize,
}

impl Graph {
    /// The graph of a pipeline's steps with their views and the names of its inputs. Each step comes after those that it
    /// waits for.
    pub fn new(steps: &[Step], views: Vec<Vec<LabelledView>>, input_names: Vec<String>) -> Self {
        let mut graph = Self {
            names: steps.iter().map(|step| step.name.clone()).collect(),
            awaits: steps.iter().map(Step::waits_for).collect(),
            sources: steps.iter().map(Step::sources).collect(),
            feeds: vec![Vec::new(); steps.len()],
            conditions: steps.iter().map(|step| step.when.clone()).collect(),
            views,
            input_names,
            each: steps.iter().map(|step| DetectionRule::of(step, steps)).collect(),
        };
        for index in 0..steps.len() {
            for before in &graph.awaits[index] {
                graph.feeds[*before].push(index);
            }
        }
        graph
    }
}

impl DetectionRule {
    fn of(step: &Step, steps: &[Step]) -> Option<Self> {
        let each = step.each.as_ref()?;
        let from = steps.get(each.step)?;
        let shown = from.outputs.get(each.view)?;
        let name = format!("{}.{}", from.name, shown.name);
        Some(Self { step: each.step, view: each.view, name, most: each.most })
    }
}

/// The next actions after a report.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct NextSteps {
    /// Steps whose inputs are now complete.
    pub steps: SmallVec<[usize; 4]>,
    /// True if all steps are done: the bundle is ready to publish.
    pub finished: bool,
}

/// One bundle in flight.
#[derive(Debug)]
pub struct Job {
    /// Unique in the process.
    pub id: u64,
    /// The aligned samples.
    pub bundle: Bundle<Arc<Sample>>,
    /// One inline: most pipelines have one model, and every bundle makes a job.
    reports: SmallVec<[OnceLock<StepReport>; 1]>,
    /// The rows of steps that run once per detection, from when they are ready.
    gathers: SmallVec<[OnceLock<Gather>; 0]>,
    waiting: SmallVec<[AtomicUsize; 2]>,
    unfinished: AtomicUsize,
    /// The tracks of the detections, kept since a result that the broker refuses is made again.
    tracks: OnceLock<Box<[ShownTracks]>>,
}

impl Batchable for Arc<Job> {
    fn stream(&self) -> &StreamKey {
        &self.bundle.stream
    }

    fn event_time(&self) -> Timestamp {
        self.bundle.event_time
    }
}

impl Job {
    /// Starts a job for a bundle, and returns the steps that can begin. Steps that lack an input are skipped, with all
    /// that depend on them.
    pub fn start(
        id: u64,
        bundle: Bundle<Arc<Sample>>,
        graph: &Graph,
        now: Timestamp,
    ) -> (Arc<Self>, NextSteps) {
        let job = Self {
            id,
            bundle,
            reports: graph.awaits.iter().map(|_| OnceLock::new()).collect(),
            gathers: match graph.each.iter().any(Option::is_some) {
                true => graph.awaits.iter().map(|_| OnceLock::new()).collect(),
                false => SmallVec::new(),
            },
            waiting: graph.awaits.iter().map(|steps| AtomicUsize::new(steps.len())).collect(),
            unfinished: AtomicUsize::new(graph.awaits.len()),
            tracks: OnceLock::new(),
        };
        let mut next = NextSteps::default();
        for step in 0..graph.awaits.len() {
            if graph.awaits[step].is_empty() {
                job.enter(step, graph, now, &mut next);
            }
        }
        (Arc::new(job), next)
    }

    /// Stores the report of a row at a step, and returns the next actions once all rows have theirs. A second report of the
    /// same row is ignored.
    pub fn report(
        &self,
        (step, row): (usize, usize),
        report: StepReport,
        graph: &Graph,
        now: Timestamp,
    ) -> NextSteps {
        let mut next = NextSteps::default();
        let whole = match self.gather(step) {
            Some(gather) => gather.report(row, report),
            None => Some(report),
        };
        if let Some(report) = whole {
            self.leave(step, report, graph, now, &mut next);
        }
        next
    }

    /// The number of rows of the bundle at a step that is ready to run.
    pub fn rows(&self, step: usize) -> usize {
        self.gather(step).map_or(1, |gather| gather.detections().len())
    }

    /// The detections for each of which a step runs, once it is ready and if it runs so.
    pub fn gather(&self, step: usize) -> Option<&Gather> {
        self.gathers.get(step).and_then(OnceLock::get)
    }

    /// The report of a step, once it is there.
    pub fn at(&self, step: usize) -> Option<&StepReport> {
        self.reports.get(step).and_then(OnceLock::get)
    }

    /// The assignment under which the first sample was read, as [`Sample::assignment`] counts them.
    pub fn assignment(&self) -> u32 {
        let mut samples = self.bundle.parts.iter().flat_map(|part| &part.samples);
        samples.next().map_or(0, |sample| sample.assignment)
    }

    /// The first failure in the order of the steps, if any.
    pub fn failure(&self) -> Option<&StepFailure> {
        self.reports.iter().filter_map(OnceLock::get).find_map(|report| match &report.outcome {
            StepOutcome::Failed(failure) => Some(failure),
            _ => None,
        })
    }

    /// The tracks of the detections in its result, once the publisher has chosen them.
    pub fn tracks(&self) -> &[ShownTracks] {
        self.tracks.get().map_or(&[], |tracks| tracks)
    }

    /// Stores the tracks of the detections in its result. The first ones stay.
    pub fn set_tracks(&self, tracks: Box<[ShownTracks]>) {
        // Tracks that are there were in a result already.
        let _ = self.tracks.set(tracks);
    }

    fn enter(&self, step: usize, graph: &Graph, now: Timestamp, next: &mut NextSteps) {
        let ended = match self.obstacle(step, graph) {
            Some(why) => Some(StepOutcome::Skipped(why)),
            None => self.spread(step, graph),
        };
        let Some(outcome) = ended else { return next.steps.push(step) };
        let timing =
            StepTiming { ready_at: now, cut_at: now, prepared_at: now, started_at: now, finished_at: now };
        self.leave(step, StepReport { outcome, timing }, graph, now, next);
    }

    /// Lays out the rows of a step that runs once per detection. Returns the outcome of a step that has no row to run.
    fn spread(&self, step: usize, graph: &Graph) -> Option<StepOutcome> {
        let rule = graph.each.get(step)?.as_ref()?;
        let found = match self.at(rule.step).map(|report| &report.outcome) {
            Some(StepOutcome::Done { output, placement }) => {
                let view = graph.views.get(rule.step).and_then(|views| views.get(rule.view));
                let found = view.map(|view| view.found(output, placement.as_ref()));
                found.unwrap_or_else(|| Err("there is no such view".to_owned()))
            }
            _ => Err("the step has no outputs".to_owned()),
        };
        let found = match found {
            Ok(found) => found,
            Err(why) => {
                let message = format!("{}: {why}", rule.name);
                let fault = Fault::new(StageKind::Infer, Reason::ModelFailed, message);
                return Some(StepOutcome::Failed(StepFailure { fault, culprit: None }));
            }
        };
        let Some(gather) = Gather::new(&rule.name, found, rule.most) else {
            return Some(StepOutcome::Skipped(format!("no detections in {}", rule.name)));
        };
        // A step is entered once, so the slot is empty.
        let _ = self.gathers.get(step)?.set(gather);
        None
    }

    /// The reason why a step cannot run although its inputs are complete.
    fn obstacle(&self, step: usize, graph: &Graph) -> Option<String> {
        if self.bundle.is_repeated {
            return Some(format!("unchanged since revision {}", self.bundle.revision));
        }
        let failed = graph.awaits[step].iter().find(|before| {
            self.at(**before).is_some_and(|report| matches!(report.outcome, StepOutcome::Failed(_)))
        });
        if let Some(before) = failed {
            return Some(format!("step {} failed", graph.names[*before]));
        }
        let lack = |source: BindingSource| match source {
            BindingSource::Input(input) => {
                format!(
                    "input {} is missing",
                    graph.input_names.get(input.index()).map_or("?", String::as_str)
                )
            }
            BindingSource::Step(before) => format!("step {} was skipped", graph.names[before]),
        };
        let sources = &graph.sources[step];
        let is_missing = |source: &&(BindingSource, OnMissing)| !self.has(source.0);
        if let Some((source, _)) =
            sources.iter().filter(is_missing).find(|(_, on_missing)| *on_missing == OnMissing::Skip)
        {
            return Some(lack(*source));
        }
        if let Some((first, _)) = sources.first()
            && sources.iter().all(|source| is_missing(&source))
        {
            return Some(format!("all of its sources are missing: {}", lack(*first)));
        }
        graph.conditions[step].as_ref()?.unmet(|operand| self.shown(operand, graph))
    }

    /// True if the bundle has a source of a tensor: a sample of the input, or the step's outputs.
    pub fn has(&self, source: BindingSource) -> bool {
        match source {
            BindingSource::Input(input) => {
                self.bundle.parts.get(input.index()).is_some_and(|part| !part.samples.is_empty())
            }
            BindingSource::Step(step) => {
                let is_done = |outcome: &StepOutcome| {
                    matches!(outcome, StepOutcome::Done { .. } | StepOutcome::DoneEach(_))
                };
                self.at(step).is_some_and(|report| is_done(&report.outcome))
            }
        }
    }

    /// The value that a step shows.
    ///
    /// # Errors
    /// The reason why it is unknown.
    pub fn shown(&self, operand: &ShownOperand, graph: &Graph) -> Result<ShownValue, String> {
        let output = self.at(operand.step).map(|report| &report.outcome);
        let Some(StepOutcome::Done { output, placement }) = output else {
            return Err(format!("step {} was skipped", operand.path.step));
        };
        let view = graph.views.get(operand.step).and_then(|views| views.get(operand.view));
        let value = view.map_or(Ok(None), |view| view.value(operand.field, output, placement.as_ref()))?;
        value.ok_or_else(|| format!("{} is null", operand.path))
    }

    fn leave(&self, step: usize, report: StepReport, graph: &Graph, now: Timestamp, next: &mut NextSteps) {
        let Some(slot) = self.reports.get(step) else { return };
        if slot.set(report).is_err() {
            return;
        }
        for later in &graph.feeds[step] {
            if self.waiting[*later].fetch_sub(1, Ordering::AcqRel) == 1 {
                self.enter(*later, graph, now, next);
            }
        }
        if self.unfinished.fetch_sub(1, Ordering::AcqRel) == 1 {
            next.finished = true;
        }
    }
}

#[cfg(test)]
#[path = "job_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "job_each_tests.rs"]
mod each_tests;
