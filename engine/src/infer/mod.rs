//! Models and the steps that run them: what goes in, what comes out, what is carried on.

pub mod backend;
pub mod signature;
pub mod step;
