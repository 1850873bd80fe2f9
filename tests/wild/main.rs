//! What users of Kafka, cameras and microphones report as going wrong, over Apache Kafka: the `lockstep` binary in processes of
//! its own, and the outcome that is right. `make wild` runs the slow ones too.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test may end with a panic")]
#![allow(
    clippy::disallowed_methods,
    reason = "events are awaited until a deadline, and a child's lines are kept"
)]

mod access;
#[path = "../e2e/broker.rs"]
#[allow(dead_code, reason = "the end-to-end tests use the rest")]
mod broker;
#[path = "../e2e/clip.rs"]
#[allow(dead_code, reason = "the end-to-end tests use it")]
mod clip;
mod delivery;
mod pictures;
#[path = "../e2e/pipeline.rs"]
#[allow(dead_code, reason = "the end-to-end tests use the rest")]
mod pipeline;
#[path = "../e2e/process.rs"]
#[allow(dead_code, reason = "the end-to-end tests use the rest")]
mod process;
mod rules;
mod sound;
mod source;
