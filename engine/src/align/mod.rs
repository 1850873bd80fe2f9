//! Joins the samples of a stream into bundles by event time.
//!
//! [`Aligner`] is the way in: all streams, and the clock. `stream` is what every method needs of one stream: its key,
//! its inputs' clocks, its deadline. `matching` is the seam to what a method does with the samples:
//! - `pivot` closes a bundle for each sample of one input; `buffer` is what it finds among those of another,
//!   `revise` how bundles are told before they are final.
//! - `exact` joins samples with the very same event time.
//! - `approximate` joins samples that lie closest together.
//! - `spans` joins samples of the same stretch of time: one of a fixed length, or a session.
//!
//! `cover` finds which samples a stretch of time needs, for `buffer` and `spans` alike.
//!
//! `bounds` says how much is held at most, `account` how much it is, and `held` what is asked of the items for that.
//! `clock` is how far an input has come, and `epoch` what happens when its source's clock steps.
//! `moment` is where a sample stands among those of its input, `same_time` which of one event time have left.
//! `rules` is the policy made ready for them all, and `verdict` what becomes of a bundle that has
//! closed; `queue` holds a handful of samples in place.
//! [`offset`] estimates how far the clock of an input is off, and [`drift`] how far its rate is;
//! [`monitor`] has both look at live streams.

mod account;
mod aligner;
mod approximate;
pub mod bounds;
pub mod bundle;
mod clock;
mod cover;
pub mod drift;
mod epoch;
pub mod event;
mod exact;
pub mod held;
mod input_buffer;
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

pub use aligner::{Aligner, Handover, Incoming, NotAdopted};
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
mod rig;
#[cfg(test)]
mod same_time_tests;
#[cfg(test)]
mod timer_property_tests;
#[cfg(test)]
mod window_property_tests;
