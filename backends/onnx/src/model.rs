//! An ONNX model on the thread that loaded it.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use lockstep_backend::{
    BackendError, Interrupt, Model, check_inputs, checked_outputs, named, read_weights, verify_file, warm_up,
};
use lockstep_engine::infer::load_model::{Device, LoadModel};
use lockstep_engine::tensor::Tensor;
use ort::session::builder::GraphOptimizationLevel;
use ort::session::{NoSelectedOutputs, RunOptions, Session, SessionInputValue};

use crate::convert::{borrowed, copied};
use crate::{external, library, signature};

pub(crate) struct OnnxModel {
    session: Session,
    model: LoadModel,
    options: Arc<Terminate>,
    device: String,
}

/// Makes a session of a file. With `prepack`, ONNX Runtime copies weights into the order that its kernels prefer.
pub(crate) fn session(file: &Path, device: Device, threads: usize, prepack: bool) -> Result<Session, String> {
    if let Device::Cuda(index) = device {
        return Err(format!(
            "the device is cuda:{index}; the fetched ONNX Runtime runs models on the cpu only"
        ));
    }
    if !file.is_file() {
        return Err(format!("there is no file {}", file.display()));
    }
    let environment = library::environment()?;
    let made = || -> ort::Result<Session> {
        Session::builder(environment)?
            .with_optimization_level(GraphOptimizationLevel::Level3)?
            .with_prepacking(prepack)?
            .with_intra_threads(threads)?
            .with_inter_threads(1)?
            .with_config_entry("session.intra_op.allow_spinning", "0")?
            .with_config_entry("session.inter_op.allow_spinning", "0")?
            .commit_from_file(file)
    };
    made().map_err(|error| format!("{} is not an ONNX file that loads: {}", file.display(), said(&error)))
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
        let session = session(&model.file, model.device, model.threads, prepack).map_err(refuse)?;
        signature::check(&session, &model.signature).map_err(refuse)?;
        let options = RunOptions::new().map_err(|error| refuse(said(&error)))?;
        let mut loaded = Self {
            session,
            model: model.clone(),
            options: Arc::new(Terminate(options)),
            device: "cpu".to_owned(),
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
            .map_err(|message| BackendError::Run { model: named(&self.model), message })?;
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

/// The runtime's message in one line.
fn said(error: &ort::Error) -> String {
    error.message().split_whitespace().collect::<Vec<_>>().join(" ")
}
