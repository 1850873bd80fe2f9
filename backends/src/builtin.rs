//! Models that need no runtime. There is one, the identity: each output is the input in its place. It is
//! for pipelines that only align and convert, and for measuring what everything but the model costs.

use lockstep_engine::infer::backend::{Backend, BackendError, Device, LoadModel, Model};
use lockstep_engine::infer::extents::Extents;
use lockstep_engine::tensor::Tensor;

/// The backend `builtin`.
#[derive(Debug, Default)]
pub struct Builtin;

impl Backend for Builtin {
    fn name(&self) -> &'static str {
        "builtin"
    }

    fn load(&self, model: &LoadModel) -> Result<Box<dyn Model>, BackendError> {
        let refuse = |message: String| BackendError::Load { model: named(model), message };
        if let Device::Cuda(index) = model.device {
            return Err(refuse(format!("the device is cuda:{index}; built-in models run on the cpu only")));
        }
        let signature = &model.signature;
        let same = |(input, output): (&_, &_)| {
            let (input, output): (&lockstep_engine::infer::signature::TensorSpec, _) = (input, output);
            let output: &lockstep_engine::infer::signature::TensorSpec = output;
            input.dtype == output.dtype && input.shape == output.shape && output.rows.is_none()
        };
        if signature.inputs.len() != signature.outputs.len()
            || !signature.inputs.iter().zip(&signature.outputs).all(same)
        {
            return Err(refuse(
                "the identity gives what it takes: model.toml must name as many outputs as inputs, each of the \
                 same type and shape"
                    .to_owned(),
            ));
        }
        Ok(Box::new(Identity { model: model.clone() }))
    }

    fn devices(&self) -> Vec<String> {
        vec!["cpu".to_owned()]
    }
}

struct Identity {
    model: LoadModel,
}

impl Model for Identity {
    fn run(&mut self, inputs: &[Tensor]) -> Result<Vec<Tensor>, BackendError> {
        check_inputs(&self.model, inputs)?;
        Ok(inputs.to_vec())
    }

    fn device(&self) -> &str {
        "cpu"
    }
}

/// Name and version, for messages.
pub(crate) fn named(model: &LoadModel) -> String {
    format!("{}/{}", model.name, model.version)
}

/// Holds a batch against the signature, and learns what its names stand for.
pub(crate) fn check_inputs(model: &LoadModel, inputs: &[Tensor]) -> Result<Extents, BackendError> {
    let refuse = |message: String| BackendError::Run { model: named(model), message };
    let specs = &model.signature.inputs;
    if specs.len() != inputs.len() {
        return Err(refuse(format!("{} inputs were given, it takes {}", inputs.len(), specs.len())));
    }
    let mut extents = Extents::default();
    for (spec, input) in specs.iter().zip(inputs) {
        extents
            .fit("input", spec, input.dtype(), input.shape())
            .map_err(|mismatch| refuse(mismatch.to_string()))?;
    }
    Ok(extents)
}
