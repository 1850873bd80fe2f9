//! `lockstep bench gpu`: ResNet-50 on an NVIDIA GPU, by one record at a time, asynchronously, and
//! asynchronously in batches, beside the bare forward loop.

use std::time::Duration;

use crate::bare::baseline::{Baseline, BaselineLoop, Until};
use crate::bare::networks::resnet50;
use crate::bare::nvml::Nvml;
use bytes::Bytes;
use lockstep_backend::Backend;
use lockstep_engine::infer::load_model::Device;
use lockstep_engine::pipeline::Pipeline;
use lockstep_engine::tensor::{DType, Tensor};
use lockstep_kafka::baseline;
use lockstep_torch::TorchBackend;

use super::drive::{Round, Span, drive, flood};
use super::feed::Feed;
use super::latency::settled;
use super::pipelines::{Folder, Plan, Topics};
use super::report::{Case, Goal, Report, quantile};
use crate::ground::{Ground, PARTITION_BYTES};
use lockstep_assemble::Failure;

const PARTITIONS: i32 = 64;
/// Records are raw images of this side, scaled up to the network's 224: small, so that the broker is not
/// what is measured.
const SIDE: usize = 96;
const NETWORK: usize = 224;
const MAX_DELAY_US: u64 = 5000;

const ABOUT: &str = "\
ResNet-50 with random weights in f32 on raw 96 x 96 RGB images. `one at a time`: each record is sent when the result of
the one before has been acknowledged. `asynchronous`: all records are there, batches of 1. `batched`: the same in
batches. Latencies run from when a record was due (one at a time, at its rate) or polled (else) to its result's
acknowledgement. `at its rate`: records come due at the rate that one at a time reaches alone; there its loop is under
load, and batching is compared with it. Theirs is the bare forward loop at the same batch size over a batch that lies on
the device. Busy is NVML's share of time with a kernel running.";

/// Returns true if the device and its model are available, and prints the reason if not.
pub(super) fn is_there(device: &str) -> Result<bool, Failure> {
    let device = parse(device)?;
    let devices = TorchBackend::new([device]).devices();
    if device == Device::Cpu || devices.iter().any(|found| found.starts_with("cuda:")) {
        return Ok(true);
    }
    eprintln!(
        "there is no NVIDIA GPU that libtorch can use here, so there are no figures. On a machine with one, put the \
         lib folder of a full libtorch 2.11.0 with CUDA first in LD_LIBRARY_PATH and see that nvidia-smi works."
    );
    Ok(false)
}

fn parse(device: &str) -> Result<Device, Failure> {
    match device.strip_prefix("cuda:").map(str::parse) {
        Some(Ok(index)) => Ok(Device::Cuda(index)),
        None if device == "cpu" => Ok(Device::Cpu),
        _ => Err(format!("--device is {device:?}; write cuda:0 or cpu").into()),
    }
}

struct GpuBench<'a> {
    ground: &'a Ground,
    folder: Folder,
    device: &'a str,
    bare: BaselineLoop,
    nvml: Option<Nvml>,
    gpu: u32,
    /// The bundles of a batch.
    batch: usize,
    image: Vec<u8>,
}

pub(super) fn run(ground: &Ground, device: &str) -> Result<Report, Failure> {
    let place = parse(device)?;
    let small = place == Device::Cpu;
    let folder = Folder::new()?;
    let file = resnet50()?.write(folder.path())?;
    let nvml = if small { None } else { Nvml::load().map_err(|why| eprintln!("{why}")).ok() };
    let bench = GpuBench {
        ground,
        folder,
        device,
        bare: BaselineLoop {
            file,
            device: place,
            threads: 1,
            warm_up: if small { 1 } else { 20 },
            until: Until::Elapsed(ground.budget / 4),
            ahead: true,
        },
        nvml,
        gpu: if let Device::Cuda(index) = place { u32::try_from(index)? } else { 0 },
        batch: if small { 2 } else { 32 },
        image: (0..3 * SIDE * SIDE).map(|place| (place * 37 % 256) as u8).collect(),
    };
    let mut cases = Vec::new();

    let (single, _) = bench.bare_loop(1)?;
    let single_rate = rate_of(&single, 1);
    let topics = Topics::new(ground, PARTITIONS)?;
    let records = ((single_rate * ground.budget.as_secs_f64() / 4.0) as u64).max(8);
    let feed = bench.feed(&topics, records, Duration::ZERO, true);
    let (alone, busy) = bench.busy(|| bench.paced(&topics, 1, &feed))?;
    let alone_rate = records as f64 / alone.seconds;
    bench.tell(&mut cases, "one at a time", alone_rate, &single, 1, busy);
    latencies(&mut cases, "one at a time", &settled(alone.spans), false);

    for (name, size) in [("asynchronous", 1), ("batched", bench.batch)] {
        let (theirs, _) = bench.bare_loop(size)?;
        let (topics, records) = bench.filled(rate_of(&theirs, size))?;
        flood(bench.pipeline(&topics, size)?, records, false)?;
        let (round, busy) = bench.busy(|| flood(bench.pipeline(&topics, size)?, records, true))?;
        bench.tell(&mut cases, name, records as f64 / round.seconds, &theirs, size, busy);
        latencies(&mut cases, name, &settled(round.spans), true);
    }

    let every = Duration::from_secs_f64(1.0 / alone_rate);
    let under_load = |size: usize, one_at_a_time: bool| -> Result<f64, Failure> {
        let topics = Topics::new(ground, PARTITIONS)?;
        let feed = bench.feed(&topics, records, every, one_at_a_time);
        let spans = settled(bench.paced(&topics, size, &feed)?.spans);
        Ok(quantile(&millis(&spans, false), 0.5))
    };
    let (loaded, batched) = (under_load(1, true)?, under_load(bench.batch, false)?);
    let name = format!("batched against one at a time, at its rate of {alone_rate:.0}/s, p50");
    cases.push(Case::against(name, batched, loaded, "ms").goal(Goal::RatioAtMost(0.5)));
    Ok(Report::new("gpu", ABOUT, cases))
}

impl GpuBench<'_> {
    fn pipeline(&self, topics: &Topics, max_size: usize) -> Result<Pipeline, Failure> {
        let content_type = format!("image/x-rgb;width={SIDE};height={SIDE}");
        let plan = Plan {
            content_type: &content_type,
            model: "resnet50",
            binding: &format!(
                "input = {{ from = \"records\", image = {{ width = {NETWORK}, height = {NETWORK} }} }}"
            ),
            outputs: "top = { topk = { output = \"output\", k = 5 } }",
            max_size,
            max_delay_us: MAX_DELAY_US,
            device: self.device,
        };
        plan.pipeline(self.ground, &self.folder, topics)
    }

    fn bare_loop(&self, size: usize) -> Result<(Baseline, Option<f64>), Failure> {
        let batch = Tensor::zeros(DType::F32, &[size, 3, NETWORK, NETWORK]);
        let run = || self.bare.run(&TorchBackend::new([self.bare.device]), std::slice::from_ref(&batch));
        let on_thread = || std::thread::scope(|scope| scope.spawn(run).join());
        self.busy(|| Ok(on_thread().map_err(|_| "the bare loop's thread panicked")??))
    }

    /// Topics that hold records for a quarter of the time at a rate, as many as fit.
    fn filled(&self, rate: f64) -> Result<(Topics, u64), Failure> {
        let topics = Topics::new(self.ground, PARTITIONS)?;
        let most = (PARTITION_BYTES / (self.image.len() + 100)) as u64;
        let wanted = (rate * self.ground.budget.as_secs_f64() / 4.0 / f64::from(PARTITIONS)).ceil();
        let each = (wanted as u64).clamp(1, most);
        baseline::fill(&self.ground.brokers, &topics.input, PARTITIONS, each, &self.image)?;
        Ok((topics, each * u64::from(PARTITIONS.unsigned_abs())))
    }

    fn feed(&self, topics: &Topics, records: u64, every: Duration, one_at_a_time: bool) -> Feed {
        let value = Bytes::copy_from_slice(&self.image);
        Feed { topic: topics.input.as_str().into(), value, records, every, one_at_a_time }
    }

    fn paced(&self, topics: &Topics, max_size: usize, feed: &Feed) -> Result<Round, Failure> {
        let pipeline = self.pipeline(topics, max_size)?;
        let kafka = pipeline.kafka.clone();
        drive(pipeline, feed.records, true, |live| feed.run(&kafka, live))
    }

    fn busy<T>(&self, work: impl FnOnce() -> Result<T, Failure>) -> Result<(T, Option<f64>), Failure> {
        match &self.nvml {
            Some(nvml) => {
                let (outcome, busy) = nvml.busy_while(self.gpu, work);
                Ok((outcome?, busy))
            }
            None => Ok((work()?, None)),
        }
    }

    fn tell(
        &self,
        cases: &mut Vec<Case>,
        name: &str,
        rate: f64,
        bare: &Baseline,
        size: usize,
        busy: Option<f64>,
    ) {
        let batched = size > 1;
        let case = Case::against(format!("{name}, throughput"), rate, rate_of(bare, size), "records/s");
        cases.push(if batched { case.goal(Goal::RatioAtLeast(0.95)) } else { case });
        if let Some(busy) = busy {
            let case = Case::alone(format!("{name}, GPU busy"), busy, "share");
            cases.push(if batched { case.goal(Goal::AtLeast(0.95)) } else { case });
        }
    }
}

fn rate_of(bare: &Baseline, size: usize) -> f64 {
    bare.batches as f64 * size as f64 / bare.seconds
}

fn latencies(cases: &mut Vec<Case>, name: &str, spans: &[Span], from_poll: bool) {
    let all = millis(spans, from_poll);
    cases.push(Case::alone(format!("{name}, latency p50"), quantile(&all, 0.5), "ms"));
    cases.push(Case::alone(format!("{name}, latency p99"), quantile(&all, 0.99), "ms"));
}

fn millis(spans: &[Span], from_poll: bool) -> Vec<f64> {
    let since = |span: &Span| if from_poll { span.polled_at } else { span.event_time };
    spans.iter().map(|span| span.acknowledged_at.nanos_since(since(span)) as f64 / 1e6).collect()
}
