//! The changelog of the stream state: reads the state of newly assigned partitions.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use bytes::Bytes;
use lockstep_engine::pipeline::KafkaSpec;
use rdkafka::consumer::BaseConsumer;

use super::tail::{ReaderContext, reader};
use super::topic_snapshot::{SnapshotEvent, TopicSnapshot};
use super::{Error, config, watermarks};

/// The limit for one request.
const REQUEST: Duration = Duration::from_secs(5);
/// The limit for open transactions to end. It is longer than the brokers keep the transaction of a dead process open
/// (`transaction.timeout.ms`) and than their interval of checks for those (10 s).
const OPEN_FOR: Duration = Duration::from_secs(60);

/// The latest value of each key, by partition.
pub(super) type States = Vec<(i32, Vec<(Bytes, Bytes)>)>;

/// A compacted topic, in which only the latest value of a key counts.
#[derive(Clone)]
pub(super) struct Changelog {
    brokers: String,
    properties: BTreeMap<String, String>,
    topic: String,
}

impl Changelog {
    pub(super) fn new(spec: &KafkaSpec, topic: &str) -> Self {
        Self { brokers: spec.brokers.clone(), properties: spec.consumer.clone(), topic: topic.to_owned() }
    }

    /// Reads the state of these partitions. First waits for open transactions in them. Such a transaction may belong to a dead
    /// process, and hides later records of other processes until it ends.
    ///
    /// # Errors
    /// When the brokers cannot be reached, or the topic does not exist.
    pub(super) fn read(&self, partitions: &[i32]) -> Result<States, Error> {
        self.wait_for_open_transactions(partitions)?;
        let mut snapshot =
            TopicSnapshot::open_partitions(&self.brokers, &self.properties, &self.topic, |number| {
                partitions.contains(&number)
            })?;
        let mut states: HashMap<i32, HashMap<Bytes, Bytes>> = HashMap::new();
        loop {
            match snapshot.next(Duration::from_millis(100))? {
                SnapshotEvent::Record(record) => {
                    let Some(key) = record.key else { continue };
                    let of_partition = states.entry(record.partition).or_default();
                    // An empty value deletes a key.
                    if record.value.is_empty() {
                        of_partition.remove(&key);
                    } else {
                        of_partition.insert(key, record.value);
                    }
                }
                SnapshotEvent::Nothing => {}
                SnapshotEvent::End => break,
            }
        }
        let mut of = |partition: &i32| states.remove(partition).unwrap_or_default().into_iter().collect();
        Ok(partitions.iter().map(|partition| (*partition, of(partition))).collect())
    }

    fn wait_for_open_transactions(&self, partitions: &[i32]) -> Result<(), Error> {
        let failed = |error| Error::client(format!("cannot read {}", self.topic), error);
        let make = |isolation: &str| -> Result<BaseConsumer<ReaderContext>, Error> {
            let mut settings = reader(&self.brokers, &self.properties, "lockstep-changelog");
            settings.set("isolation.level", isolation);
            settings.create_with_context(ReaderContext).map_err(|error| config::not_made("consumer", &error))
        };
        let (all, ended) = (make("read_uncommitted")?, make("read_committed")?);
        let until = Instant::now() + OPEN_FOR;
        let queried: Vec<(&str, i32)> =
            partitions.iter().map(|partition| (self.topic.as_str(), *partition)).collect();
        let ends = watermarks::high(&all, &queried, REQUEST).map_err(failed)?;
        let mut open: Vec<_> = queried.into_iter().zip(ends).collect();
        loop {
            let queried: Vec<(&str, i32)> = open.iter().map(|(partition, _)| *partition).collect();
            let stable = watermarks::high(&ended, &queried, REQUEST).map_err(failed)?;
            let still = open.into_iter().zip(stable).filter(|((_, end), stable)| stable < end);
            open = still.map(|(partition, _)| partition).collect();
            let Some(((_, partition), _)) = open.first() else { return Ok(()) };
            if Instant::now() >= until {
                let why = format!(
                    "a transaction in partition {partition} has been open for {} s; see that producers' \
                     transaction.timeout.ms is less",
                    OPEN_FOR.as_secs()
                );
                return Err(Error::client(format!("cannot read {}", self.topic), why));
            }
            std::thread::park_timeout(Duration::from_millis(100));
        }
    }
}
