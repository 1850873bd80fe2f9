//! The loaded models of an instance's thread: its own and the fallback, with the memory that they occupy.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lockstep_backend::{Backend, BackendError, Model};
use lockstep_engine::infer::load_model::LoadModel;
use lockstep_engine::infer::step::OnOpenCircuit;
use lockstep_engine::telemetry::models::{self, Unload};

use super::core::InstanceParts;
use crate::memory::resident;
use crate::model_memory::ResidentCopy;
use crate::panic_text::panic_text;
use crate::unit_runtime::UnitRuntime;

/// The models of a thread.
pub(super) struct Models {
    /// The step's own model; none if it could not be loaded and the fallback runs alone.
    pub(super) own: Option<Box<dyn Model>>,
    pub(super) fallback: Option<Box<dyn Model>>,
    /// The end of the last batch, or of the load.
    pub(super) used_at: Instant,
    /// Dropped after the models.
    pub(super) account: CopyAccount,
}

/// The account of one copy: its memory, and the metrics of its load and unload.
pub(super) struct CopyAccount {
    runtime: Arc<UnitRuntime>,
    /// The reason of its unload, for the metrics.
    pub(super) unload: Unload,
    is_loaded: bool,
    pub(super) memory: ResidentCopy,
}

impl CopyAccount {
    /// Begins to load a copy that was admitted to this memory.
    pub(super) fn begin(runtime: &Arc<UnitRuntime>, memory: ResidentCopy) -> Self {
        runtime.copy_begins();
        Self { runtime: runtime.clone(), unload: Unload::Ended, is_loaded: false, memory }
    }

    fn loaded(&mut self, took: Duration) {
        self.is_loaded = true;
        self.memory.loaded(took);
        let footprint = &self.runtime.footprint;
        models::loaded(&self.runtime.id, &footprint.device, footprint.need.bytes, took);
    }
}

impl Drop for CopyAccount {
    fn drop(&mut self) {
        self.runtime.copy_ended();
        if self.is_loaded {
            let footprint = &self.runtime.footprint;
            models::unloaded(&self.runtime.id, &footprint.device, footprint.need.bytes, self.unload);
        }
    }
}

/// The model that runs a part of a batch.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Runner {
    Model,
    Fallback,
}

impl Models {
    /// Loads the models of an instance. If the step's own model fails and there is a fallback, `own` is none.
    ///
    /// # Errors
    /// The error of the backend, or a panic of the backend as one.
    pub(super) fn load(
        parts: &InstanceParts,
        mut account: CopyAccount,
    ) -> Result<(Self, Option<BackendError>), BackendError> {
        let (began, before) = (Instant::now(), resident());
        let own = load(&*parts.backend, &parts.runtime.unit.model);
        let fallback = match (&parts.runtime.spec().care.on_open_circuit, &parts.fallback) {
            (OnOpenCircuit::Fallback(fallback), Some(backend)) => Some(load(&**backend, &fallback.model)),
            _ => None,
        };
        let (own, fallback, error) = match (own, fallback) {
            (Ok(own), fallback) => (Some(own), fallback.transpose()?, None),
            (Err(error), Some(Ok(fallback))) => (None, Some(fallback), Some(error)),
            (Err(error), _) => return Err(error),
        };
        account.loaded(began.elapsed());
        if let (Some(before), Some(after)) = (before, resident()) {
            models::load_memory(&account.runtime.id, after.saturating_sub(before));
        }
        Ok((Self { own, fallback, used_at: Instant::now(), account }, error))
    }

    /// The model that runs a part of a batch.
    pub(super) fn of(&mut self, runner: Runner) -> Option<&mut Box<dyn Model>> {
        match runner {
            Runner::Model => self.own.as_mut(),
            Runner::Fallback => self.fallback.as_mut(),
        }
    }

    /// Notes the end of a batch.
    pub(super) fn used(&mut self) {
        self.used_at = Instant::now();
        self.account.memory.used();
    }

    /// The device of the model.
    pub(super) fn device(&self) -> &str {
        self.own.as_ref().or(self.fallback.as_ref()).map_or("none", |model| model.device())
    }
}

fn load(backend: &dyn Backend, model: &LoadModel) -> Result<Box<dyn Model>, BackendError> {
    catch_unwind(AssertUnwindSafe(|| backend.load(model))).unwrap_or_else(|panic| {
        let message = format!("loading panicked: {}", panic_text(panic.as_ref()));
        Err(BackendError::Load { model: model.name.clone(), message })
    })
}
