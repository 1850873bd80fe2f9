//! Numbered samples of several streams for two inputs, and the account of what became of each.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use lockstep_connectors::kafka::tail::TailRecord;
use serde_json::Value;

use crate::broker::{Broker, Producer};

/// Nanoseconds of event time between the samples of a stream.
const STEP: i64 = 10_000_000;
/// When the first sample of every stream happened.
const BEGAN: i64 = 1_750_000_000_000_000_000;
/// How many bytes a sample has: its number, and nothing else of interest.
pub(crate) const BYTES: usize = 16;

/// Publishes samples, a round at a time: one of each stream for each input.
pub(crate) struct Load {
    producer: Producer,
    topics: [String; 2],
    streams: usize,
    rounds: usize,
    /// Rounds that may lack results, and when each was published.
    open: VecDeque<(usize, Instant)>,
}

impl Load {
    pub(crate) fn new(broker: &Broker, topics: [String; 2], streams: usize) -> Self {
        Self { producer: broker.producer(), topics, streams, rounds: 0, open: VecDeque::new() }
    }

    /// The next round.
    pub(crate) fn round(&mut self) {
        let at = (BEGAN + self.rounds as i64 * STEP).to_string();
        let mut payload = [0_u8; BYTES];
        payload[..8].copy_from_slice(&(self.rounds as u64).to_le_bytes());
        for stream in 0..self.streams {
            let key = format!("stream-{stream}");
            for topic in &self.topics {
                let headers = [("event-time-ns", at.clone())];
                self.producer.send(topic, Some(&key), &headers, payload.to_vec());
            }
        }
        self.open.push_back((self.rounds, Instant::now()));
        self.rounds += 1;
    }

    /// When the oldest round was published of which a bundle is not among these.
    pub(crate) fn oldest_without(&mut self, bundles: &BTreeSet<String>) -> Option<Instant> {
        while let Some((round, at)) = self.open.front().copied() {
            let time = BEGAN + round as i64 * STEP;
            if (0..self.streams).any(|stream| !bundles.contains(&format!("stream-{stream}@{time}"))) {
                return Some(at);
            }
            self.open.pop_front();
        }
        None
    }

    /// How many bundles all that was published makes.
    pub(crate) fn expected(&self) -> usize {
        self.rounds * self.streams
    }

    /// Waits until the broker has everything, and says how many rounds there were.
    pub(crate) fn finish(self) -> usize {
        self.producer.finish();
        self.rounds
    }
}

/// What became of the samples.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    /// Samples in no result and in no dead letter.
    pub(crate) lost: usize,
    /// Samples in more than one.
    pub(crate) duplicated: usize,
    /// Results that come after one of a later time of their stream for the first time.
    pub(crate) out_of_order: usize,
}

/// Accounts for every sample of so many rounds: by stream, input and number.
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
        // What comes again after a crash comes late by nature; it counts as a duplicate.
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

fn number(time: i64) -> usize {
    usize::try_from((time - BEGAN) / STEP).expect("a time of ours")
}
