//! `lockstep topics`: creates the topics of a pipeline.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;
use lockstep_engine::pipeline::KafkaSpec;
use lockstep_kafka::admin::{self, CreateOutcome, TopicSpec};
use lockstep_kafka::describe::Describer;
use lockstep_settings::{self as settings, Overrides};

use super::Failure;
use crate::output::print_line;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Create the topics of a pipeline's inputs and outputs, all with the same number of partitions
    Create {
        /// The pipeline's configuration
        config: PathBuf,
        /// Brokers to use instead of the configuration's
        #[arg(long, value_name = "HOST:PORT,…", env = "LOCKSTEP_BROKERS")]
        brokers: Option<String>,
        /// Partitions of each topic: the most processes that can share the work
        #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(i32).range(1..=10_000))]
        partitions: i32,
        /// Replicas of each partition (default: the brokers' own)
        #[arg(long, value_parser = clap::value_parser!(i32).range(1..=100))]
        replication: Option<i32>,
    },
}

pub(crate) fn run(args: Args) -> Result<ExitCode, Failure> {
    let Action::Create { config, brokers, partitions, replication } = args.action;
    let overrides = Overrides { brokers, ..Overrides::default() };
    let pipeline = settings::load(&config, &overrides, &lockstep_assemble::describe)?;
    let topic = |name: &str| TopicSpec { name: name.into(), partitions, replication, is_compacted: false };
    let (kafka, within) = (&pipeline.kafka, Duration::from_secs(15));
    let make = |topics: &[TopicSpec], own: &[(&str, String)]| {
        admin::create_topics_with(&kafka.brokers, &kafka.consumer, topics, own, within)
    };
    let (results, state) = (pipeline.publish.results.as_str(), pipeline.publish.state.as_deref());
    let inputs: Vec<TopicSpec> = admin::input_topics(&pipeline).into_iter().map(topic).collect();
    let copies = admin::output_topics(&pipeline).into_iter().filter(|name| *name != results);
    let copies: Vec<TopicSpec> = copies.map(topic).collect();
    let state = state.map(|name| TopicSpec { is_compacted: true, ..topic(name) });
    // Records are deleted by age and never compacted, whatever the brokers' default is.
    let deleted = ("cleanup.policy", "delete".to_owned());
    let mut made = make(&inputs, &[])?;
    made.extend(make(&[topic(results)], std::slice::from_ref(&deleted))?);
    // A dead letter or late record is a record of an input with more headers.
    let largest = largest_input(kafka, &inputs)?.saturating_add(MORE_HEADERS);
    made.extend(make(&copies, &[deleted, ("max.message.bytes", largest.to_string())])?);
    let mut topics = inputs;
    topics.push(topic(results));
    topics.extend(copies);
    if let Some(state) = state {
        made.extend(make(std::slice::from_ref(&state), &[])?);
        topics.push(state);
    }
    let mut failed = false;
    for (topic, made) in topics.iter().zip(made) {
        match made {
            Ok(CreateOutcome::Created) => {
                print_line(format!("{}: created with {partitions} partitions", topic.name))?;
            }
            Ok(CreateOutcome::Existed) => {
                print_line(format!("{}: there already, with {partitions} partitions", topic.name))?;
            }
            Err(error) => {
                failed = true;
                eprintln!("error: {error}");
            }
        }
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The bytes of headers that a dead letter adds to its record.
const MORE_HEADERS: usize = 64 << 10;
/// Kafka's default of `max.message.bytes`.
const USUAL: usize = 1_048_588;

/// The largest batch that an input takes.
fn largest_input(kafka: &KafkaSpec, inputs: &[TopicSpec]) -> Result<usize, Failure> {
    let describer = Describer::new(&kafka.brokers, &kafka.consumer, Duration::from_secs(5))?;
    let names: Vec<&str> = inputs.iter().map(|topic| topic.name.as_str()).collect();
    let rules = describer.topics(&names);
    let limits = rules.into_values().filter_map(|rules| rules.ok()?.max_batch);
    Ok(limits.fold(USUAL, usize::max))
}
