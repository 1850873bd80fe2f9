//! Metrics and health over HTTP: `/metrics` for Prometheus, `/health`, `/health/live` and `/health/ready`
//! as JSON with status 200 or 503.

mod health;
mod histogram;
mod recorder;
mod server;

pub use health::{Health, HealthCheck};
pub use recorder::{Metrics, RecorderInstalled, install_recorder};
pub use server::{HttpError, HttpHandle, HttpServer};
