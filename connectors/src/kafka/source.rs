//! Reads the inputs' topics as a member of a consumer group.
//!
//! A thread of its own polls librdkafka and never waits for anything else, so that a pipeline that is
//! busy for minutes stays in its group. Each partition has a queue of its own inside librdkafka: a
//! partition that is paused is simply not read, and librdkafka stops fetching for it when its prefetch
//! is full. (librdkafka's own pause would throw away what is prefetched and fetch it again.) Everything
//! that Kafka has to say arrives as a [`SourceEvent`](lockstep_engine::ingest::source::SourceEvent), in order.

mod committer;
mod context;
mod join;
mod message;
mod partition;
mod poll;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use lockstep_engine::condition::Conditions;
use lockstep_engine::ingest::InputSpec;
use lockstep_engine::ingest::source::{Pause, SourceControl, SourceSink};
use lockstep_engine::pipeline::KafkaSpec;
use lockstep_engine::position::{Commit, InputId, PartitionId};
use parking_lot::Mutex;

use self::context::{Notices, Wake};
use self::join::Join;
use super::changelog::Changelog;
use super::config::ReadAhead;
use super::membership::Membership;
use super::{Error, admin};

pub(super) use self::context::log;
pub(super) use self::message::headers;

/// What the pipeline has asked for and the thread has not yet done. Later requests replace earlier ones,
/// so it is bounded by the number of partitions.
#[derive(Default)]
struct Mailbox {
    /// For want of memory, and for what the map has no room for.
    paused: [Vec<PartitionId>; 2],
    paused_changed: bool,
    commit: BTreeMap<PartitionId, Commit>,
    stopped: bool,
    close: Option<Close>,
}

struct Close {
    until: Instant,
    done: SyncSender<Result<(), String>>,
}

/// A consumer of the inputs' topics, and the thread that polls it.
pub struct KafkaSource {
    mailbox: Arc<Mutex<Mailbox>>,
    wake: Arc<Wake>,
    /// Disconnected when the thread has ended. Behind a lock only to be shared.
    ended: Mutex<Receiver<()>>,
}

impl KafkaSource {
    /// Joins the group and delivers to `sink` from a thread of its own. `prefetch` bounds what librdkafka
    /// reads ahead, in bytes over all partitions (softly: a fetch brings a batch at least, however
    /// large, and a partition's share is never less than 128 KiB, nor used whole where it is scarce); take it out of the
    /// memory limit. `state` is the topic of what streams carry on, if that is kept. `membership` is told of every assignment, for a sink that commits
    /// positions in transactions. That brokers are away is not an error here but a condition: the thread goes on trying. With
    /// `tells_ends` it tells each time that it has read all of a partition.
    ///
    /// # Errors
    /// When a property is not the user's to set, or librdkafka refuses one.
    pub fn start(
        spec: &KafkaSpec,
        inputs: &[InputSpec],
        state: Option<&str>,
        prefetch: usize,
        (membership, conditions): (Arc<Membership>, Arc<dyn Conditions>),
        tells_ends: bool,
        sink: Box<dyn SourceSink>,
    ) -> Result<Arc<Self>, Error> {
        let topics: Vec<String> = inputs.iter().map(|input| input.topic.clone()).collect();
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        let read_ahead = ReadAhead { bytes: prefetch, partitions: partitions(spec, &names) };
        let notices = Arc::new(Mutex::new(Notices::default()));
        let wake = Arc::new(Wake::default());
        let join = Join {
            spec: spec.clone(),
            topics,
            read_ahead,
            tells_ends,
            notices: notices.clone(),
            wake: wake.clone(),
            stamped_by_broker: Vec::new(),
        };
        let member = join.join(join.tries_incremental())?;
        let mailbox = Arc::new(Mutex::new(Mailbox::default()));
        let (alive, ended) = sync_channel(0);
        let inputs: HashMap<String, InputId> = join
            .topics
            .iter()
            .enumerate()
            .filter_map(|(index, topic)| Some((topic.clone(), InputId(u16::try_from(index).ok()?))))
            .collect();
        let poller = poll::Poller::new(
            (join, member),
            sink,
            notices,
            mailbox.clone(),
            (wake.clone(), membership, conditions),
            inputs,
            (spec.start, state.map(|topic| Changelog::new(spec, topic))),
        );
        std::thread::Builder::new()
            .name("kafka-poll".into())
            .spawn(move || {
                let _alive = alive;
                poller.run();
            })
            .map_err(|error| Error::client("cannot start the poll thread", error))?;
        Ok(Arc::new(Self { mailbox, wake, ended: Mutex::new(ended) }))
    }

    fn ask(&self, change: impl FnOnce(&mut Mailbox)) {
        change(&mut self.mailbox.lock());
        self.wake.wake();
    }
}

/// How many partitions the topics have in all; a guess where that cannot be known now.
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
        self.ask(|mailbox| {
            let [memory, map] = &mut mailbox.paused;
            match why {
                Pause::Memory => *memory = paused,
                Pause::Map => *map = paused,
            }
            mailbox.paused_changed = true;
        });
    }

    fn commit(&self, commits: Vec<Commit>) {
        if !commits.is_empty() {
            self.ask(|mailbox| mailbox.commit.extend(by_partition(commits)));
        }
    }

    fn stop(&self) {
        self.ask(|mailbox| mailbox.stopped = true);
    }

    fn close(&self, commits: Vec<Commit>, within: Duration) -> Result<(), String> {
        let until = Instant::now() + within;
        let (done, answer) = sync_channel(1);
        self.ask(|mailbox| {
            mailbox.stopped = true;
            mailbox.commit.extend(by_partition(commits));
            mailbox.close = Some(Close { until, done });
        });
        // A little longer than the thread takes, so that its own words for what failed arrive.
        let left = || (until + Duration::from_millis(200)).saturating_duration_since(Instant::now());
        let outcome = answer.recv_timeout(left()).unwrap_or_else(|error| {
            Err(match error {
                RecvTimeoutError::Timeout => "the consumer did not close in time".into(),
                RecvTimeoutError::Disconnected => "the consumer has been closed already".into(),
            })
        });
        // librdkafka may take its time to give its threads back; nothing depends on it.
        let _ended = self.ended.lock().recv_timeout(left());
        outcome
    }
}

impl Drop for KafkaSource {
    /// Leaves the group without a last commit, and without waiting for it.
    fn drop(&mut self) {
        let (done, _) = sync_channel(1);
        let until = Instant::now() + Duration::from_secs(2);
        self.ask(|mailbox| {
            mailbox.stopped = true;
            if mailbox.close.is_none() {
                mailbox.close = Some(Close { until, done });
            }
        });
    }
}
