//! The rules of Lockstep, without threads, Kafka and libtorch.
//!
//! The rules do no I/O, start no thread and read no clock: `now` is an argument. Callers read the clock by
//! [`time::Timestamp::now`]. The tour follows the data:
//! - [`ingest`] turns a Kafka record into a *sample*;
//! - [`align`] joins the samples of a stream into *bundles*;
//! - [`batch`] cuts batches, and [`preprocess`] fills a batch's memory;
//! - [`infer`] describes models, the steps that run them and their outputs;
//! - [`publish`] makes results and keeps the ledger: the outcome of every record.
//!
//! [`scaling`] decides how many shards, instances and processes a load needs. [`sharding`] assigns streams to shards.
//! [`supervision`] decides when failed parts start again, and [`models`] which models are in memory.
//!
//! A stage imports the foundations ([`time`], [`position`], [`completion`], [`condition`], [`media`], [`budget`],
//! [`sample`], [`tensor`], [`fault`], [`interner`]), the four modules above, and the stages before it, never a later one.
//! [`pipeline`] combines the settings of the stages. [`telemetry`] names the metrics of all of them.

pub mod budget;
pub mod completion;
pub mod condition;
pub mod fault;
pub mod interner;
pub mod media;
pub mod position;
mod random;
pub mod sample;
pub mod tensor;
pub mod time;

pub mod models;
pub mod scaling;
pub mod sharding;
pub mod supervision;

pub mod ingest;

pub mod align;

pub mod batch;

pub mod preprocess;

pub mod infer;

pub mod publish;

pub mod pipeline;

pub mod telemetry;

#[cfg(test)]
mod testing;
