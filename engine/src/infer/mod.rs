//! Models and the steps that run them: what goes in, what comes out, what is carried on.
//!
//! [`manifest`] reads a model's `model.toml`; [`check`] holds the steps of a pipeline against it before
//! anything starts. Around a call of a model, [`state`] and [`rows`] put the rows of many bundles into
//! one batch and take it apart again, [`retry`] finds out which bundle a failure is to be blamed on, and
//! [`changelog`] keeps what is carried
//! on across restarts, and [`view`] makes of one bundle's tensors what people read.

pub mod backend;
pub mod changelog;
pub mod check;
pub mod extents;
pub mod job;
pub mod manifest;
pub mod retry;
pub mod rows;
pub mod signature;
pub mod state;
pub mod step;
pub mod view;
