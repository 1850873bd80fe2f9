//! The outside world of Lockstep.

pub mod http;
pub mod kafka;
