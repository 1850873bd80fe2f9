//! References for the benchmarks: models traced in process, the bare forward loop of libtorch, and the load of the GPU.

pub mod baseline;
pub mod networks;
pub mod nvml;
pub mod traced;
