//! Model units. A *unit* is one version of a step's model together with the runtime that runs it. Batches, breakers, costs,
//! tensor memory, stream state and metrics belong to a unit; bindings and views belong to the step.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::infer::load_model::LoadModel;

/// One version of a step's model, and its runtime.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelUnit {
    /// The model.
    pub model: LoadModel,
    /// The name of the backend that runs it.
    pub backend: String,
    /// When its copies are in memory.
    pub residency: ResidencySpec,
}

/// When the copies of a model are in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResidencySpec {
    /// True if a copy loads when the first bundle needs it; false if it loads before the pipeline reads.
    pub is_lazy: bool,
    /// The time without a batch after which a copy leaves; `None` if it stays.
    pub unload_after: Option<Duration>,
    /// True if a copy, once loaded, never leaves for another model.
    pub is_pinned: bool,
    /// The bytes of a copy; `None` for the size of the model's files.
    pub memory: Option<u64>,
}

/// The key of a unit: its step, and the version of its model. Clones share the text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UnitId {
    step: Arc<str>,
    version: Arc<str>,
}

impl UnitId {
    /// The unit of this step and version.
    pub fn new(step: &str, version: &str) -> Self {
        Self { step: step.into(), version: version.into() }
    }

    /// The name of the step.
    pub fn step(&self) -> &str {
        &self.step
    }

    /// The version of the model in its repository.
    pub fn version(&self) -> &str {
        &self.version
    }
}

/// `faces/1`: neither a step's name nor a version has a slash.
impl fmt::Display for UnitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.step, self.version)
    }
}
