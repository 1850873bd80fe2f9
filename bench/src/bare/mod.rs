//! References for the benchmarks: the bare forward loop of libtorch, networks traced in process, and the load of the GPU.

pub mod baseline;
pub mod networks;
pub mod nvml;
