//! Results, dead letters and late data; and the ledger of what became of every record.

pub mod sink;
