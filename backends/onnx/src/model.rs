//! An ONNX model on the thread that loaded it.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use lockstep_backend::{
    BackendError, Interrupt, Model, check_inputs, checked_outputs, named, read_weights, verify_file, warm_up,
};
use lockstep_engine::infer::load_model::{Device, LoadModel};
use lockstep_engine::infer::signature::Signature;
use lockstep_engine::tensor::Tensor;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::session::{NoSelectedOutputs, RunOptions, Session, SessionInputValue};

use crate::convert::{borrowed, copied};
use crate::device::SessionDevice;
use crate::library::said;
use crate::{external, library, provider, signature};

pub(crate) struct OnnxModel {
    session: Session,
    model: LoadModel,
    options: Arc<Terminate>,
    device: String,
}

/// Makes a session of a file. With `prepack`, ONNX Runtime copies weights into the order that its kernels prefer.
pub(crate) fn session(
    file: &Path,
    device: SessionDevice,
    threads: usize,
    prepack: bool,
) -> Result<Session, String> {
    optimized(file, device, threads, prepack, GraphOptimizationLevel::Level3)
}

/// The signature that a file tells. Nothing of the graph is computed: to fold its constants may take any time and memory.
pub(crate) fn describe(file: &Path) -> Result<Signature, String> {
    if !file.is_file() {
        return Err(format!("there is no file {}", file.display()));
    }
    external::check_beside(file)
        .map_err(|why| format!("{} is not an ONNX file that loads: {why}", file.display()))?;
    signature::of(&optimized(file, SessionDevice::Cpu, 1, false, GraphOptimizationLevel::Disable)?)
}

/// The remedy for what the runtime says of a file.
fn remedy(why: &str) -> &'static str {
    if why.contains("is not a registered function/op") {
        "; export the model with operators of ONNX itself"
    } else if why.contains("is not currently registered or supported") {
        "; export the model with tensors of another type"
    } else {
        ""
    }
}

fn optimized(
    file: &Path,
    device: SessionDevice,
    threads: usize,
    prepack: bool,
    level: GraphOptimizationLevel,
) -> Result<Session, String> {
    if !file.is_file() {
        return Err(format!("there is no file {}", file.display()));
    }
    let environment = library::environment()?;
    let options = || -> ort::Result<SessionBuilder> {
        Ok(Session::builder(environment)?
            .with_optimization_level(level)?
            .with_prepacking(prepack)?
            .with_intra_threads(threads)?
            .with_inter_threads(1)?
            .with_config_entry("session.intra_op.allow_spinning", "0")?
            .with_config_entry("session.inter_op.allow_spinning", "0")?)
    };
    let options = options().map_err(|error| format!("ONNX Runtime refuses its options: {}", said(&error)))?;
    let mut options = provider::register(options, device)?;
    options.commit_from_file(file).map_err(|error| match device {
        SessionDevice::Cpu => {
            let why = said(&error);
            format!("{} is not an ONNX file that loads: {why}{}", file.display(), remedy(&why))
        }
        SessionDevice::Gpu { .. } => {
            format!("{} does not load on {}: {}", file.display(), device.name(), said(&error))
        }
    })
}

/// The place of a model. A model for the CPU does not ask for GPUs.
fn place(model: &LoadModel) -> Result<SessionDevice, String> {
    match model.device {
        Device::Cpu => Ok(SessionDevice::Cpu),
        device => library::gpu_offer()?.place(device, model.provider),
    }
}

impl OnnxModel {
    /// Loads the file, compares it with its signature, and runs it once for each warm-up size.
    pub(crate) fn load(model: &LoadModel) -> Result<Self, BackendError> {
        let refuse = |message: String| BackendError::Load { model: named(model), message };
        verify_file(model).map_err(refuse)?;
        let checkpoint = read_weights(model).map_err(refuse)?;
        external::check(model, checkpoint.as_ref()).map_err(|why| {
            refuse(format!("{} is not an ONNX file that loads: {why}", model.file.display()))
        })?;
        let prepack = model.weights.as_ref().is_none_or(|weights| weights.prepack);
        let device = place(model).map_err(refuse)?;
        let session = session(&model.file, device, model.threads, prepack).map_err(refuse)?;
        signature::check(&session, &model.signature).map_err(refuse)?;
        let options = RunOptions::new().map_err(|error| refuse(said(&error)))?;
        let mut loaded = Self {
            session,
            model: model.clone(),
            options: Arc::new(Terminate(options)),
            device: device.name(),
        };
        warm_up(&mut loaded, model)?;
        Ok(loaded)
    }

    fn forward(&mut self, inputs: &[Tensor]) -> Result<Vec<Tensor>, String> {
        let signature = &self.model.signature;
        let values = signature.inputs.iter().zip(inputs).map(|(spec, input)| {
            let value = borrowed(input).map_err(|error| said(&error))?;
            Ok((Cow::Borrowed(spec.name.as_str()), value))
        });
        let values = values.collect::<Result<Vec<(Cow<'_, str>, SessionInputValue<'_>)>, String>>()?;
        let returned =
            self.session.run_with_options(values, &self.options.0).map_err(|error| said(&error))?;
        let outputs = signature.outputs.iter().map(|spec| {
            let value = returned.get(&spec.name).ok_or_else(|| format!("output {} is missing", spec.name))?;
            copied(value).map_err(|why| format!("output {}: {why}", spec.name))
        });
        outputs.collect()
    }
}

impl Model for OnnxModel {
    fn run(&mut self, inputs: &mut [Tensor]) -> Result<Vec<Tensor>, BackendError> {
        let extents = check_inputs(&self.model, inputs)?;
        let outputs = self
            .forward(inputs)
            .map_err(|message| provider::error_of(named(&self.model), self.device.clone(), message))?;
        checked_outputs(&self.model, extents, outputs)
    }

    fn interrupt(&self) -> Option<Arc<dyn Interrupt>> {
        Some(self.options.clone())
    }

    fn device(&self) -> &str {
        &self.device
    }
}

/// The options of all runs, which another thread can ask to end.
struct Terminate(RunOptions<NoSelectedOutputs>);

impl Interrupt for Terminate {
    fn interrupt(&self) {
        if let Err(error) = self.0.terminate() {
            tracing::error!(error = said(&error), "ONNX Runtime does not end a run");
        }
    }
}
