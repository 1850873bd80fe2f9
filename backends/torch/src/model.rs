//! A TorchScript model on the thread that loaded it.

use lockstep_backend::{
    BackendError, Model, check_inputs, checked_outputs, named, read_weights, verify_file, warm_up,
};
use lockstep_engine::infer::load_model::{LoadModel, Optimize};
use lockstep_engine::tensor::Tensor;
use tch::{CModule, IValue, TchError};

use super::convert::{Staged, flatten, said, to_host};
use super::probe;
use super::program::Program;
use super::weights::WeightedModule;

pub(super) struct TorchModel {
    module: ModuleForm,
    model: LoadModel,
    device: tch::Device,
    device_name: String,
    /// One for each input.
    staged: Vec<Staged>,
}

/// The form in which a module runs.
enum ModuleForm {
    /// As the file has it.
    Plain(WeightedModule),
    Optimized(Program),
}

impl TorchModel {
    /// Loads the file and runs it once for each warm-up size, which also shows whether its outputs are
    /// what the signature says.
    pub(super) fn load(model: &LoadModel, device: tch::Device) -> Result<Self, BackendError> {
        let refuse = |message: String| BackendError::Load { model: named(model), message };
        verify_file(model).map_err(refuse)?;
        ready_thread(model.threads).map_err(refuse)?;
        let checkpoint = read_weights(model).map_err(refuse)?;
        let module = CModule::load_on_device(&model.file, device).map_err(|error| {
            refuse(format!("{} is not a TorchScript file that loads: {}", model.file.display(), said(&error)))
        })?;
        let module = match &checkpoint {
            Some(checkpoint) => WeightedModule::filled(module, model, checkpoint, device),
            None => WeightedModule::whole(module),
        };
        let mut module = module.map_err(|message| refuse(format!("{}: {message}", model.file.display())))?;
        module.set_eval().map_err(|error| refuse(said(&error)))?;
        let device_name = match device {
            tch::Device::Cuda(index) => format!("cuda:{index}"),
            _ => "cpu".to_owned(),
        };
        let staged = model.signature.inputs.iter().map(|_| Staged::default()).collect();
        let module = ModuleForm::Plain(module);
        let mut loaded = Self { module, model: model.clone(), device, device_name, staged };
        if model.optimize != Optimize::None {
            loaded.module = loaded
                .optimized()
                .map_err(|why| refuse(format!("{why}; write optimize = \"none\", or another form")))?;
        }
        warm_up(&mut loaded, model)?;
        Ok(loaded)
    }

    fn forward(&mut self, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
        let staged = self.staged.iter_mut().zip(inputs);
        let arguments =
            staged.map(|(staged, input)| staged.fill(input, self.device)).collect::<Result<Vec<_>, _>>()?;
        let outputs = self.module.run(&arguments, self.model.signature.outputs.len())?;
        let declared = self.model.signature.outputs.iter().map(|spec| Some(spec.dtype));
        let declared = declared.chain(std::iter::repeat(None));
        outputs.iter().zip(declared).map(|(output, declared)| to_host(output, declared)).collect()
    }

    /// The optimised form, once it has computed what the plain one computes.
    ///
    /// # Errors
    /// The reason why there is none, or the output in which it differs.
    fn optimized(&mut self) -> Result<ModuleForm, String> {
        let model = &self.model;
        if model.weights.is_some() {
            return Err(
                "the model's weights are apart from its file, and an optimised form copies them".to_owned()
            );
        }
        let Some(rows) = model.warm_up.iter().max() else {
            return Err("optimize compares the outputs of a warm-up batch, and warm_up names none".to_owned());
        };
        let tried = probe::inputs(model, *rows, self.device)
            .ok_or("optimize compares the outputs of a warm-up batch, and a named extent is unknown")?;
        let expected = model.signature.outputs.len();
        let mut form = ModuleForm::Optimized(Program::load(&model.file, &self.device_name, model.optimize)?);
        for inputs in tried.map_err(|error| said(&error))? {
            let plain = self.module.run(&copies(&inputs), expected).map_err(|error| said(&error))?;
            // The first run of a form records what the second is compiled for.
            for _ in 0..2 {
                let other = form.run(&copies(&inputs), expected).map_err(|error| said(&error))?;
                let differs = probe::difference(&plain, &other).map_err(|error| said(&error))?;
                if let Some(place) = differs {
                    let name = model.signature.outputs.get(place).map_or("?", |spec| spec.name.as_str());
                    return Err(format!(
                        "optimised, its output {name} differs by more than {} of its value",
                        probe::RELATIVE
                    ));
                }
            }
        }
        Ok(form)
    }

    /// The meaning of an error of libtorch for this model.
    fn error(&self, error: &TchError) -> BackendError {
        let message = said(error);
        let (model, device) = (named(&self.model), self.device_name.clone());
        if is_out_of_memory(&message) {
            return BackendError::OutOfMemory { model, device, message };
        }
        // After most errors of CUDA itself every later call fails as well; being out of memory is not one.
        if message.contains("CUDA error") {
            return BackendError::Device { model, device, message };
        }
        BackendError::Run { model, message }
    }
}

/// A module may write into its inputs.
fn copies(tensors: &[tch::Tensor]) -> Vec<tch::Tensor> {
    tensors.iter().map(tch::Tensor::copy).collect()
}

impl ModuleForm {
    fn run(&mut self, inputs: &[tch::Tensor], expected: usize) -> Result<Vec<tch::Tensor>, TchError> {
        match self {
            Self::Plain(module) => {
                let arguments: Vec<IValue> =
                    inputs.iter().map(|input| IValue::Tensor(input.shallow_clone())).collect();
                let returned = tch::no_grad(|| module.module().forward_is(&arguments))?;
                let mut outputs = Vec::with_capacity(expected);
                flatten(returned, &mut outputs)?;
                Ok(outputs)
            }
            Self::Optimized(program) => program.run(inputs, expected).map_err(TchError::Torch),
        }
    }
}

impl Model for TorchModel {
    fn run(&mut self, inputs: &mut [Tensor]) -> Result<Vec<Tensor>, BackendError> {
        let extents = check_inputs(&self.model, inputs)?;
        let outputs = self.forward(inputs).map_err(|error| self.error(&error))?;
        checked_outputs(&self.model, extents, outputs)
    }

    fn device(&self) -> &str {
        &self.device_name
    }
}

/// True if libtorch reports a lack of memory. On a GPU the message has "CUDA out of memory" or "CUDA error: out of
/// memory"; on a CPU "DefaultCPUAllocator: can't allocate memory" (c10/cuda/CUDACachingAllocator.cpp,
/// c10/core/impl/alloc_cpu.cpp).
fn is_out_of_memory(message: &str) -> bool {
    ["out of memory", "can't allocate memory", "not enough memory"].iter().any(|said| message.contains(said))
}

/// Sets up the calling thread for a model; see the head of this module's parent.
pub fn ready_thread(threads: usize) -> Result<(), String> {
    let count = i32::try_from(threads).ok().filter(|count| (1..=1024).contains(count));
    let count = count.ok_or_else(|| format!("threads is {threads}; it must be from 1 to 1024"))?;
    // A thread's first use of libtorch takes over the process's default, which another thread may have set. The query
    // comes first, so that this cannot undo the setting.
    let _ = tch::get_num_threads();
    tch::set_num_threads(count);
    tch::jit::f_set_graph_executor_optimize(false).map_err(|error| said(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn out_of_memory_is_distinguished_from_a_lost_device() {
        for said in [
            "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 79.11 GiB",
            "CUDA error: out of memory",
            "[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to \
             allocate 1099511627776 bytes. Error code 12 (Cannot allocate memory)",
        ] {
            assert!(is_out_of_memory(said), "{said}");
        }
        assert!(!is_out_of_memory("CUDA error: device-side assert triggered"));
    }
}
