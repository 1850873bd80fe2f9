//! Models that need no runtime. There is one, the identity: each output is the input at its place. It serves pipelines
//! that only align and convert, and measurements of everything but the model.

#[cfg(debug_assertions)]
mod fault;

use lockstep_backend::{Backend, BackendError, Model};
use lockstep_backend::{check_inputs, named, verify_file};
use lockstep_engine::infer::load_model::{Device, LoadModel};
use lockstep_engine::infer::signature::TensorSpec;
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
        // The identity reads no file. A digest is of one that model.toml names all the same.
        if model.sha256.is_some() {
            verify_file(model).map_err(refuse)?;
        }
        let signature = &model.signature;
        let same = |(input, output): (&TensorSpec, &TensorSpec)| {
            (input.dtype, &input.shape, &output.rows) == (output.dtype, &output.shape, &None)
        };
        let mut pairs = signature.inputs.iter().zip(&signature.outputs);
        if signature.inputs.len() != signature.outputs.len() || !pairs.all(same) {
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
    fn run(&mut self, inputs: &mut [Tensor]) -> Result<Vec<Tensor>, BackendError> {
        check_inputs(&self.model, inputs)?;
        #[cfg(debug_assertions)]
        fault::obey(&self.model, inputs)?;
        Ok(inputs.iter_mut().map(Tensor::take).collect())
    }

    fn device(&self) -> &str {
        "cpu"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_engine::infer::extents::Extents;
    use lockstep_engine::infer::load_model::GpuProvider;
    use lockstep_engine::infer::signature::{Dim, Signature};
    use lockstep_engine::tensor::DType;

    fn model(output: DType) -> LoadModel {
        let spec = |name: &str, dtype| TensorSpec {
            name: name.to_owned(),
            dtype,
            shape: vec![Dim::Named("batch".to_owned()), Dim::Fixed(3)],
            rows: None,
        };
        LoadModel {
            name: "identity".to_owned(),
            version: "1".to_owned(),
            file: std::path::PathBuf::new(),
            sha256: None,
            weights: None,
            signature: Signature {
                inputs: vec![spec("in", DType::U8)],
                outputs: vec![spec("out", output)],
                ..Signature::default()
            },
            device: Device::Auto,
            provider: GpuProvider::default(),
            threads: 1,
            warm_up: vec![1],
            optimize: Default::default(),
            extents: Extents::default(),
        }
    }

    #[test]
    fn identity_returns_its_inputs() {
        let mut identity = Builtin.load(&model(DType::U8)).expect("loads");
        let input = [Tensor::zeros(DType::U8, &[4, 3])];
        assert_eq!(identity.run(&mut input.to_vec()).expect("runs"), input);
        let error = identity.run(&mut [Tensor::zeros(DType::U8, &[4, 2])]).expect_err("two of three");
        assert_eq!(error.to_string(), "model identity/1: input in is u8 [4, 2], expected u8 [batch, 3]");
    }

    #[test]
    fn identity_that_would_change_its_input_is_refused() {
        assert!(Builtin.load(&model(DType::F32)).is_err());
        assert!(Builtin.load(&LoadModel { device: Device::Cuda(0), ..model(DType::U8) }).is_err());
    }
}
