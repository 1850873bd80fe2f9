//! Pipelines from TOML, checked whole. (Stands in for the real loader until it is merged.)

use std::path::Path;

use lockstep_engine::pipeline::Pipeline;

/// What is set on the command line.
#[derive(Default)]
pub struct Overrides {
    pub brokers: Option<String>,
    #[allow(dead_code, reason = "read by the real loader")]
    pub group: Option<String>,
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Problems(String);

pub fn load(path: &Path, _overrides: &Overrides) -> Result<Pipeline, Problems> {
    Err(Problems(format!("{}: cannot be loaded yet", path.display())))
}
