//! Joins the samples of a stream into bundles by event time.

pub mod bundle;
pub mod policy;

pub use bundle::{Bundle, Part};
pub use policy::{AlignPolicy, InputPolicy, Join, Missing};
