//! Connectors of Lockstep: Kafka, and HTTP for metrics, health and scaling.

pub mod http;
pub mod kafka;
