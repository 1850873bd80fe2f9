//! `lockstep topics`

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;
use lockstep_connectors::kafka::admin::{self, Made, TopicSpec};

use super::Failure;
use crate::settings::{self, Overrides};

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
        /// On how many brokers each partition is kept (the brokers' own default if not said)
        #[arg(long, value_parser = clap::value_parser!(i32).range(1..=100))]
        replication: Option<i32>,
    },
}

pub(crate) fn run(args: Args) -> Result<ExitCode, Failure> {
    let Action::Create { config, brokers, partitions, replication } = args.action;
    let overrides = Overrides { brokers, ..Overrides::default() };
    let pipeline = settings::load(&config, &overrides)?;
    let mut names = admin::input_topics(&pipeline);
    names.extend(admin::output_topics(&pipeline));
    let topic = |name: &str| TopicSpec { name: name.into(), partitions, replication, is_compacted: false };
    let mut topics: Vec<TopicSpec> = names.into_iter().map(topic).collect();
    topics.extend(
        pipeline.publish.state.as_deref().map(|name| TopicSpec { is_compacted: true, ..topic(name) }),
    );
    let kafka = &pipeline.kafka;
    let made = admin::create_topics(&kafka.brokers, &kafka.consumer, &topics, Duration::from_secs(15))?;
    let mut failed = false;
    for (topic, made) in topics.iter().zip(made) {
        match made {
            Ok(Made::Created) => println!("{}: created with {partitions} partitions", topic.name),
            Ok(Made::Existed) => println!("{}: there already, with {partitions} partitions", topic.name),
            Err(error) => {
                failed = true;
                eprintln!("error: {error}");
            }
        }
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
