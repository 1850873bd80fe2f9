//! The topics that a producer writes to: the rules of each, and the bytes in flight to each.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lockstep_engine::pipeline::KafkaSpec;
use lockstep_engine::publish::send_window::SendWindow;
use lockstep_engine::publish::sink::OutRecord;
use lockstep_engine::publish::topic_rules::TopicRules;
use lockstep_engine::telemetry;
use lockstep_engine::time::Timestamp;
use parking_lot::Mutex;
use rdkafka::config::ClientConfig;

use super::describe::{DescribedRules, Describer};
use super::log_throttle::LogThrottle;

/// The limit for an answer about the rules of topics.
const DESCRIBE_WITHIN: Duration = Duration::from_secs(5);

/// All topics of a producer.
pub(super) struct Outlets {
    brokers: String,
    properties: BTreeMap<String, String>,
    /// The largest batch that the client builds, in bytes.
    largest_batch: usize,
    is_compressed: bool,
    topics: Mutex<HashMap<Arc<str>, Outlet>>,
    is_asking: AtomicBool,
    log_throttle: Mutex<LogThrottle>,
}

#[derive(Default)]
struct Outlet {
    window: SendWindow,
    rules: TopicRules,
}

/// The decision about a record to be sent.
pub(super) enum Admission {
    /// Send it with this timestamp.
    Send(Option<Timestamp>),
    /// Try again later.
    Wait,
    /// The topic does not take it, for this reason.
    Refuse(String),
}

impl Outlets {
    /// Makes the outlets of a producer with these settings.
    pub(super) fn new(spec: &KafkaSpec, settings: &ClientConfig) -> Self {
        // The default of librdkafka.
        const BATCH: usize = 1_000_000;
        let number = |name| settings.get(name).and_then(|value| value.parse().ok());
        let largest_batch =
            number("batch.size").unwrap_or(BATCH).min(number("message.max.bytes").unwrap_or(BATCH));
        let compression = ["compression.type", "compression.codec"];
        let is_compressed =
            compression.into_iter().filter_map(|name| settings.get(name)).any(|codec| codec != "none");
        Self {
            brokers: spec.brokers.clone(),
            properties: spec.producer.clone(),
            largest_batch,
            is_compressed,
            topics: Mutex::default(),
            is_asking: AtomicBool::new(false),
            log_throttle: Mutex::default(),
        }
    }

    /// Asks the brokers for the rules of topics, and applies them from now on. A topic without an answer keeps the rules it had.
    pub(super) fn learn(&self, topics: &[&str]) {
        let described = match Describer::new(&self.brokers, &self.properties, DESCRIBE_WITHIN) {
            Ok(describer) => describer.topics(topics),
            Err(error) => {
                tracing::debug!(%error, "cannot read the rules of topics");
                return;
            }
        };
        self.know(described);
    }

    fn know(&self, described: DescribedRules) {
        let mut outlets = self.topics.lock();
        for (topic, rules) in described {
            let rules = match rules {
                Ok(rules) => rules,
                Err(error) => {
                    tracing::debug!(topic, %error, "cannot read the rules of a topic");
                    continue;
                }
            };
            let outlet = outlets.entry(topic.into()).or_default();
            if let Some(limit) = rules.max_batch.filter(|limit| *limit < self.largest_batch) {
                outlet.window.limit(limit);
            }
            outlet.rules = rules;
        }
    }

    /// Counts a record as in flight if its topic takes it and its window has space.
    pub(super) fn admit(&self, record: &OutRecord, bytes: usize, number: u64) -> Admission {
        let mut outlets = self.topics.lock();
        let outlet = match outlets.get_mut(&record.topic) {
            Some(outlet) => outlet,
            None => outlets.entry(record.topic.clone()).or_default(),
        };
        // `bytes` is known already, and more than the size of any batch of one record.
        let is_near = |limit: &usize| !self.is_compressed && bytes > *limit;
        if let Some(limit) = outlet.rules.max_batch.filter(is_near) {
            let size = record.batch_size();
            if outlet.rules.is_too_large(size) {
                let topic = &record.topic;
                return Admission::Refuse(format!(
                    "it has {size} bytes, and the topic {topic} takes {limit} (max.message.bytes)"
                ));
            }
        }
        if outlet.rules.is_compacted && record.key.is_none() {
            let topic = &record.topic;
            return Admission::Refuse(format!(
                "it has no key, and the topic {topic} is compacted (cleanup.policy)"
            ));
        }
        if !outlet.window.admit(bytes, number) {
            return Admission::Wait;
        }
        let timestamp =
            record.timestamp.filter(|timestamp| outlet.rules.keeps(*timestamp, Timestamp::wall()));
        drop(outlets);
        if timestamp != record.timestamp {
            self.report_restamped(record);
        }
        Admission::Send(timestamp)
    }

    fn report_restamped(&self, record: &OutRecord) {
        telemetry::delivery::restamped(&record.topic);
        if self.log_throttle.lock().admit(&record.topic, Instant::now()).is_some() {
            let event_time = record.timestamp.map(|timestamp| timestamp.to_string());
            tracing::warn!(
                topic = &*record.topic,
                event_time,
                remedy = "raise retention.ms, or message.timestamp.before.max.ms and message.timestamp.after.max.ms",
                "records get the time of writing as their timestamp, the topic would refuse or soon delete them"
            );
        }
    }

    /// Takes back the count of a record that was not sent.
    pub(super) fn withdraw(&self, topic: &str, bytes: usize) {
        self.with(topic, |window| window.withdraw(bytes));
    }

    /// Counts a record that the broker has acknowledged.
    pub(super) fn taken(&self, topic: &str, bytes: usize) {
        self.with(topic, |window| window.taken(bytes));
    }

    /// Counts a refused batch, and returns true if the record was alone in it. `number` is set if the record is sent again under the same
    /// number.
    pub(super) fn refused(
        self: &Arc<Self>,
        topic: &str,
        bytes: usize,
        number: Option<u64>,
        for_size: bool,
    ) -> bool {
        let mut was_alone = false;
        self.with(topic, |window| was_alone = window.refused(bytes, for_size, number));
        if !was_alone {
            self.learn_again(topic);
        }
        was_alone
    }

    /// Begins to send refused records again.
    pub(super) fn send_again(&self) {
        self.topics.lock().values_mut().for_each(|outlet| outlet.window.send_again());
    }

    fn with(&self, topic: &str, change: impl FnOnce(&mut SendWindow)) {
        if let Some(outlet) = self.topics.lock().get_mut(topic) {
            change(&mut outlet.window);
        }
    }

    /// Asks for a topic's rules on a thread of its own: a refusal shows that they have changed.
    fn learn_again(self: &Arc<Self>, topic: &str) {
        if self.is_asking.swap(true, Ordering::AcqRel) {
            return;
        }
        let (outlets, topic) = (self.clone(), topic.to_owned());
        let started = std::thread::Builder::new().name("kafka-describe".into()).spawn(move || {
            outlets.learn(&[&topic]);
            outlets.is_asking.store(false, Ordering::Release);
        });
        if let Err(error) = started {
            self.is_asking.store(false, Ordering::Release);
            tracing::debug!(%error, "cannot start the thread that reads the rules of a topic");
        }
    }
}
