//! A client of a running process's HTTP server, for the command line and the benchmarks.

mod ask;
mod fetch;

pub use ask::{Answer, ProcessRequest, ask};
pub use fetch::fetch_status;
