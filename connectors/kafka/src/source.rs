//! Reads the inputs' topics as a member of a consumer group.
//!
//! A thread of its own polls librdkafka and never waits for anything else. So a pipeline that is busy for minutes stays in its
//! group. Each partition has a queue of its own inside librdkafka. The thread does not read a paused partition, and
//! librdkafka stops fetching for it when its prefetch is full. (librdkafka's own pause would discard prefetched records and fetch
//! them again.) Records and group changes arrive as [`SourceEvent`](lockstep_engine::ingest::source::SourceEvent)s, in order.

mod committer;
mod context;
mod join;
mod message;
mod partition;
mod poll;
mod requests;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use lockstep_engine::condition::Conditions;
use lockstep_engine::ingest::InputSpec;
use lockstep_engine::ingest::source::{Pause, SourceControl, SourceSink};
use lockstep_engine::pipeline::KafkaSpec;
use lockstep_engine::position::{Commit, InputId, PartitionId};
use parking_lot::Mutex;

use self::context::Wake;
use self::join::GroupJoin;
use self::poll::PollerParts;
use self::requests::{Close, Requests};
use super::changelog::Changelog;
use super::config::ReadAhead;
use super::membership::Membership;
use super::{Error, admin};

/// A consumer of the inputs' topics, and the thread that polls it.
pub struct KafkaSource {
    requests: Arc<Mutex<Requests>>,
    wake: Arc<Wake>,
    /// Disconnected once the thread has ended. Behind a lock only so that the source can be shared.
    ended: Mutex<Receiver<()>>,
}

/// The settings of a source, and the parts of the process that follow it.
pub struct SourceParts<'a> {
    /// The brokers and the group.
    pub spec: &'a KafkaSpec,
    /// The inputs, whose topics the source reads.
    pub inputs: &'a [InputSpec],
    /// The topic of the stream state, if the pipeline keeps any.
    pub state: Option<&'a str>,
    /// Bounds the records that librdkafka reads ahead, in bytes over all partitions; take it out of the memory limit. The bound is
    /// soft: a fetch brings at least one batch, however large. A partition's share is never less than 128 KiB, and a small share
    /// is not used whole.
    pub prefetch: usize,
    /// Receives every assignment, for a sink that commits offsets in transactions.
    pub membership: Arc<Membership>,
    /// Receives what keeps the source from reading and committing.
    pub conditions: Arc<dyn Conditions>,
    /// The source sends an event each time that it has read a partition to its end.
    pub reports_ends: bool,
}

impl KafkaSource {
    /// Joins the group and delivers events to `sink` from a thread of its own.
    ///
    /// Unreachable brokers are a condition and no error: the thread goes on trying.
    ///
    /// # Errors
    /// When Lockstep sets a property itself, or librdkafka refuses one.
    pub fn start(parts: SourceParts<'_>, sink: Box<dyn SourceSink>) -> Result<Arc<Self>, Error> {
        let SourceParts { spec, inputs, state, prefetch, membership, conditions, reports_ends } = parts;
        let topics: Vec<String> = inputs.iter().map(|input| input.topic.clone()).collect();
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        let read_ahead = ReadAhead { bytes: prefetch, partitions: partitions(spec, &names) };
        let wake = Arc::new(Wake::default());
        let join = GroupJoin {
            spec: spec.clone(),
            topics,
            read_ahead,
            reports_ends,
            notices: Arc::default(),
            wake: wake.clone(),
            stamped_by_broker: Vec::new(),
        };
        let member = join.join(join.tries_incremental())?;
        let requests = Arc::new(Mutex::new(Requests::default()));
        let (alive, ended) = sync_channel(0);
        let inputs: HashMap<String, InputId> = join
            .topics
            .iter()
            .enumerate()
            .filter_map(|(index, topic)| Some((topic.clone(), InputId(u16::try_from(index).ok()?))))
            .collect();
        let poller = poll::Poller::new(PollerParts {
            join,
            member,
            sink,
            requests: requests.clone(),
            membership,
            conditions,
            inputs,
            changelog: state.map(|topic| Changelog::new(spec, topic)),
        });
        std::thread::Builder::new()
            .name("kafka-poll".into())
            .spawn(move || {
                let _alive = alive;
                poller.run();
            })
            .map_err(|error| Error::client("cannot start the poll thread", error))?;
        Ok(Arc::new(Self { requests, wake, ended: Mutex::new(ended) }))
    }

    fn ask(&self, change: impl FnOnce(&mut Requests)) {
        change(&mut self.requests.lock());
        self.wake.wake();
    }
}

/// The number of partitions of all topics; a guess while the brokers do not answer.
fn partitions(spec: &KafkaSpec, topics: &[&str]) -> usize {
    const GUESS: usize = 32;
    let counts = admin::partition_counts(&spec.brokers, &spec.consumer, topics, Duration::from_secs(3));
    let known: usize = match counts {
        Ok(counts) => counts.iter().flatten().map(|count| usize::try_from(*count).unwrap_or(0)).sum(),
        Err(_) => GUESS,
    };
    known.max(1)
}

fn by_partition(commits: Vec<Commit>) -> impl Iterator<Item = (PartitionId, Commit)> {
    commits.into_iter().map(|commit| (commit.partition, commit))
}

impl SourceControl for KafkaSource {
    fn set_paused(&self, why: Pause, paused: Vec<PartitionId>) {
        self.ask(|requests| {
            let [memory, map] = &mut requests.paused;
            match why {
                Pause::Memory => *memory = paused,
                Pause::Map => *map = paused,
            }
            requests.paused_changed = true;
        });
    }

    fn commit(&self, commits: Vec<Commit>) {
        if !commits.is_empty() {
            self.ask(|requests| requests.commit.extend(by_partition(commits)));
        }
    }

    fn stop(&self) {
        self.ask(|requests| requests.stopped = true);
    }

    fn close(&self, commits: Vec<Commit>, within: Duration) -> Result<(), String> {
        let until = Instant::now() + within;
        let (done, answer) = sync_channel(1);
        self.ask(|requests| {
            requests.stopped = true;
            requests.commit.extend(by_partition(commits));
            requests.close = Some(Close { until, done });
        });
        // A little longer than the thread waits, so that its own error text arrives.
        let left = || (until + Duration::from_millis(200)).saturating_duration_since(Instant::now());
        let outcome = answer.recv_timeout(left()).unwrap_or_else(|error| {
            Err(match error {
                RecvTimeoutError::Timeout => "the consumer did not close in time".into(),
                RecvTimeoutError::Disconnected => "the consumer has been closed already".into(),
            })
        });
        // librdkafka may take long to end its threads; nothing depends on it.
        let _ended = self.ended.lock().recv_timeout(left());
        outcome
    }
}

impl Drop for KafkaSource {
    /// Leaves the group without a last commit, and without waiting for it.
    fn drop(&mut self) {
        let (done, _) = sync_channel(1);
        let until = Instant::now() + Duration::from_secs(2);
        self.ask(|requests| {
            requests.stopped = true;
            if requests.close.is_none() {
                requests.close = Some(Close { until, done });
            }
        });
    }
}
