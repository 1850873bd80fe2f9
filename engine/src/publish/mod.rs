//! Results, dead letters and late data; and the ledger of what became of every record.

mod json;
pub mod ledger;
pub mod letters;
pub mod order;
pub mod result;
pub mod sink;

pub use ledger::{Ledger, Settled, Verdict};
pub use order::InOrder;
