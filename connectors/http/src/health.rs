//! The health of a process.

use std::sync::Arc;

use serde::Serialize;

/// The health of a process, as the JSON of `/health`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Health {
    /// The process takes part: partitions are assigned, models are loaded, nothing has failed for good.
    pub ready: bool,
    /// The process works. If false, restart it.
    pub live: bool,
    /// Details for people and dashboards. No secrets.
    pub details: serde_json::Value,
}

/// Returns the health. The server's thread calls it for each request; it must not block.
pub type HealthCheck = Arc<dyn Fn() -> Health + Send + Sync>;
