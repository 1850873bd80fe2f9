//! The handling of failures: `[supervision]`, and `deadline`, `tries`, `on_open_circuit` and `fallback` of a step.

use lockstep_engine::infer::load_model::{Device, GpuProvider, LoadModel};
use lockstep_engine::infer::step::{Care, OnOpenCircuit};
use lockstep_engine::pipeline::Supervision;

use super::kinds::{duration, positive_duration, small, word};
use super::models::RepositoryModel;
use super::reader::Section;

/// `[supervision]`.
pub(super) fn supervision(root: &Section<'_>) -> Supervision {
    let mut supervision = Supervision::default();
    let Some(section) = root.table("supervision") else { return supervision };
    let restarts = &mut supervision.restarts;
    restarts.most = section.or("restarts", restarts.most, small(0..=1_000_000));
    restarts.within = section.or("restarts_within", restarts.within, positive_duration);
    restarts.backoff = section.or("backoff", restarts.backoff, duration);
    restarts.backoff_max = section.or("backoff_max", restarts.backoff_max.max(restarts.backoff), duration);
    if restarts.backoff_max < restarts.backoff {
        section.wrong(
            "backoff_max",
            format!(
                "is {:?}, less than backoff, which is {:?}; write more",
                restarts.backoff_max, restarts.backoff
            ),
        );
    }
    let breaker = &mut supervision.breaker;
    breaker.failures = section.or("breaker_failures", breaker.failures, small(1..=1_000_000));
    breaker.pause = section.or("breaker_pause", breaker.pause, positive_duration);
    supervision.stall_after = section.or("stall_after", supervision.stall_after, positive_duration);
    section.finish();
    supervision
}

/// The settings of a step for its model's failures. `find` looks the fallback model up.
pub(super) fn care(
    step: &Section<'_>,
    found: Option<&RepositoryModel>,
    find: impl Fn(&Section<'_>) -> Option<RepositoryModel>,
) -> Care {
    let mut care = Care::default();
    care.deadline = step.or("deadline", care.deadline, positive_duration);
    care.tries = step.or("tries", care.tries, small(1..=100));
    #[derive(Clone, Copy, PartialEq)]
    enum Word {
        Wait,
        DeadLetter,
        Fallback,
    }
    let words = [("wait", Word::Wait), ("dead-letter", Word::DeadLetter), ("fallback", Word::Fallback)];
    let on_open_circuit = step.or("on_open_circuit", Word::Wait, word(&words));
    let fallback = step.table("fallback").and_then(|section| {
        let fallback = find(&section);
        section.finish();
        if on_open_circuit != Word::Fallback {
            section.wrong_here("is never used; write on_open_circuit = \"fallback\" beside it, or remove it");
        }
        let (found, fallback) = (found?, fallback?);
        let takes = |found: &RepositoryModel| (found.signature.inputs.clone(), found.signature.outputs.clone());
        if takes(found) != takes(&fallback) {
            section.wrong_here(format!(
                "is {}/{}, whose model.toml names other inputs or outputs than that of {}/{}; choose a model with the same \
                 tensors under the same names",
                fallback.name, fallback.version, found.name, found.version
            ));
        }
        if !found.signature.state.is_empty() {
            section.wrong_here(format!(
                "replaces {}, whose state no other model can continue; write on_open_circuit = \"wait\" or \
                 \"dead-letter\"",
                found.name
            ));
        }
        Some(fallback)
    });
    care.on_open_circuit = match (on_open_circuit, fallback) {
        (Word::Wait, _) => OnOpenCircuit::Wait,
        (Word::DeadLetter, _) => OnOpenCircuit::DeadLetter,
        (Word::Fallback, Some(fallback)) => OnOpenCircuit::Fallback(Box::new(fallback.unit(
            Device::default(),
            GpuProvider::default(),
            1,
            Vec::new(),
        ))),
        (Word::Fallback, None) => {
            if !step.has("fallback") {
                step.wrong(
                    "on_open_circuit",
                    "\"fallback\" needs a fallback model; write fallback = { model = \"…\" } beside it",
                );
            }
            OnOpenCircuit::Wait
        }
    };
    care
}

/// Gives the fallback model the device, provider, threads, warm-up and extents of the model that it replaces.
pub(super) fn like_its_model(care: &mut Care, model: &LoadModel) {
    if let OnOpenCircuit::Fallback(fallback) = &mut care.on_open_circuit {
        fallback.model.device = model.device;
        fallback.model.provider = model.provider;
        fallback.model.threads = model.threads;
        fallback.model.warm_up.clone_from(&model.warm_up);
        fallback.model.extents = model.extents.clone();
    }
}
