//! The access to brokers of commands that read or write topics by themselves.

use std::collections::BTreeMap;
use std::path::PathBuf;

use lockstep_engine::pipeline::{KafkaSpec, StartAt};
use lockstep_settings as settings;

use super::Failure;

/// The brokers and the properties of their clients.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Cluster {
    /// Brokers (default: those of --config)
    #[arg(long, value_name = "HOST:PORT,…", env = "LOCKSTEP_BROKERS", required_unless_present = "config")]
    brokers: Option<String>,
    /// A pipeline's configuration, whose `[kafka]` section says how to reach the brokers: TLS, users, where secrets
    /// are
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Cluster {
    /// The settings of the clients.
    ///
    /// # Errors
    /// All mistakes in the `[kafka]` section, or in the brokers.
    pub(crate) fn spec(&self) -> Result<KafkaSpec, Failure> {
        let brokers = self.brokers.as_deref();
        match &self.config {
            Some(path) => Ok(settings::load_kafka(path, brokers)?),
            None => Ok(plain(brokers.unwrap_or_default())),
        }
    }
}

/// Brokers that are reached without further ado.
pub(crate) fn plain(brokers: &str) -> KafkaSpec {
    KafkaSpec {
        brokers: brokers.to_owned(),
        group: String::new(),
        start: StartAt::default(),
        group_protocol: Default::default(),
        consumer: BTreeMap::new(),
        producer: BTreeMap::new(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        cluster: Cluster,
    }

    /// The settings of the clients for these arguments, where `FILE` is a file with this text.
    fn spec(args: &str, text: &str) -> Result<KafkaSpec, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let args = args.replace("FILE", file.path().to_str().unwrap());
        let args = std::iter::once("command").chain(args.split_whitespace());
        let command = Command::try_parse_from(args).map_err(|error| error.to_string())?;
        command.cluster.spec().map_err(|error| error.to_string())
    }

    const SECURED: &str = "\
        [kafka]\nbrokers = \"kafka:9093\"\n[kafka.properties]\n\"security.protocol\" = \"ssl\"\n[kafka.producer]\n\
        \"compression.type\" = \"zstd\"\n[steps]\nmistakes = \"elsewhere\"\n";

    #[test]
    fn brokers_of_the_command_line_override_the_configuration() {
        let found = spec("--config FILE", SECURED).unwrap();
        assert_eq!(found.brokers, "kafka:9093");
        assert_eq!(found.consumer["security.protocol"], "ssl");
        assert_eq!(found.producer["security.protocol"], "ssl");
        assert_eq!(found.producer["compression.type"], "zstd");
        let other = spec("--config FILE --brokers there:1", SECURED).unwrap();
        assert_eq!((other.brokers.as_str(), other.consumer), ("there:1", found.consumer));
        assert_eq!(spec("--brokers there:1", "").unwrap(), plain("there:1"));
    }

    #[test]
    fn what_is_missing_or_wrong_is_said() {
        let missing = spec("", "").unwrap_err();
        assert!(missing.contains("--brokers"), "{missing}");
        let wrong = spec("--config FILE", "[kafka]\nbrokers = \"nowhere\"\n").unwrap_err();
        assert!(wrong.contains("kafka.brokers") && wrong.contains("host1:9092"), "{wrong}");
        let wrong = spec("--config FILE --brokers nowhere", SECURED).unwrap_err();
        assert!(wrong.contains("--brokers") && wrong.contains("host1:9092"), "{wrong}");
    }
}
