//! A package on the thread that loaded it.

use lockstep_backend::{BackendError, Model, check_inputs, checked_outputs, named, verify_file, warm_up};
use lockstep_engine::infer::load_model::{Device, LoadModel};
use lockstep_engine::tensor::Tensor;
use lockstep_torch::{Staged, ready_thread, shortened, to_host};

use crate::package::Package;

pub(crate) struct Pt2Model {
    package: Package,
    model: LoadModel,
    /// One for each input: a package may write into its inputs.
    staged: Vec<Staged>,
}

impl Pt2Model {
    /// Loads the file and runs it once for each warm-up size. That shows whether its outputs are those of the signature.
    pub(crate) fn load(model: &LoadModel) -> Result<Self, BackendError> {
        let refuse = |message: String| BackendError::Load { model: named(model), message };
        if let Device::Cuda(index) = model.device {
            return Err(refuse(format!("the device is cuda:{index}; packages run on the cpu only")));
        }
        let file = model.file.display();
        verify_file(model).map_err(refuse)?;
        ready_thread(model.threads).map_err(refuse)?;
        let package = Package::load(&model.file)
            .map_err(|why| refuse(format!("{file} is not a .pt2 package that loads: {}", shortened(&why))))?;
        let staged = model.signature.inputs.iter().map(|_| Staged::default()).collect();
        let mut loaded = Self { package, model: model.clone(), staged };
        warm_up(&mut loaded, model)?;
        Ok(loaded)
    }

    fn forward(&mut self, inputs: &[Tensor]) -> Result<Vec<Tensor>, String> {
        let staged = self.staged.iter_mut().zip(inputs);
        let given = staged
            .map(|(staged, input)| staged.fill(input, tch::Device::Cpu))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| lockstep_torch::said(&error))?;
        let outputs = &self.model.signature.outputs;
        let returned = self.package.run(&given, outputs.len()).map_err(|why| shortened(&why))?;
        let hosted = returned.iter().zip(outputs).map(|(output, spec)| to_host(output, Some(spec.dtype)));
        hosted.collect::<Result<_, _>>().map_err(|error| lockstep_torch::said(&error))
    }
}

impl Model for Pt2Model {
    fn run(&mut self, inputs: &mut [Tensor]) -> Result<Vec<Tensor>, BackendError> {
        let extents = check_inputs(&self.model, inputs)?;
        let outputs = self
            .forward(inputs)
            .map_err(|message| BackendError::Run { model: named(&self.model), message })?;
        checked_outputs(&self.model, extents, outputs)
    }

    fn device(&self) -> &str {
        "cpu"
    }
}
