//! Pipelines from TOML, checked whole: every mistake at once, each with its place and its remedy.
//! `docs/configuration.md` is the reference; a test compares it with the keys that are read here.

mod align;
mod batching;
mod device;
mod input;
mod inputs;
mod kinds;
mod models;
mod order;
mod outputs;
mod overrides;
mod problem;
mod reader;
mod residency;
mod scaling;
mod schema;
mod service;
mod shed;
mod steps;
mod supervision;
mod tensors;
pub mod token;
mod whole;

use std::path::Path;

use lockstep_engine::align::AlignPolicy;
use lockstep_engine::infer::step::Step;
use lockstep_engine::ingest::InputSpec;
use lockstep_engine::pipeline::{KafkaSpec, Pipeline};
use lockstep_kafka::client_trial::try_clients;
use toml::de::DeTable;

pub use kinds::{parse_duration, show_size};
pub use models::{Describe, describing};
pub use overrides::Overrides;
pub use problem::Problems;
pub use schema::schema;
pub use tensors::modality_word;

use kinds::count;
use reader::{Notes, Section};

/// Reads a pipeline from a file. Relative paths in it are relative to the file. `describe` reads models that have no `model.toml`.
///
/// # Errors
/// All mistakes in the file, the overrides, and the models and files that it names.
pub fn load(path: &Path, overrides: &Overrides, describe: Describe<'_>) -> Result<Pipeline, Problems> {
    let text = read_text(path)?;
    let notes = Notes::new(&text);
    let document = parse(&text, &notes);
    let pipeline = document.as_ref().and_then(|document| {
        read(&Section::root(&notes, document), &notes, base_of(path), overrides, describe)
    });
    finish(path, notes, pipeline)
}

/// Reads only the inputs of a pipeline and how they are joined. It looks for no models or brokers, and ignores
/// mistakes elsewhere in the file.
///
/// # Errors
/// All mistakes in `[inputs]` and `[align]`.
pub fn load_alignment(path: &Path) -> Result<(Vec<InputSpec>, AlignPolicy), Problems> {
    let text = read_text(path)?;
    let notes = Notes::new(&text);
    let document = parse(&text, &notes);
    let inputs = document.as_ref().and_then(|document| inputs::read(&Section::root(&notes, document)));
    finish(path, notes, inputs.map(|inputs| (inputs.specs, inputs.align)))
}

/// Reads only how to reach a pipeline's brokers. `brokers` replaces those that the file names. Mistakes elsewhere in the
/// file are ignored.
///
/// # Errors
/// All mistakes in `[kafka]`, or in `brokers`.
pub fn load_kafka(path: &Path, brokers: Option<&str>) -> Result<KafkaSpec, Problems> {
    let text = read_text(path)?;
    let notes = Notes::new(&text);
    let document = parse(&text, &notes);
    let mut kafka = document
        .as_ref()
        .map(|document| service::kafka(&Section::root(&notes, document), base_of(path), "lockstep"));
    if let (Some(kafka), Some(brokers)) = (&mut kafka, brokers) {
        overrides::set_brokers(&notes, kafka, brokers);
    }
    finish(path, notes, kafka)
}

fn read_text(path: &Path) -> Result<String, Problems> {
    std::fs::read_to_string(path).map_err(|error| {
        let message = format!("cannot be read: {error}; write the path of a pipeline's TOML file");
        Problems::new(path, vec![problem::Problem { place: None, key: String::new(), message }])
    })
}

/// The folder of the file, to which paths in it are relative.
fn base_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn finish<T>(path: &Path, notes: Notes<'_>, value: Option<T>) -> Result<T, Problems> {
    let problems = notes.into_problems();
    match value {
        Some(value) if problems.is_empty() => Ok(value),
        _ => Err(Problems::new(path, problems)),
    }
}

/// Notes every mistake of syntax. If there is one, the content is not read.
fn parse<'a>(text: &'a str, notes: &Notes<'a>) -> Option<toml::Spanned<DeTable<'a>>> {
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let message = format!("is not TOML: {}", error.message().replace('\n', ", "));
        notes.at(error.span().map(|span| span.start), "", message);
    }
    errors.is_empty().then_some(document)
}

fn read(
    root: &Section<'_>,
    notes: &Notes<'_>,
    base: &Path,
    overrides: &Overrides,
    describe: Describe<'_>,
) -> Option<Pipeline> {
    let (name, shards) = match root.required_table("pipeline", "[pipeline] with name = \"…\"") {
        Some(section) => {
            let name = section.required("name", "name = \"…\"", service::topic);
            let shards = section.or("shards", 1, count(1..=scaling::MOST_SHARDS));
            section.finish();
            (name, shards)
        }
        None => (None, 1),
    };
    let topics = name.as_deref().unwrap_or("pipeline");
    let mut kafka = service::kafka(root, base, topics);
    let inputs = inputs::read(root);
    let steps = steps::read(root, inputs.as_ref(), base, describe);
    let publish = service::results(root, topics, steps.iter().any(Step::is_stateful));
    let delivery = service::delivery(root);
    let scaling = scaling::scaling(root, &steps);
    let mut limits = service::limits(root);
    let supervision = supervision::supervision(root);
    let (mut http, http_token) = service::http(root, base);
    root.finish();
    let mut steps = steps;
    overrides.apply(notes, &mut kafka, &mut limits, &mut http, &mut steps);
    let inputs = inputs?;
    whole::check(root, &inputs.specs, &publish, &limits);
    whole::check_delivery(root, &kafka, &inputs.align, &delivery);
    // Each property has been checked alone; librdkafka refuses some only together with others.
    if !root.has_problems()
        && let Err(error) = try_clients(&kafka, delivery.guarantee)
    {
        root.wrong("kafka", error.to_string());
    }
    Some(Pipeline {
        name: name?,
        kafka,
        inputs: inputs.specs,
        align: inputs.align,
        shards,
        scaling,
        steps,
        publish,
        delivery,
        limits,
        supervision,
        http,
        http_token,
    })
}

#[cfg(test)]
mod tests;
