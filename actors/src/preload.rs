//! The request to load models as soon as a sample is read that will need them, ahead of the first batch.

use std::sync::Arc;

use lockstep_engine::infer::step::certain_steps;
use lockstep_engine::pipeline::Pipeline;
use lockstep_engine::position::InputId;

use crate::unit_runtime::UnitRuntime;

/// For each input, the units that every sample of it will need.
pub struct Preload(Vec<Vec<Arc<UnitRuntime>>>);

impl Preload {
    /// The units of a pipeline by input.
    pub(crate) fn new(pipeline: &Pipeline, units: &[Arc<UnitRuntime>]) -> Self {
        let inputs = (0..pipeline.inputs.len()).map(|input| {
            let steps = certain_steps(&pipeline.steps, input);
            units.iter().filter(|unit| steps.contains(&unit.index())).cloned().collect()
        });
        Self(inputs.collect())
    }

    /// Asks for the models that samples of an input will need.
    pub(crate) fn read(&self, input: InputId) {
        for unit in self.0.get(input.index()).into_iter().flatten() {
            unit.want();
        }
    }
}
