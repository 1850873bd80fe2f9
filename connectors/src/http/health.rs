//! What a process says of its own health.

use std::sync::Arc;

use serde::Serialize;

/// How a process is doing, as the JSON of `/health`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Health {
    /// Whether it takes part: partitions are assigned, models loaded, nothing given up.
    pub ready: bool,
    /// Whether it works at all; when false it should be started anew.
    pub live: bool,
    /// More, for people and dashboards. No secrets.
    pub details: serde_json::Value,
}

/// Asked for each request, on the server's thread; must not block.
pub type HealthCheck = Arc<dyn Fn() -> Health + Send + Sync>;
