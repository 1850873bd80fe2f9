//! `lockstep check`: the configuration, its models, and with `--connect` its brokers.

use std::fmt::Write;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use lockstep_actors::check_model_memory;
use lockstep_backend::Backend;
use lockstep_engine::align::{InputPolicy, Join, Method, Missing, Revise};
use lockstep_engine::infer::load_model::{Device, LoadModel};
use lockstep_engine::infer::step::{Binding, OnMissing, OnOpenCircuit, Step};
use lockstep_engine::pipeline::Pipeline;
use lockstep_engine::preprocess::Preprocessor;
use lockstep_kafka::preflight::{self, Check, CheckOutcome};
use lockstep_settings::{Overrides, load, modality_word, schema, show_size};

use super::Failure;
use crate::output::print_line;

/// The longest wait for one answer of the brokers.
const ANSWER_WITHIN: Duration = Duration::from_secs(8);

/// Checks the file, its models, and how they fit together. Each model is loaded and run once with zeros. Prints every mistake
/// with its place and its remedy, and exits with 1 if there is any.
///
/// With --connect it also tries the brokers: access, topics, settings, limits and rights. It prints the result of each check, and
/// changes no topic, group or record. Without --connect it contacts no broker.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The pipeline's TOML file
    #[arg(required_unless_present = "schema")]
    config: Option<PathBuf>,
    /// Print the JSON Schema of the configuration, with which editors complete and check a pipeline's file
    #[arg(long, conflicts_with = "config")]
    schema: bool,
    /// Load no models: quicker, but mistakes inside their files stay unseen
    #[arg(long)]
    no_load: bool,
    /// Try brokers, topics and rights; takes up to 30 s if brokers do not answer
    #[arg(long)]
    connect: bool,
    #[command(flatten)]
    overrides: Overrides,
}

pub(crate) fn run(args: Args) -> Result<ExitCode, Failure> {
    let Some(config) = args.config else {
        print_line(schema().trim_end())?;
        return Ok(ExitCode::SUCCESS);
    };
    let pipeline = load(&config, &args.overrides, &lockstep_assemble::describe)?;
    let mut loaded = Vec::new();
    if !args.no_load {
        let backends = lockstep_assemble::backends(&pipeline);
        let outcomes = load_models(&pipeline.steps, &backends);
        let mut errors = Vec::new();
        for outcome in outcomes {
            match outcome {
                Ok(device) => loaded.push(device),
                Err(error) => errors.push(error),
            }
        }
        errors.extend(check_model_memory(&pipeline, &backends).err().into_iter().flatten());
        if !errors.is_empty() {
            let errors: String = errors.iter().map(|error| format!("\n  {error}")).collect();
            return Err(format!("{}: errors in the models{errors}", config.display()).into());
        }
    }
    print_line(summary(&pipeline, &loaded).trim_end())?;
    if !args.connect || connects(&pipeline)? { Ok(ExitCode::SUCCESS) } else { Ok(ExitCode::FAILURE) }
}

/// Checks the brokers for what the pipeline needs, and prints each result. Returns true if every check passed.
fn connects(pipeline: &Pipeline) -> io::Result<bool> {
    print_line("")?;
    let mut is_fine = true;
    for Check { place, outcome } in preflight::try_all(pipeline, ANSWER_WITHIN) {
        match outcome {
            CheckOutcome::Fine => print_line(format!("{place}: ok"))?,
            CheckOutcome::Note(note) => print_line(format!("{place}: note: {note}"))?,
            CheckOutcome::Wrong(why) => {
                is_fine = false;
                print_line(format!("{place}: {why}"))?;
            }
        }
    }
    Ok(is_fine)
}

/// Prepares each step's preprocessing and loads its model once, with its warm-up, on this thread. Returns the device or the
/// error of each step, in the order of the steps.
fn load_models(steps: &[Step], backends: &[Arc<dyn Backend>]) -> Vec<Result<String, String>> {
    let load = |name: &str, model: &LoadModel| {
        let Some(backend) = backends.iter().find(|backend| backend.name() == name) else {
            let names: Vec<&str> = backends.iter().map(|backend| backend.name()).collect();
            return Err(format!(
                "model {}/{}: backend = {name:?} in model.toml is unknown; write one of {}",
                model.name,
                model.version,
                names.join(", ")
            ));
        };
        let loaded = backend.load(model).map_err(|error| error.to_string())?;
        Ok(loaded.device().to_owned())
    };
    let one = |step: &Step| {
        for (binding, tensor) in step.bindings.iter().zip(&step.unit.model.signature.inputs) {
            if let Some(preprocess) = binding.preprocess() {
                Preprocessor::new(preprocess).map_err(|why| format!("tensor {}: {why}", tensor.name))?;
            }
        }
        if let OnOpenCircuit::Fallback(fallback) = &step.care.on_open_circuit {
            load(&fallback.backend, &fallback.model)?;
        }
        load(&step.unit.backend, &step.unit.model)
    };
    steps.iter().map(|step| one(step).map_err(|error| format!("steps.{}: {error}", step.name))).collect()
}

/// Describes the pipeline for people, in the order of the data. `loaded` holds the devices of the steps' models.
fn summary(pipeline: &Pipeline, loaded: &[String]) -> String {
    let mut text = format!("{}: ok\n", pipeline.name);
    // Writing to a string cannot fail.
    let _ = write_summary(&mut text, pipeline, loaded);
    text
}

fn write_summary(to: &mut String, pipeline: &Pipeline, loaded: &[String]) -> std::fmt::Result {
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
    use lockstep_backend::{BackendError, Model};
    use lockstep_builtin::Builtin;

    use super::*;

    struct Broken;

    impl Backend for Broken {
        fn name(&self) -> &'static str {
            "libtorch"
        }

        fn load(&self, model: &LoadModel) -> Result<Box<dyn Model>, BackendError> {
            let model = format!("{}/{}", model.name, model.version);
            Err(BackendError::Load { model, message: "the file is cut short".to_owned() })
        }

        fn devices(&self) -> Vec<String> {
            Vec::new()
        }
    }

    fn talking_face() -> Pipeline {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("config/talking-face.toml");
        load(&path, &Overrides::default(), &lockstep_assemble::describe)
            .expect("the shipped pipeline is valid")
    }

    #[test]
    fn check_names_the_step_of_each_unusable_model() {
        let steps = talking_face().steps;
        let loaded = load_models(&steps, &[Arc::new(Broken)]);
        assert_eq!(loaded[0], Err("steps.faces: model faces/1: the file is cut short".to_owned()));
        assert_eq!(loaded[1], Err("steps.voice: model voice/1: the file is cut short".to_owned()));
        let none = load_models(&steps, &[Arc::new(Builtin)]);
        let error = none[0].clone().expect_err("builtin does not run TorchScript");
        assert!(error.contains("\"libtorch\"") && error.contains("one of builtin"), "{error}");
    }

    #[test]
    fn summary_names_sources_shapes_and_topics() {
        let text = summary(&talking_face(), &["cpu".to_owned(), "cpu".to_owned()]);
        for line in [
            "the pivot: a bundle for each",
            "all from 512ms before the pivot to 0ns after it; a bundle without goes on",
            "takes frames: f32 [3, 240, 320] a row, from input video",
            "takes audio: f32 [8192] a row, from input audio",
            "takes state: f32 [2, 128] a row, zeros",
            "to topic talking-face.results",
            "256 MiB",
        ] {
            assert!(text.contains(line), "{line:?} is missing in\n{text}");
        }
    }
}
