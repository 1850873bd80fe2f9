//! References for the benchmarks: the bare loops of libtorch and ONNX Runtime, networks traced in process, and the load of the GPU.

pub mod baseline;
pub mod networks;
pub mod nvml;
pub mod onnx;
