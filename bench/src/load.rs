//! `lockstep bench load`: what control of the load promises, measured where it runs.

mod pairs;
mod policies;
mod process;
mod resharding;
mod step;
mod streams;
pub(super) mod watch;

use std::time::Duration;

use crate::bare::baseline::{BaselineLoop, Until};
use crate::bare::networks::conv_stack;
use bytes::Bytes;
use lockstep_engine::infer::load_model::Device;
use lockstep_engine::scaling::Policy;
use lockstep_engine::tensor::{DType, Tensor};
use lockstep_torch::TorchBackend;

use self::pairs::{Feeder, PairTopics, Workload, fill};
use super::drive::flood;
use super::pipelines::Folder;
use super::report::{Case, Report};
use crate::ground::Ground;
use lockstep_assemble::Failure;

/// The layers of a model slow enough that three times its rate is a small load for a broker.
const LAYERS: usize = 8;
const CHANNELS: usize = 64;
const SIDE: usize = 28;
const BATCH: usize = 8;
/// The longest measurement of the sustainable rate.
const FLOOD: Duration = Duration::from_secs(10);

const ABOUT: &str = "\
Pairs: a raw 28 x 28 image and as many bytes of another input, with the same event time, in 16 streams over 16
partitions of each; a stack of 8 convolutions in batches of 8 takes the image. First the bare model, and the rate at which
the pipeline reads what is there: what is sustainable.
`step`: the pipeline in a process of its own (policy target, limits.memory 32 MiB) gets half of that, three times that, and
half again. Memory is what is resident; the base is the most before the step. The age counts as recovered when the oldest
event without a result is at most 2 s old. What is predicted is the backlog at the end of the step by what was served in it,
less what comes. Results are read back: what is in them, late or dead-lettered is not lost.
`policy`: the same backlog, that came at three times what is sustainable, with each policy three times, each once the first;
after each a trickle of 20 pairs a second; medians. `shards`: the identity over pairs of 200 bytes at half of what it takes, at most 4000 pairs a second, while
shards go 1, 3, 2, 4, 1 and so on; samples of the 250 ms after each change, of streams that move and that stay, by those half
way to the next change. The pause of a moved stream is from the order to move until it has arrived; its 99th percentile is
the bound of a bucket.
`streams`: the identity over pairs of 200 bytes, as many in all and in one partition of each topic, whether of one stream or of many, with an
idle_timeout that suits those; by turns, medians. The memory of an idle stream is that by which a process that has read pairs of the most streams
is larger than one that has read as many pairs of 100, by their number; medians of three of each.";

/// The parts that can be measured alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum LoadPart {
    /// A step to three times the sustainable rate and back
    Step,
    /// The policies of scaling side by side
    Policy,
    /// Streams that move between shards
    Shards,
    /// One stream beside many
    Streams,
}

/// Measures these parts; all if none is named.
pub(super) fn run(ground: &Ground, parts: &[LoadPart]) -> Result<Report, Failure> {
    let wanted = |part: LoadPart| parts.is_empty() || parts.contains(&part);
    let mut cases = Vec::new();
    let mut looks = Vec::new();
    if wanted(LoadPart::Step) || wanted(LoadPart::Policy) {
        let load = LoadSetup::measure(ground)?;
        cases.push(load.rate());
        let LoadSetup { folder, workload, sustainable, .. } = load;
        if wanted(LoadPart::Step) {
            let step = step::run(ground, &folder, &workload, sustainable)?;
            cases.extend(step.cases);
            looks = step.looks;
        }
        if wanted(LoadPart::Policy) {
            cases.extend(policies::run(ground, &folder, &workload, sustainable)?);
        }
    }
    if wanted(LoadPart::Shards) {
        cases.extend(resharding::run(ground)?);
    }
    if wanted(LoadPart::Streams) {
        cases.extend(streams::run(ground)?);
    }
    Ok(Report { looks, ..Report::new("load", ABOUT, cases) })
}

/// A model slow enough to be overrun, and what of it can be sustained.
struct LoadSetup {
    folder: Folder,
    workload: Workload,
    /// Images a second of the model alone.
    bare: f64,
    /// Pairs a second.
    sustainable: f64,
}

impl LoadSetup {
    fn measure(ground: &Ground) -> Result<Self, Failure> {
        let folder = Folder::new()?;
        let workload = convolutions();
        let flood_lasts = FLOOD.min(ground.budget);
        let bare = bare(&folder, flood_lasts.div_f64(2.0))?;
        let sustainable = sustainable(ground, &folder, &workload, bare * flood_lasts.as_secs_f64())?;
        eprintln!("load: the model alone takes {bare:.0} images/s, the pipeline {sustainable:.0} pairs/s");
        Ok(Self { folder, workload, bare, sustainable })
    }

    fn rate(&self) -> Case {
        Case::against("sustainable, by the bare model", self.sustainable, self.bare, "pairs/s")
    }
}

/// The convolutions over raw images.
fn convolutions() -> Workload {
    let side = SIDE * SIDE * 3;
    let image: Vec<u8> = (0..side).map(|place| (place * 37 % 256) as u8).collect();
    Workload {
        content_type: format!("image/x-rgb;width={SIDE};height={SIDE}"),
        values: [Bytes::from(image.clone()), Bytes::from(image)],
        step: format!(
            "[steps.model]\nmodel = \"conv-stack\"\ndevice = \"cpu\"\nwarm_up = [1, {BATCH}]\n\
             batch = {{ max_size = {BATCH}, max_delay = \"5ms\" }}\n\n\
             [steps.model.inputs]\n\
             input = {{ from = \"first\", image = {{ width = {SIDE}, height = {SIDE} }} }}\n\n\
             [steps.model.outputs]\ntop = {{ topk = {{ output = \"output\", k = 3 }} }}\n\n"
        ),
    }
}

/// Images a second of the model alone.
fn bare(folder: &Folder, lasts: Duration) -> Result<f64, Failure> {
    let file = conv_stack(LAYERS, CHANNELS, SIDE)?.write(folder.path())?;
    let bare = BaselineLoop {
        file,
        device: Device::Cpu,
        threads: 1,
        warm_up: 3,
        until: Until::Elapsed(lasts),
        ahead: false,
    };
    let batch = Tensor::zeros(DType::F32, &[BATCH, 3, SIDE, SIDE]);
    let run = || bare.run(&TorchBackend::new([Device::Cpu]), std::slice::from_ref(&batch));
    let outcome = std::thread::scope(|scope| scope.spawn(run).join());
    let bare = outcome.map_err(|_| "the bare loop's thread panicked")??;
    Ok(bare.batches as f64 * BATCH as f64 / bare.seconds)
}

/// Measures the sustainable rate in pairs a second, over about this number of pairs that wait in Kafka.
fn sustainable(ground: &Ground, folder: &Folder, workload: &Workload, pairs: f64) -> Result<f64, Failure> {
    let topics = PairTopics::new(ground)?;
    let pipeline = workload.pipeline(ground, folder, &topics, Policy::Target)?;
    let wanted = pairs.ceil() as u64;
    let pairs = workload.room(ground).map_or(wanted, |room| wanted.min(room)).max(1);
    fill(Feeder::start(&pipeline.kafka, &topics, &workload.values)?, pairs, 1000.0)?;
    Ok(pairs as f64 / flood(pipeline, pairs, false)?.seconds)
}
