//! Supervision: when a failed part starts again ([`restart`]), when a model that keeps failing is left alone
//! ([`breaker`]), and when an actor has stalled ([`stall`]).

pub mod breaker;
pub mod restart;
pub mod stall;
