//! `lockstep check`: the configuration, its models, and with `--connect` its brokers.

mod memory;
mod summary;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use lockstep_actors::{Footprint, check_model_memory, footprint};
use lockstep_backend::Backend;
use lockstep_engine::infer::load_model::LoadModel;
use lockstep_engine::infer::step::{OnOpenCircuit, Step};
use lockstep_engine::pipeline::Pipeline;
use lockstep_engine::preprocess::Preprocessor;
use lockstep_kafka::preflight::{self, Check, CheckOutcome};
use lockstep_settings::{Overrides, load, schema};

use self::summary::summary;
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
    let backends = lockstep_assemble::backends(&pipeline);
    let (mut loaded, mut errors) = (Vec::new(), Vec::new());
    if !args.no_load {
        for outcome in load_models(&pipeline.steps, &backends) {
            match outcome {
                Ok(device) => loaded.push(device),
                Err(error) => errors.push(error),
            }
        }
    }
    errors.extend(check_model_memory(&pipeline, &backends).err().into_iter().flatten());
    if !errors.is_empty() {
        let errors: String = errors.iter().map(|error| format!("\n  {error}")).collect();
        return Err(format!("{}: errors in the models{errors}", config.display()).into());
    }
    let footprints: Vec<Footprint> = pipeline.steps.iter().map(|step| footprint(step, &backends)).collect();
    print_line(summary(&pipeline, &loaded, &footprints).trim_end())?;
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
}
