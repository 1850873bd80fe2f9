//! The promises of preprocessing.

mod faults;
mod golden;
mod sound;
mod support;
