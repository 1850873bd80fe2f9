//! Metrics and health over HTTP: `/metrics` for Prometheus, `/health`, `/health/live` and `/health/ready`
//! as JSON with status 200 or 503.

mod health;
mod recorder;
mod server;

pub use health::{Health, HealthCheck};
pub use metrics_exporter_prometheus::PrometheusHandle;
pub use recorder::install_recorder;
pub use server::{HttpError, HttpHandle, HttpServer};
