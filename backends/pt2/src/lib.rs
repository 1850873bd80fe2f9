//! `.pt2` packages of `torch.export` in libtorch, on a CPU.
//!
//! A portable package holds a graph and weights; libtorch's interpreter nativert runs it. A package that AOTInductor has compiled holds
//! machine code for one kind of processor and one version of libtorch; loading it is running it. Neither checks its inputs, so
//! that every type and shape is checked here.

mod model;
mod package;

use lockstep_backend::{Backend, BackendError, Model};
use lockstep_engine::infer::load_model::LoadModel;

/// The backend `pt2`.
#[derive(Debug, Default)]
pub struct Pt2Backend;

impl Backend for Pt2Backend {
    fn name(&self) -> &'static str {
        "pt2"
    }

    fn load(&self, model: &LoadModel) -> Result<Box<dyn Model>, BackendError> {
        Ok(Box::new(model::Pt2Model::load(model)?))
    }

    fn devices(&self) -> Vec<String> {
        vec!["cpu".to_owned()]
    }
}
