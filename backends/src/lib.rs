//! Lockstep: backends.
