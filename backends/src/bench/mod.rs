//! What the benchmarks compare the engine with: models traced in process, the bare forward loop of
//! libtorch, and how busy the GPU is.

pub mod baseline;
pub mod networks;
pub mod nvml;
pub mod traced;
