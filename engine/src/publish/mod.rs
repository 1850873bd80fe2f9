//! Results, dead letters and late records; and the ledger, which tracks the end of every record.

mod json;
pub mod ledger;
pub mod order;
pub mod result;
pub mod send_window;
pub mod side_output;
pub mod sink;
pub mod stream_tracks;
pub mod topic_rules;
pub mod transaction;
pub mod transaction_window;

pub use ledger::{Ledger, MetadataPressure, RecordOutcome, Settled};
pub use order::InOrder;
pub use transaction::Transaction;
