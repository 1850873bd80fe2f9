//! The summary of a pipeline that `lockstep check` prints.

use std::fmt::Write;
use std::time::Duration;

use lockstep_actors::Footprint;
use lockstep_engine::align::{InputPolicy, Join, Method, Missing, Revise};
use lockstep_engine::infer::load_model::Device;
use lockstep_engine::infer::step::{Binding, OnMissing, OnOpenCircuit, Step};
use lockstep_engine::pipeline::Pipeline;
use lockstep_settings::{modality_word, show_size};

use super::memory;

/// Describes the pipeline for people, in the order of the data. `loaded` holds the devices of the steps' models, if they
/// were loaded, and `footprints` what a copy of each needs.
pub(super) fn summary(pipeline: &Pipeline, loaded: &[String], footprints: &[Footprint]) -> String {
    let mut text = format!("{}: ok\n", pipeline.name);
    // Writing to a string cannot fail.
    let _ = write_summary(&mut text, pipeline, loaded, footprints);
    text
}

fn write_summary(
    to: &mut String,
    pipeline: &Pipeline,
    loaded: &[String],
    footprints: &[Footprint],
) -> std::fmt::Result {
    let kafka = &pipeline.kafka;
    writeln!(to, "\nkafka     {} as group {}", kafka.brokers, kafka.group)?;
    for (place, (input, policy)) in pipeline.inputs.iter().zip(&pipeline.align.inputs).enumerate() {
        let title = if place == 0 { "inputs" } else { "" };
        writeln!(
            to,
            "{title:<9} {}: {} from topic {}, {} unless a record says otherwise, at most {}",
            input.name,
            modality_word(input.modality),
            input.topic,
            input.default_media,
            show_size(input.max_bytes as u64)
        )?;
        writeln!(
            to,
            "{:<9}   {}; up to {:?} out of order, idle after {:?}",
            "",
            joined(&pipeline.align.method, policy),
            policy.out_of_orderness,
            policy.idle_timeout
        )?;
    }
    let shards = pipeline.shards;
    writeln!(to, "align     waits at most {:?}, in {}", pipeline.align.max_wait, counted(shards, "shard"))?;
    let Revise { allowed_lateness, early } = pipeline.align.revise;
    if early {
        writeln!(to, "          a bundle is published early, and again when it is final")?;
    }
    if !allowed_lateness.is_zero() {
        writeln!(to, "          samples up to {allowed_lateness:?} late make new revisions of a bundle")?;
    }
    for (place, step) in pipeline.steps.iter().enumerate() {
        let title = if place == 0 { "steps" } else { "" };
        let device = match (loaded.get(place), step.unit.model.device) {
            (Some(device), _) => format!("on {device}"),
            (None, Device::Auto) => "on the best device".to_owned(),
            (None, Device::Cpu) => "on cpu".to_owned(),
            (None, Device::Cuda(index)) => format!("on cuda:{index}"),
        };
        writeln!(
            to,
            "{title:<9} {}: {}/{} by {} {device}, {}, {} batches of up to {} within {:?}",
            step.name,
            step.unit.model.name,
            step.unit.model.version,
            step.unit.backend,
            counted(step.instances, "instance"),
            step.batch.mode.as_str(),
            step.batch.max_size,
            step.batch.longest_delay()
        )?;
        for (binding, spec) in step.bindings.iter().zip(&step.unit.model.signature.inputs) {
            let row: Vec<String> = step
                .unit
                .model
                .extents
                .row(spec)
                .iter()
                .map(|extent| extent.map_or_else(|| "?".to_owned(), |extent| extent.to_string()))
                .collect();
            let source = source(pipeline, step, binding);
            let missing = match binding.source() {
                Some((_, OnMissing::Zeros)) => ", or zeros if it is missing",
                _ => "",
            };
            writeln!(
                to,
                "{:<9}   takes {}: {} [{}] a row, {source}{missing}",
                "",
                spec.name,
                spec.dtype,
                row.join(", ")
            )?;
        }
        if let OnOpenCircuit::Fallback(fallback) = &step.care.on_open_circuit {
            let model = &fallback.model;
            writeln!(
                to,
                "{:<9}   falls back to {}/{} by {}",
                "", model.name, model.version, fallback.backend
            )?;
        }
        if let Some(footprint) = footprints.get(place) {
            writeln!(to, "{:<9}   {}", "", memory::of_step(step, footprint))?;
        }
        if let Some(when) = &step.when {
            writeln!(to, "{:<9}   runs when {when}", "")?;
        }
        if let Some(each) = &step.each {
            let from = pipeline.steps.get(each.step);
            let view = from.and_then(|from| from.outputs.get(each.view));
            let names = (from.map_or("?", |from| &from.name), view.map_or("?", |view| &view.name));
            let (from, view, most) = (names.0, names.1, each.most);
            writeln!(to, "{:<9}   runs for each of {from}.{view}, at most {most} of a bundle", "")?;
        }
        let shown: Vec<&str> = step.outputs.iter().map(|output| output.name.as_str()).collect();
        writeln!(
            to,
            "{:<9}   shows {}",
            "",
            if shown.is_empty() { "nothing".into() } else { shown.join(", ") }
        )?;
    }
    let publish = &pipeline.publish;
    writeln!(to, "results   to topic {}", publish.results)?;
    writeln!(to, "{:<9} dead letters to {}", "", publish.dead_letters)?;
    match &publish.late {
        Some(late) => writeln!(to, "{:<9} late samples to {late}", "")?,
        None => writeln!(to, "{:<9} late samples are dropped and counted", "")?,
    }
    if let Some(state) = &publish.state {
        writeln!(to, "{:<9} stream state to {state}", "")?;
    }
    let limits = &pipeline.limits;
    writeln!(
        to,
        "limits    {} of payloads in flight, commits every {:?}, stops within {:?}",
        show_size(limits.memory),
        limits.commit_every,
        limits.stop_within
    )?;
    for line in memory::of_devices(pipeline, footprints) {
        writeln!(to, "{:<9} {line}", "")?;
    }
    match &pipeline.http {
        Some(listen) => writeln!(to, "http      metrics and health on http://{listen}"),
        None => writeln!(to, "http      off"),
    }
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

fn joined(method: &Method, policy: &InputPolicy) -> String {
    let show = |length: Duration| format!("{length:?}");
    let which = match (policy.join, method) {
        (Join::Pivot, Method::Pivot(_)) => return "the pivot: a bundle for each".to_owned(),
        (Join::Pivot, Method::Exact) => "the one with the very same event time as the others'".to_owned(),
        (Join::Pivot, Method::ApproximateTime(_)) => "the one of those that lie closest together".to_owned(),
        (Join::Pivot, Method::Tumbling { size }) => format!("all of the same {}", show(*size)),
        (Join::Pivot, Method::Session { gap, max }) => {
            format!("all of a session: until nothing comes for {}, at most {}", show(*gap), show(*max))
        }
        (Join::Window { before, after }, _) => {
            format!("all from {} before the pivot to {} after it", show(before), show(after))
        }
        (Join::Nearest { tolerance, reuse }, _) => {
            let again = if reuse { "" } else { ", each in one bundle at most" };
            format!("the one nearest to the pivot, at most {} away{again}", show(tolerance))
        }
        (Join::AllBetweenPivots { max_age }, _) => {
            format!("all since the pivot before, and for the first at most {} older", show(max_age))
        }
        (Join::Latest { max_age }, _) => {
            format!("the last before the pivot, at most {} older", show(max_age))
        }
    };
    let without = match policy.missing {
        Missing::Emit => "a bundle without goes on",
        Missing::Drop => "a bundle without is dropped",
        Missing::DeadLetter => "a bundle without is dead-lettered",
        Missing::Hold { .. } => "without, the last is used again",
    };
    let age = match policy.missing {
        Missing::Hold { max_age } => format!(", up to {} old", show(max_age)),
        _ => String::new(),
    };
    let needs = policy.needs;
    let enough = match (needs.required, needs.min_count, needs.min_coverage) {
        (false, ..) => "; optional".to_owned(),
        (_, count, Some(share)) if count > 1 => format!("; at least {count}, over {share} of the window"),
        (_, _, Some(share)) => format!("; at least over {share} of the window"),
        (_, count, None) if count > 1 => format!("; at least {count}"),
        _ => String::new(),
    };
    format!("{which}; {without}{age}{enough}")
}

fn source(pipeline: &Pipeline, step: &Step, binding: &Binding) -> String {
    match binding {
        Binding::Input { input, .. } => match pipeline.inputs.get(input.index()) {
            Some(input) => format!("from input {}", input.name),
            None => "from an input".to_owned(),
        },
        Binding::Output { step: from, output, .. } => match pipeline.steps.get(*from) {
            Some(from) => {
                let name =
                    from.unit.model.signature.outputs.get(*output).map_or("?", |spec| spec.name.as_str());
                format!("from step {}.{name}", from.name)
            }
            None => "from a step".to_owned(),
        },
        Binding::DetectionRow { step: from, output } => {
            let from = pipeline.steps.get(*from);
            let spec = from.and_then(|from| from.unit.model.signature.outputs.get(*output));
            let names = (from.map_or("?", |from| &from.name), spec.map_or("?", |spec| &spec.name));
            format!("the detection's row of step {}.{}", names.0, names.1)
        }
        Binding::State { output } => {
            let name = step.unit.model.signature.outputs.get(*output).map_or("?", |spec| spec.name.as_str());
            format!("state from {name}")
        }
        Binding::ShownText { text, .. } => format!("from the text {text}"),
        Binding::Zeros => "zeros".to_owned(),
        Binding::Presence { inputs } => {
            let names = inputs.iter().filter_map(|input| step.unit.model.signature.inputs.get(*input));
            let names: Vec<&str> = names.map(|spec| spec.name.as_str()).collect();
            format!("the presence of {}", names.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use lockstep_engine::models::Need;
    use lockstep_settings::{Overrides, load};

    use super::*;

    fn talking_face() -> Pipeline {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("config/talking-face.toml");
        load(&path, &Overrides::default(), &lockstep_assemble::describe)
            .expect("the shipped pipeline is valid")
    }

    #[test]
    fn summary_names_sources_shapes_and_topics() {
        let need = |bytes| Footprint { device: "cpu".into(), need: Need { bytes, is_pinned: false } };
        let footprints = [need(2 << 20), need(5 << 19)];
        let text = summary(&talking_face(), &["cpu".to_owned(), "cpu".to_owned()], &footprints);
        for line in [
            "the pivot: a bundle for each",
            "all from 512ms before the pivot to 0ns after it; a bundle without goes on",
            "takes frames: f32 [3, 240, 320] a row, from input video",
            "takes audio: f32 [8192] a row, from input audio",
            "takes state: f32 [2, 128] a row, zeros",
            "to topic talking-face.results",
            "256 MiB",
            "loads before the pipeline reads; a copy counts for 2.0 MiB",
            "models on cpu: no limit; 4.5 MiB at the start, 4.5 MiB if all are loaded",
        ] {
            assert!(text.contains(line), "{line:?} is missing in\n{text}");
        }
    }
}
