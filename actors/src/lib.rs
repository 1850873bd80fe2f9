//! Lockstep: actors.
