//! The brokers that a bench measures on, and the time that it has.

use std::time::Duration;

use lockstep_assemble::Failure;
use lockstep_kafka::admin::{self, TopicSpec};
use lockstep_kafka::embedded::EmbeddedBroker;
use lockstep_telemetry::Metrics;

/// The broker, the metrics and the folder that all benches share.
pub(crate) struct Ground {
    /// Ends with the bench.
    pub(crate) embedded: Option<EmbeddedBroker>,
    pub(crate) brokers: String,
    pub(crate) budget: Duration,
    /// The metrics of this process.
    pub(crate) metrics: Metrics,
}

/// The bytes that fit into a partition of the embedded broker, with room to spare.
pub(crate) const PARTITION_BYTES: usize = 4 << 20;

impl Ground {
    pub(crate) fn new(brokers: Option<String>, budget: Duration, metrics: Metrics) -> Result<Self, Failure> {
        let embedded = brokers.is_none().then(|| EmbeddedBroker::start(&[])).transpose()?;
        let brokers = brokers.or_else(|| embedded.as_ref().map(|b| b.address().to_owned()));
        Ok(Self { embedded, brokers: brokers.unwrap_or_default(), budget, metrics })
    }

    /// Makes a topic under a name that no other run has.
    pub(crate) fn topic(&self, what: &str, partitions: i32) -> Result<String, Failure> {
        let unique = lockstep_engine::time::Timestamp::now().as_millis();
        let name = format!("lockstep-bench-{what}-{unique}");
        match &self.embedded {
            Some(broker) => broker.create_topic(&name, partitions)?,
            None => {
                let topic =
                    TopicSpec { name: name.clone(), partitions, replication: None, is_compacted: false };
                let made = admin::create_topics(
                    &self.brokers,
                    &std::collections::BTreeMap::new(),
                    &[topic],
                    Duration::from_secs(10),
                )?;
                made.into_iter().collect::<Result<Vec<_>, _>>()?;
            }
        }
        Ok(name)
    }
}
