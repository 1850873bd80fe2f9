//! Metrics, health and scaling over HTTP.
//!
//! - `/metrics` for Prometheus.
//! - `/health`, `/health/live` and `/health/ready` as JSON with status 200 or 503.
//! - `/scaling`: the numbers of shards and instances, see [`Scaling`].

pub mod client;
mod health;
mod scaling;
mod server;

pub use health::{Health, HealthCheck};
pub use scaling::{Changes, Counted, NotSet, Scaling, ScalingCount, ScalingCounts};
pub use server::{HttpError, HttpHandle, HttpServer};
