//! Model runtimes behind the engine's [`Backend`](lockstep_engine::infer::backend::Backend) trait.
//!
//! [`torch`] runs TorchScript files in libtorch, on a CPU or an NVIDIA GPU. [`builtin`] needs no runtime:
//! its identity is for pipelines that only align and convert. [`bench`](mod@bench) holds the bare loops and the
//! models that the benchmarks compare the engine with.

pub mod bench;
pub mod builtin;
pub mod torch;
