//! Clocks that step, records of one moment, and machines that are busy.
