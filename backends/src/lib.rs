//! Model runtimes behind the engine's [`Backend`](lockstep_engine::infer::backend::Backend) trait.
//!
//! [`torch`] runs TorchScript files in libtorch, on a CPU or an NVIDIA GPU. [`builtin`] needs no runtime: its identity
//! serves pipelines that only align and convert. [`bench`](mod@bench) has the bare loops and the models that the
//! benchmarks compare the engine with.

pub mod bench;
pub mod builtin;
pub mod torch;
