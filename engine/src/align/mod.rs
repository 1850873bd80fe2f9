//! Joins the samples of a stream into bundles by event time.
//!
//! [`Aligner`] is the way in and says what holds. Inside, `stream` decides when a pivot closes, `lane` what it
//! finds among the samples of an input, and `rules` is the policy made ready for them.

mod aligner;
pub mod bundle;
pub mod event;
mod lane;
pub mod policy;
mod rules;
mod stream;

pub use aligner::Aligner;
pub use bundle::{Bundle, Part};
pub use event::{Event, Stamp};
pub use policy::{AlignPolicy, InputPolicy, Join, Missing};

#[cfg(test)]
mod aligner_tests;
#[cfg(test)]
mod property_tests;
