//! Streams that have a sample of each of two inputs for the same event time, and the pipelines that join them.

#![allow(clippy::disallowed_methods, reason = "it sends by the clock")]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use lockstep_assemble::Failure;
use lockstep_engine::ingest::wire::EVENT_TIME_NS;
use lockstep_engine::pipeline::{KafkaSpec, Pipeline};
use lockstep_engine::publish::sink::{OutRecord, Sink};
use lockstep_engine::sample::Header;
use lockstep_engine::scaling::Policy;
use lockstep_engine::time::Timestamp;
use lockstep_kafka::sink::KafkaSink;
use lockstep_settings::{Overrides, load};

use crate::ground::{Ground, PARTITION_BYTES};
use crate::live::Live;
use crate::pipelines::Folder;

/// The partitions of each input.
pub(super) const PARTITIONS: i32 = 16;
/// Each partition has as many of them.
pub(super) const STREAMS: u64 = 16;
/// The producer's queue, in bytes.
const QUEUE: usize = 8 << 20;
/// The longest wait for all acknowledgements.
const PATIENCE: Duration = Duration::from_secs(60);

/// The topics and the model of a measurement over pairs.
pub(super) struct Workload {
    pub(super) content_type: String,
    /// One sample of the input that the model takes, and one of the other.
    pub(super) values: [Bytes; 2],
    /// The step: `model`, `device`, `batch`, its inputs and outputs.
    pub(super) step: String,
}

/// The settings of a pipeline over pairs.
pub(super) struct Settings<'a> {
    pub(super) policy: Policy,
    /// `limits.memory` in MiB; as it is by default if not said.
    pub(super) memory: Option<u64>,
    /// Where metrics are served, if they are.
    pub(super) listen: Option<&'a str>,
}

const IDENTITY: &str = "\
[steps.model]\nmodel = \"identity\"\nbatch = { max_size = 64, max_delay = \"1ms\" }\n\n\
[steps.model.inputs]\npayload = { from = \"first\", bytes = { length = 200 } }\n\n\
[steps.model.outputs]\n\n";

impl Workload {
    /// The identity over pairs of 200 bytes, of which nothing is shown.
    pub(super) fn identity() -> Self {
        let value = Bytes::from(vec![7_u8; 200]);
        Self {
            content_type: "application/octet-stream".to_owned(),
            values: [value.clone(), value],
            step: IDENTITY.to_owned(),
        }
    }

    /// The number of pairs that the embedded broker holds before it drops the oldest. None with another broker.
    pub(super) fn room(&self, ground: &Ground) -> Option<u64> {
        self.room_of(ground, PARTITIONS)
    }

    /// The same for a number of partitions of each input.
    pub(super) fn room_of(&self, ground: &Ground, partitions: i32) -> Option<u64> {
        let largest = self.values.iter().map(Bytes::len).max().unwrap_or(0);
        let each = (PARTITION_BYTES / (largest + 150)) as u64;
        ground.embedded.as_ref().map(|_| each * u64::from(partitions.unsigned_abs()))
    }

    /// Writes a pipeline over topics, in a consumer group of its own that begins with the oldest record.
    pub(super) fn write(
        &self,
        ground: &Ground,
        folder: &Folder,
        topics: &PairTopics,
        settings: &Settings<'_>,
    ) -> Result<PathBuf, Failure> {
        let Self { content_type, step, .. } = self;
        let PairTopics { inputs: [first, second], results, dead_letters, .. } = topics;
        let group = format!("lockstep-bench-{}", Timestamp::now().as_nanos());
        let listen = settings.listen.map_or_else(|| "false".to_owned(), |at| format!("\"{at}\""));
        let limits =
            settings.memory.map_or_else(String::new, |mib| format!("[limits]\nmemory = \"{mib}MiB\"\n\n"));
        // The first of a pair waits for the other however long one topic is read before the other, and however slow the
        // machine is: with timers a record would be late where it is busy.
        let idle = "idle_timeout = \"1h\"\n";
        // The wait for a fetch: the embedded broker answers one only when its time is up.
        let toml = format!(
            "[pipeline]\nname = \"bench-load\"\n\n\
             [kafka]\nbrokers = \"{}\"\ngroup = \"{group}\"\n\n\
             [kafka.consumer]\n\"fetch.wait.max.ms\" = 5\n\n\
             [inputs.first]\ntopic = \"{first}\"\ncontent_type = \"{content_type}\"\n{idle}\n\
             [inputs.second]\ntopic = \"{second}\"\ncontent_type = \"application/octet-stream\"\n{idle}\n\
             [align]\nmethod = \"exact\"\nmax_wait = \"1h\"\n\n\
             [models]\nrepository = \".\"\n\n{step}\n\
             [scaling]\npolicy = \"{}\"\n\n{limits}\
             [results]\ntopic = \"{results}\"\ndead_letters = \"{dead_letters}\"\nlate = false\n\n\
             [http]\nlisten = {listen}\n",
            ground.brokers,
            settings.policy.as_str(),
        );
        let path = folder.path().join("load.toml");
        std::fs::write(&path, toml)?;
        Ok(path)
    }

    /// The same, to be run in this process.
    pub(super) fn pipeline(
        &self,
        ground: &Ground,
        folder: &Folder,
        topics: &PairTopics,
        policy: Policy,
    ) -> Result<Pipeline, Failure> {
        let settings = Settings { policy, memory: None, listen: None };
        load(
            &self.write(ground, folder, topics, &settings)?,
            &Overrides::default(),
            &lockstep_assemble::describe,
        )
        .map_err(Into::into)
    }
}

/// The topics of a pipeline.
pub(super) struct PairTopics {
    pub(super) inputs: [String; 2],
    pub(super) results: String,
    dead_letters: String,
    partitions: i32,
    /// The number of streams.
    pub(super) streams: u64,
}

impl PairTopics {
    pub(super) fn new(ground: &Ground) -> Result<Self, Failure> {
        Self::with(ground, PARTITIONS, STREAMS)
    }

    /// Creates the topics with a number of partitions of each input and of the results, for a number of streams.
    pub(super) fn with(ground: &Ground, partitions: i32, streams: u64) -> Result<Self, Failure> {
        Ok(Self {
            inputs: [ground.topic("first", partitions)?, ground.topic("second", partitions)?],
            results: ground.topic("results", partitions)?,
            dead_letters: ground.topic("dead-letters", 1)?,
            partitions,
            streams,
        })
    }
}

/// Sends pairs.
pub(super) struct Feeder<'a> {
    sink: KafkaSink,
    topics: [Arc<str>; 2],
    values: &'a [Bytes; 2],
    streams: u64,
    partitions: i32,
    sent: u64,
    last: Timestamp,
    failed: Arc<AtomicU64>,
}

impl<'a> Feeder<'a> {
    pub(super) fn start(
        kafka: &KafkaSpec,
        topics: &PairTopics,
        values: &'a [Bytes; 2],
    ) -> Result<Self, Failure> {
        let producer = [("linger.ms".to_owned(), "2".to_owned())].into();
        let spec = KafkaSpec { producer, ..kafka.clone() };
        let failed = Arc::new(AtomicU64::new(0));
        let failures = failed.clone();
        let sink = KafkaSink::start(
            &spec,
            QUEUE,
            Arc::new(move |delivery| {
                failures.fetch_add(u64::from(delivery.outcome.is_err()), Ordering::Relaxed);
            }),
        )?;
        let (partitions, streams) = (topics.partitions, topics.streams);
        let topics = topics.inputs.clone().map(|topic| topic.as_str().into());
        Ok(Self { sink, topics, values, streams, partitions, sent: 0, last: Timestamp::MIN, failed })
    }

    /// The number of pairs sent.
    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    /// Sends the pair of the next stream. Event times ascend, whatever is asked for.
    pub(super) fn send(&mut self, event_time: Timestamp) {
        self.last = event_time.max(self.last.after(Duration::from_nanos(1)));
        let stream = self.sent % self.streams;
        let key = Bytes::from(format!("stream-{stream}"));
        let partition = i32::try_from(stream % u64::from(self.partitions.unsigned_abs())).ok();
        for (topic, value) in self.topics.iter().zip(self.values) {
            let record = OutRecord {
                topic: topic.clone(),
                partition,
                key: Some(key.clone()),
                payload: value.clone(),
                headers: vec![Header::new(EVENT_TIME_NS, self.last.as_nanos().to_string())],
                timestamp: None,
            };
            while self.sink.send(&record, self.sent).is_err() {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        self.sent += 1;
    }

    /// Sends pairs at a rate while `on` returns true. `on` gets the due time of the pair before, which is its event time.
    pub(super) fn pace(&mut self, rate: f64, mut on: impl FnMut(Timestamp) -> bool) {
        let since = Timestamp::now();
        for number in 1_u64.. {
            let due = since.after(Duration::from_secs_f64(number as f64 / rate));
            std::thread::sleep(due.since(Timestamp::now()));
            self.send(due);
            if !on(due) {
                break;
            }
        }
    }

    /// Sends a number of pairs: the first at once, the others at a rate once its result is there. Clients take up to a second
    /// to connect to their broker, during which pairs would pile up.
    pub(super) fn pace_behind_first(
        &mut self,
        live: &Live<'_>,
        rate: f64,
        pairs: u64,
        mut on: impl FnMut(Timestamp),
    ) -> Result<(), Failure> {
        self.send(Timestamp::now());
        if live.has_result()? && pairs > 1 {
            let mut left = pairs - 1;
            self.pace(rate, |due| {
                on(due);
                left -= 1;
                left > 0 && !live.stop.is_stopped()
            });
        }
        Ok(())
    }

    /// Waits until the broker has all.
    pub(super) fn finish(mut self) -> Result<(), Failure> {
        let left = self.sink.flush(PATIENCE).err().unwrap_or(0);
        let failed = self.failed.load(Ordering::Relaxed);
        if left > 0 || failed > 0 {
            return Err(format!("{left} records could not be sent in time, and {failed} not at all").into());
        }
        Ok(())
    }
}

/// Sends a number of pairs at once, with event times as if they had come at a rate until now. Returns that time.
pub(super) fn fill(mut feeder: Feeder<'_>, pairs: u64, rate: f64) -> Result<Timestamp, Failure> {
    let now = Timestamp::now();
    for number in 0..pairs {
        feeder.send(now.before(Duration::from_secs_f64((pairs - number) as f64 / rate)));
    }
    feeder.finish()?;
    Ok(now)
}
