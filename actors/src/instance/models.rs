//! The loaded models of an instance's thread: its own and the fallback.

use std::panic::{AssertUnwindSafe, catch_unwind};

use lockstep_backend::{Backend, BackendError, Model};
use lockstep_engine::infer::load_model::LoadModel;
use lockstep_engine::infer::step::OnOpenCircuit;

use super::core::InstanceParts;
use crate::panic_text::panic_text;

/// The models of a thread.
pub(super) struct Models {
    pub(super) own: Box<dyn Model>,
    pub(super) fallback: Option<Box<dyn Model>>,
}

impl Models {
    /// Loads the models of an instance.
    ///
    /// # Errors
    /// The error of the backend, or a panic of the backend as one.
    pub(super) fn load(parts: &InstanceParts) -> Result<Self, BackendError> {
        let step = parts.runtime.spec();
        let own = load(&*parts.backend, &step.unit.model)?;
        let fallback = match (&step.care.on_open_circuit, &parts.fallback) {
            (OnOpenCircuit::Fallback(fallback), Some(backend)) => Some(load(&**backend, &fallback.model)?),
            _ => None,
        };
        Ok(Self { own, fallback })
    }
}

fn load(backend: &dyn Backend, model: &LoadModel) -> Result<Box<dyn Model>, BackendError> {
    catch_unwind(AssertUnwindSafe(|| backend.load(model))).unwrap_or_else(|panic| {
        let message = format!("loading panicked: {}", panic_text(panic.as_ref()));
        Err(BackendError::Load { model: model.name.clone(), message })
    })
}
