//! Models and the steps that run them: inputs, outputs and stream state.
//!
//! [`manifest`] reads a model's `model.toml`, with the [`digest`] of the model's file, and [`weights`] those weights that are
//! apart from it. [`check`] compares the steps of a
//! pipeline with it before anything starts. Around a call of a model, [`state`] and [`rows`] put the rows of many bundles into one batch and take it
//! apart again. [`gather`] brings the rows of a step that runs once per detection together again. [`retry`] finds the row that causes a
//! failure. [`changelog`] keeps stream state across restarts.
//! [`condition`] decides by what earlier steps show if a step runs. [`view`] turns one bundle's tensors into JSON for results; [`head`] describes the outputs of detectors that leave
//! the last step to it. [`tracks`] gives detections an identity from bundle to bundle.

pub mod binding;
mod box_overlap;
pub mod changelog;
pub mod check;
pub mod condition;
pub mod digest;
pub mod extents;
mod file_name;
pub mod gather;
pub mod head;
pub mod job;
pub mod load_model;
pub mod manifest;
mod report;
pub mod retry;
pub mod rows;
pub mod signature;
pub mod state;
pub mod step;
pub mod tracks;
pub mod unit;
pub mod view;
pub mod weights;
