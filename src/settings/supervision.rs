//! What happens when something fails: `[supervision]`, and of a step `deadline`, `tries`, `when_open` and
//! `spare`.

use lockstep_engine::infer::backend::LoadModel;
use lockstep_engine::infer::extents::Extents;
use lockstep_engine::infer::step::{Care, Spare, WhenOpen};
use lockstep_engine::pipeline::Supervision;

use super::kinds::{duration, positive_duration, small, word};
use super::models::Found;
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
            format!("is {:?}, less than backoff, which is {:?}", restarts.backoff_max, restarts.backoff),
        );
    }
    let breaker = &mut supervision.breaker;
    breaker.failures = section.or("breaker_failures", breaker.failures, small(1..=1_000_000));
    breaker.pause = section.or("breaker_pause", breaker.pause, positive_duration);
    supervision.stall_after = section.or("stall_after", supervision.stall_after, positive_duration);
    section.finish();
    supervision
}

/// What a step says of its model's failures. `find` looks the spare model up.
pub(super) fn care(
    step: &Section<'_>,
    found: Option<&Found>,
    find: impl Fn(&Section<'_>) -> Option<Found>,
) -> Care {
    let mut care = Care::default();
    care.deadline = step.or("deadline", care.deadline, positive_duration);
    care.tries = step.or("tries", care.tries, small(1..=100));
    #[derive(Clone, Copy, PartialEq)]
    enum Word {
        Wait,
        DeadLetter,
        Spare,
    }
    let words = [("wait", Word::Wait), ("dead-letter", Word::DeadLetter), ("spare", Word::Spare)];
    let when_open = step.or("when_open", Word::Wait, word(&words));
    let spare = step.table("spare").and_then(|section| {
        let spare = find(&section);
        section.finish();
        if when_open != Word::Spare {
            section.wrong_here("is never used; write when_open = \"spare\" beside it, or leave it out");
        }
        let (found, spare) = (found?, spare?);
        let takes = |found: &Found| (found.signature.inputs.clone(), found.signature.outputs.clone());
        if takes(found) != takes(&spare) {
            section.wrong_here(format!(
                "is {}/{}, whose model.toml names other inputs or outputs than that of {}/{}; a spare takes and gives the \
                 same tensors under the same names",
                spare.name, spare.version, found.name, found.version
            ));
        }
        if !found.signature.state.is_empty() {
            section.wrong_here(format!(
                "stands in for {}, which carries state that no other model can go on with; write when_open = \"wait\" or \
                 \"dead-letter\"",
                found.name
            ));
        }
        Some(spare)
    });
    care.when_open = match (when_open, spare) {
        (Word::Wait, _) => WhenOpen::Wait,
        (Word::DeadLetter, _) => WhenOpen::DeadLetter,
        (Word::Spare, Some(spare)) => WhenOpen::Spare(Box::new(Spare {
            backend: spare.backend,
            model: LoadModel {
                name: spare.name,
                version: spare.version,
                file: spare.file,
                signature: spare.signature,
                device: Default::default(),
                threads: 1,
                warm_up: Vec::new(),
                extents: Extents::default(),
            },
        })),
        (Word::Spare, None) => {
            if !step.has("spare") {
                step.wrong(
                    "when_open",
                    "is \"spare\", but there is none; write spare = { model = \"…\" } beside it",
                );
            }
            WhenOpen::Wait
        }
    };
    care
}

/// A spare model runs where and how the model does that it stands in for.
pub(super) fn like_its_model(care: &mut Care, model: &LoadModel) {
    if let WhenOpen::Spare(spare) = &mut care.when_open {
        spare.model.device = model.device;
        spare.model.threads = model.threads;
        spare.model.warm_up.clone_from(&model.warm_up);
        spare.model.extents = model.extents.clone();
    }
}
