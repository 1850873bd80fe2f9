//! `lockstep bench efficiency`: how much of a model's own speed is left with everything around it.

use crate::bare::baseline::{Baseline, BaselineLoop, Until};
use crate::bare::networks::conv_stack;
use lockstep_engine::infer::load_model::Device;
use lockstep_engine::tensor::{DType, Tensor};
use lockstep_kafka::baseline;
use lockstep_torch::TorchBackend;

use super::drive::flood;
use super::overhead::by_turns;
use super::pipelines::{Folder, Plan, Topics};
use super::report::{Case, Goal, Report, median};
use crate::ground::{Ground, PARTITION_BYTES};
use lockstep_assemble::Failure;

/// The bundles of a batch.
pub(super) const BATCH: usize = 8;
const LAYERS: usize = 4;
const CHANNELS: usize = 32;
const SIDE: usize = 28;
const PARTITIONS: i32 = 16;
/// The length of a round, in seconds.
const ROUND: f64 = 3.0;

const ABOUT: &str = "\
A pipeline of raw 28 x 28 RGB images and a stack of 4 convolutions at batches of 8, against libtorch's bare forward
loop over one prepared batch, by turns in one process, each with one thread inside the model; medians. Ours counts
from the first record polled to the last acknowledgement: Kafka, preprocessing and results are part of it.";

/// The model, its pipeline and its bare loop.
pub(super) struct Stack {
    folder: Folder,
    bare: BaselineLoop,
    binding: String,
}

impl Stack {
    pub(super) fn new() -> Result<Self, Failure> {
        let folder = Folder::new()?;
        let file = conv_stack(LAYERS, CHANNELS, SIDE)?.write(folder.path())?;
        let bare = BaselineLoop {
            file,
            device: Device::Cpu,
            threads: 1,
            warm_up: 5,
            until: Until::Elapsed(std::time::Duration::from_secs_f64(ROUND)),
            ahead: false,
        };
        let binding =
            format!("input = {{ from = \"records\", image = {{ width = {SIDE}, height = {SIDE} }} }}");
        Ok(Self { folder, bare, binding })
    }

    /// The bare loop, on a thread of its own as an instance has one.
    pub(super) fn bare(&self) -> Result<Baseline, Failure> {
        let batch = Tensor::zeros(DType::F32, &[BATCH, 3, SIDE, SIDE]);
        let run = || self.bare.run(&TorchBackend::new([Device::Cpu]), std::slice::from_ref(&batch));
        let outcome = std::thread::scope(|scope| scope.spawn(run).join());
        Ok(outcome.map_err(|_| "the bare loop's thread panicked")??)
    }

    /// The pipeline, with a batch delay in microseconds.
    pub(super) fn pipeline(
        &self,
        ground: &Ground,
        topics: &Topics,
        max_delay_us: u64,
    ) -> Result<lockstep_engine::pipeline::Pipeline, Failure> {
        let content_type = format!("image/x-rgb;width={SIDE};height={SIDE}");
        let plan = Plan {
            content_type: &content_type,
            model: "conv-stack",
            binding: &self.binding,
            outputs: "top = { topk = { output = \"output\", k = 3 } }",
            max_size: BATCH,
            max_delay_us,
            device: "cpu",
        };
        plan.pipeline(ground, &self.folder, topics)
    }
}

/// A raw image that the stack takes.
pub(super) fn image() -> Vec<u8> {
    (0..3 * SIDE * SIDE).map(|place| (place * 37 % 256) as u8).collect()
}

/// Fills the input with records for about a round, as many as fit, and says how many.
pub(super) fn fill(ground: &Ground, topics: &Topics, rate: f64) -> Result<u64, Failure> {
    let image = image();
    let most = (PARTITION_BYTES / (image.len() + 100)) as u64;
    let wanted = (rate * ROUND / f64::from(PARTITIONS)).ceil() as u64;
    let each = wanted.clamp(1, most);
    baseline::fill(&ground.brokers, &topics.input, PARTITIONS, each, &image)?;
    Ok(each * u64::from(PARTITIONS.unsigned_abs()))
}

/// Topics of this bench's size.
pub(super) fn topics(ground: &Ground) -> Result<Topics, Failure> {
    Topics::new(ground, PARTITIONS)
}

pub(super) fn run(ground: &Ground) -> Result<Report, Failure> {
    let stack = Stack::new()?;
    let first = stack.bare()?;
    let rate = bundles_per_second(&first);
    let topics = topics(ground)?;
    let records = fill(ground, &topics, rate)?;
    eprintln!(
        "efficiency: {:.2} ms a batch of {BATCH} in the bare loop; {records} records a round",
        first.p50 * 1e3
    );
    let ours = || -> Result<f64, Failure> {
        Ok(records as f64 / flood(stack.pipeline(ground, &topics, 5000)?, records, false)?.seconds)
    };
    let theirs = || -> Result<f64, Failure> { Ok(bundles_per_second(&stack.bare()?)) };
    ours()?;
    let (ours, theirs) = by_turns(ground.budget, ours, theirs)?;
    let name = format!("batch of {BATCH}, {:.1} ms a batch", first.p50 * 1e3);
    let case =
        Case::against(name, median(&ours), median(&theirs), "bundles/s").goal(Goal::RatioAtLeast(0.95));
    Ok(Report::new("efficiency", ABOUT, vec![case]))
}

fn bundles_per_second(bare: &Baseline) -> f64 {
    bare.batches as f64 * BATCH as f64 / bare.seconds
}
