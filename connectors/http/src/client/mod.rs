//! A client of a running process's HTTP server, for the command line and the benchmarks.

mod ask;
mod fetch;
mod metrics;

pub use ask::{Answer, ask};
pub use fetch::fetch;
pub use metrics::Scrape;
