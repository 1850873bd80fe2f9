//! A step that is ready to run: its configuration, and the preprocessors of its inputs. All units of a step share it.

use std::sync::Arc;

use lockstep_engine::infer::job::Graph;
use lockstep_engine::infer::step::Step;
use lockstep_engine::pipeline::Pipeline;
use lockstep_engine::preprocess::Preprocessor;

use crate::decoding::Decoding;

/// A step that is ready to run.
pub struct StepRuntime {
    /// The step's place in the pipeline.
    pub index: usize,
    /// The step's configuration.
    pub spec: Step,
    /// One entry per binding; none unless the binding makes its tensor of samples or of a text.
    pub(crate) preprocessors: Vec<Option<Preprocessor>>,
    /// The names of the inputs.
    pub(crate) inputs: Vec<String>,
    /// The memory for decoding payloads.
    pub(crate) decoding: Decoding,
    /// The steps, with the views that show texts.
    pub(crate) graph: Arc<Graph>,
}

impl StepRuntime {
    /// Makes a step of a pipeline ready: reads tokenizers and plans transforms.
    ///
    /// # Errors
    /// A description of the fault in the step's settings or files.
    pub(crate) fn new(
        pipeline: &Pipeline,
        index: usize,
        decoding: Decoding,
        graph: Arc<Graph>,
    ) -> Result<Self, String> {
        let spec = pipeline.steps.get(index).cloned().ok_or_else(|| format!("there is no step {index}"))?;
        let mut preprocessors = Vec::new();
        for (binding, tensor) in spec.bindings.iter().zip(&spec.unit.model.signature.inputs) {
            preprocessors.push(match binding.preprocess() {
                Some(preprocess) => {
                    let place = format!("step {}: tensor {}", spec.name, tensor.name);
                    if tensor.batch_axis() != Some(0) {
                        return Err(format!("{place}: its batch axis is not the first; put it first for a tensor of samples or of a text"));
                    }
                    Some(Preprocessor::new(preprocess).map_err(|why| format!("{place}: {why}"))?)
                }
                None => None,
            });
        }
        let inputs = pipeline.inputs.iter().map(|input| input.name.clone()).collect();
        Ok(Self { index, spec, preprocessors, inputs, decoding, graph })
    }
}
