//! Supervision: when a failed part starts again ([`restart`]), when a failing model gets no work for a while
//! ([`breaker`]), and when an actor has stalled ([`stall`]).

pub mod breaker;
pub mod restart;
pub mod stall;
