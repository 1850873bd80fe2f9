//! Numbered samples of several streams for two inputs, and the account of the fate of each.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use lockstep_engine::time::Timestamp;
use lockstep_kafka::tail::TailRecord;
use serde_json::Value;

use crate::broker::{Broker, Producer};

/// Nanoseconds of event time between the samples of a stream.
const STEP: i64 = 10_000_000;
/// When the first sample of every stream happened, in nanoseconds. Not long ago: Kafka deletes by the time that records have, and
/// would take results away before they were read.
static BEGAN: LazyLock<i64> = LazyLock::new(|| Timestamp::now().as_nanos());
/// The bytes of a sample, which hold its number.
pub(crate) const BYTES: usize = 16;

/// Publishes samples, a round at a time: one of each stream for each input.
pub(crate) struct NumberedLoad {
    producer: Producer,
    topics: [String; 2],
    streams: usize,
    /// When each round was published.
    published: Vec<Instant>,
    /// The first round that may lack results.
    open: usize,
    /// After how many rounds a sample asks for trouble; 0 for never.
    trouble_every: usize,
}

/// The faults of a model, by the ninth byte of a sample: error, panic, hang, no memory, lost device. The last is a sample
/// that is cut short.
const TROUBLE: [u8; 6] = [1, 2, 3, 4, 5, CUT];
const CUT: u8 = 6;

impl NumberedLoad {
    pub(crate) fn new(broker: &Broker, topics: [String; 2], streams: usize) -> Self {
        Self {
            producer: broker.producer(),
            topics,
            streams,
            published: Vec::new(),
            open: 0,
            trouble_every: 0,
        }
    }

    /// From here on a sample now and then asks for trouble.
    pub(crate) fn make_trouble(&mut self, every: usize) {
        self.trouble_every = every;
    }

    /// The next round.
    pub(crate) fn round(&mut self) {
        let round = self.published.len();
        let at = (*BEGAN + round as i64 * STEP).to_string();
        for stream in 0..self.streams {
            let key = format!("stream-{stream}");
            let mut payload = [0_u8; BYTES].to_vec();
            payload[..8].copy_from_slice(&(round as u64).to_le_bytes());
            if self.trouble_every > 0 && (round + stream).is_multiple_of(self.trouble_every) {
                let trouble = TROUBLE[(round + stream) / self.trouble_every % TROUBLE.len()];
                payload[8] = trouble;
                payload.truncate(if trouble == CUT { BYTES - 1 } else { BYTES });
            }
            for topic in &self.topics {
                let headers = [("event-time-ns", at.clone())];
                self.producer.send(topic, Some(&key), &headers, payload.clone());
            }
        }
        self.published.push(Instant::now());
    }

    /// When the oldest round was published of which a bundle is not among these.
    pub(crate) fn oldest_without(&mut self, ended: &BTreeMap<String, Instant>) -> Option<Instant> {
        while let Some(at) = self.published.get(self.open) {
            if (0..self.streams).any(|stream| !ended.contains_key(&bundle(stream, self.open))) {
                return Some(*at);
            }
            self.open += 1;
        }
        None
    }

    /// The first bundles that are not among these.
    pub(crate) fn without(&self, ended: &BTreeMap<String, Instant>, most: usize) -> Vec<String> {
        let rounds = self.open..self.published.len();
        let all = rounds.flat_map(|round| (0..self.streams).map(move |stream| bundle(stream, round)));
        all.filter(|bundle| !ended.contains_key(bundle)).take(most).collect()
    }

    /// The longest that a sample waited of those published since `from`, in the stream in which that was least.
    pub(crate) fn least_wait(&self, ended: &BTreeMap<String, Instant>, from: Instant) -> Duration {
        let first = self.published.partition_point(|at| *at < from);
        let of_stream = |stream: usize| {
            let rounds = self.published.iter().enumerate().skip(first);
            let waits = rounds.filter_map(|(round, at)| {
                Some(ended.get(&bundle(stream, round))?.saturating_duration_since(*at))
            });
            waits.max().unwrap_or_default()
        };
        (0..self.streams).map(of_stream).min().unwrap_or_default()
    }

    /// The number of bundles of all published samples.
    pub(crate) fn expected(&self) -> usize {
        self.published.len() * self.streams
    }

    /// Waits until the broker has everything, and says how many rounds there were.
    pub(crate) fn finish(self) -> usize {
        self.producer.finish();
        self.published.len()
    }
}

/// The fates of the samples.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    /// Samples in neither a result nor a dead-letter record.
    pub(crate) lost: usize,
    /// Samples in more than one.
    pub(crate) duplicated: usize,
    /// Results that come after one of a later time of their stream for the first time.
    pub(crate) out_of_order: usize,
}

/// Accounts for every sample of a number of rounds: by stream, input and number.
pub(crate) fn account(results: &[TailRecord], dead: &[TailRecord], rounds: usize, streams: usize) -> Account {
    let mut seen: BTreeMap<(String, &str, usize), usize> = BTreeMap::new();
    let mut latest: BTreeMap<String, i64> = BTreeMap::new();
    let mut account = Account::default();
    for record in results {
        let result: Value = serde_json::from_slice(&record.value).expect("a result is JSON");
        let stream = result["stream"].as_str().expect("a stream").to_owned();
        let mut is_new = false;
        for input in ["left", "right"] {
            for sample in result["inputs"][input]["samples"].as_array().expect("samples") {
                let number = number(sample["event_time_ns"].as_i64().expect("a time"));
                let count = seen.entry((stream.clone(), input, number)).or_default();
                *count += 1;
                is_new |= *count == 1;
            }
        }
        let time = result["event_time_ns"].as_i64().expect("a time");
        let before = latest.entry(stream).or_insert(i64::MIN);
        // A repetition after a crash comes late by nature and counts as a duplicate.
        account.out_of_order += usize::from(is_new && time < *before);
        *before = time.max(*before);
    }
    for record in dead {
        let stream = String::from_utf8_lossy(record.key.as_deref().expect("a key")).into_owned();
        let time = crate::broker::header(record, "event-time-ns").parse().expect("a time");
        let topic = crate::broker::header(record, "lockstep-source-topic");
        let input = if topic.ends_with(".left") { "left" } else { "right" };
        *seen.entry((stream, input, number(time))).or_default() += 1;
    }
    for stream in 0..streams {
        for input in ["left", "right"] {
            for number in 0..rounds {
                match seen.get(&(format!("stream-{stream}"), input, number)) {
                    None => account.lost += 1,
                    Some(1) => {}
                    Some(_) => account.duplicated += 1,
                }
            }
        }
    }
    account
}

/// The id of a stream's bundle of a round.
fn bundle(stream: usize, round: usize) -> String {
    format!("stream-{stream}@{}", *BEGAN + round as i64 * STEP)
}

fn number(time: i64) -> usize {
    usize::try_from((time - *BEGAN) / STEP).expect("a time of ours")
}
