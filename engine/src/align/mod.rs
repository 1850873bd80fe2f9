//! Joins the samples of a stream into bundles by event time.
//!
//! [`Aligner`] is the entry: it has all streams and the clock. `stream` is the part of one stream that every method needs:
//! its key, its inputs' clocks, its deadline. `matching` is the interface to the methods:
//! - `pivot` closes a bundle for each sample of one input. `input_buffer` holds the samples of another input, and
//!   `revise` emits bundles before they are final.
//! - `exact` joins samples with exactly the same event time.
//! - `approximate` joins samples that lie closest together.
//! - `spans` joins samples of the same span of time: one of a fixed length, or a session.
//!
//! These modules serve the methods:
//! - `cover` selects the samples that a span of time needs, for `input_buffer` and `spans` alike.
//! - `bounds` limits the memory, `account` counts the held samples and bytes, and `held` is the trait of the items.
//! - `clock` is the watermark of an input, and `epoch` handles a source whose clock steps.
//! - `moment` is the place of a sample among those of its input, `same_time` the ids of samples of one event time that left.
//! - `rules` is the policy made ready for all of them, with the `limits` of approximate time and the `cut` of spans.
//! - `arrival` is a sample on its way to a method, and `view` the rules, clocks and time that the method sees.
//! - `verdict` decides the outcome of a bundle that closes.
//! - `queue` holds a handful of samples in place.
//!
//! [`offset`] estimates the offset between the clocks of two inputs, and [`drift`] the error of an input's rate.
//! [`monitor`] runs both on live streams.

mod account;
mod aligner;
mod approximate;
mod arrival;
pub mod bounds;
pub mod bundle;
mod clock;
mod cover;
mod cut;
pub mod drift;
mod epoch;
pub mod event;
mod exact;
pub mod held;
mod input_buffer;
mod limits;
mod matching;
mod moment;
pub mod monitor;
pub mod offset;
mod pivot;
pub mod policy;
mod queue;
mod revise;
mod rules;
mod same_time;
mod spans;
mod stream;
mod verdict;
mod view;

pub use aligner::hand_over::{Handover, NotAdopted};
pub use aligner::{Aligner, Incoming};
pub use bounds::{Bound, Bounds, Overflow};
pub use bundle::{Bundle, Lack, Part, Shortfall};
pub use event::{Event, Stamp};
pub use held::Held;
pub use monitor::{ClockMonitor, Quantity, Reading};
pub use policy::{
    AlignPolicy, ApproximateTime, ClockPolicy, InputPolicy, Join, Method, Missing, Needs, Revise,
};

#[cfg(test)]
mod aligner_tests;
#[cfg(test)]
mod behind_tests;
#[cfg(test)]
mod bounds_property_tests;
#[cfg(test)]
mod bounds_tests;
#[cfg(test)]
mod cut_tests;
#[cfg(test)]
mod duplicate_tests;
#[cfg(test)]
mod epoch_tests;
#[cfg(test)]
mod exact_tests;
#[cfg(test)]
mod extremes_tests;
#[cfg(test)]
mod offset_tests;
#[cfg(test)]
mod property_tests;
#[cfg(test)]
mod restart_tests;
#[cfg(test)]
mod revise_tests;
#[cfg(test)]
mod same_time_tests;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod timer_property_tests;
#[cfg(test)]
mod window_property_tests;
