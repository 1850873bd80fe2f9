//! The bare loop of ONNX Runtime: one thread, one batch after the other, nothing around it.

#![allow(clippy::disallowed_methods, reason = "it measures: it reads the clock itself")]

use std::borrow::Cow;
use std::time::{Duration, Instant};

use lockstep_engine::infer::load_model::LoadModel;
use lockstep_engine::tensor::Tensor;
use lockstep_onnx::{borrowed, cpu_session, said};

/// Batches that run first and are not measured.
const WARM_UP: usize = 3;

/// Runs a model over one batch for a time, on the CPU, and returns the batches per second. Session and options are those of the
/// backend. Outputs are dropped where ONNX Runtime has made them.
///
/// # Errors
/// The message of ONNX Runtime.
pub fn batches_per_second(model: &LoadModel, inputs: &[Tensor], span: Duration) -> Result<f64, String> {
    let prepack = model.weights.as_ref().is_none_or(|weights| weights.prepack);
    let mut session = cpu_session(&model.file, model.threads, prepack)?;
    let mut run = || -> Result<(), String> {
        let named = model.signature.inputs.iter().zip(inputs);
        let values = named.map(|(spec, input)| {
            Ok((Cow::Borrowed(spec.name.as_str()), borrowed(input).map_err(|error| said(&error))?))
        });
        let values = values.collect::<Result<Vec<_>, String>>()?;
        session.run(values).map(drop).map_err(|error| said(&error))
    };
    for _ in 0..WARM_UP {
        run()?;
    }
    let (mut batches, begin) = (0_u32, Instant::now());
    while begin.elapsed() < span || batches == 0 {
        run()?;
        batches += 1;
    }
    Ok(f64::from(batches) / begin.elapsed().as_secs_f64())
}
