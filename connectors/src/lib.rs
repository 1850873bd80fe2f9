//! Lockstep: connectors.
