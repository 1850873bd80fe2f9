//! The bare forward loop of libtorch: one thread, one batch after the other, nothing around it. The benchmarks compare
//! the engine with it.

#![allow(clippy::disallowed_methods, reason = "it measures: it reads the clock itself")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use lockstep_engine::infer::load_model::Device;
use lockstep_engine::tensor::Tensor;
use tch::{CModule, IValue, TchError};

use lockstep_torch::{Staged, TorchBackend, ready_thread, said};

/// The settings of a loop.
#[derive(Clone, Debug)]
pub struct BaselineLoop {
    /// The TorchScript file.
    pub file: PathBuf,
    /// The device.
    pub device: Device,
    /// Threads inside one operation.
    pub threads: usize,
    /// Batches that run first and are not measured.
    pub warm_up: usize,
    /// The end of the loop.
    pub until: Until,
    /// On a GPU, true if batches are queued without waiting for each: that gives the highest throughput, and the
    /// latencies are those of queuing. No effect on the CPU.
    pub ahead: bool,
}

/// The end of a loop.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// After this number of batches.
    Batches(u64),
    /// After this time.
    Elapsed(Duration),
}

/// The measurements of a loop.
#[derive(Clone, Debug)]
pub struct Baseline {
    /// Batches run.
    pub batches: u64,
    /// Total seconds.
    pub seconds: f64,
    /// The median of a batch, in seconds.
    pub p50: f64,
    /// The 99th percentile of a batch, in seconds.
    pub p99: f64,
}

impl BaselineLoop {
    /// Runs the loop on the calling thread over one batch, again and again. The batch is on the device from the start:
    /// only `forward` is measured.
    ///
    /// # Errors
    /// libtorch's message.
    pub fn run(&self, backend: &TorchBackend, inputs: &[Tensor]) -> Result<Baseline, String> {
        let device = backend.place(self.device)?;
        ready_thread(self.threads)?;
        tch::no_grad(|| self.measure(device, inputs)).map_err(|error| said(&error))
    }

    /// Runs the loop as [`Self::run`], on the CPU.
    ///
    /// # Errors
    /// libtorch's message.
    pub fn run_on_cpu(&self, inputs: &[Tensor]) -> Result<Baseline, String> {
        self.run(&TorchBackend::new([Device::Cpu]), inputs)
    }

    fn measure(&self, device: tch::Device, inputs: &[Tensor]) -> Result<Baseline, TchError> {
        let mut module = CModule::load_on_device(&self.file, device)?;
        module.f_set_eval()?;
        let arguments = inputs
            .iter()
            .map(|input| Staged::default().fill(input, device).map(IValue::Tensor))
            .collect::<Result<Vec<_>, _>>()?;
        let wait = || {
            if let tch::Device::Cuda(index) = device {
                tch::Cuda::synchronize(i64::try_from(index).unwrap_or(0));
            }
        };
        for _ in 0..self.warm_up {
            drop(module.forward_is(&arguments)?);
        }
        wait();
        let mut took = Vec::new();
        let begin = Instant::now();
        let done = |batches: usize, begin: Instant| match self.until {
            Until::Batches(count) => batches as u64 >= count,
            Until::Elapsed(span) => begin.elapsed() >= span,
        };
        while !done(took.len(), begin) {
            let from = Instant::now();
            drop(module.forward_is(&arguments)?);
            if !self.ahead {
                wait();
            }
            took.push(from.elapsed().as_secs_f64());
        }
        wait();
        let seconds = begin.elapsed().as_secs_f64();
        took.sort_unstable_by(f64::total_cmp);
        let at = |share: f64| {
            let place = (took.len() as f64 * share).ceil() as usize;
            took.get(place.saturating_sub(1)).copied().unwrap_or(0.0)
        };
        Ok(Baseline { batches: took.len() as u64, seconds, p50: at(0.5), p99: at(0.99) })
    }
}
