//! Records that have been handed to the sink, until it is known what became of them.

use std::sync::Arc;
use std::time::Duration;

use lockstep_engine::fault::{Fault, Reason, Stage};
use lockstep_engine::infer::job::Job;
use lockstep_engine::position::Position;
use lockstep_engine::publish::letters;
use lockstep_engine::publish::result::{ResultMaker, Timing};
use lockstep_engine::publish::sink::{Delivery, DeliveryError, OutRecord, Sink};
use lockstep_engine::sample::Sample;
use lockstep_engine::telemetry;
use lockstep_engine::time::Timestamp;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use tokio::sync::Notify;

use super::{Letter, PublishMessage};
use crate::shell::Outbox;

/// Where the sink's threads put what became of records. Bounded by what the sink itself takes at a time.
#[derive(Default)]
pub struct Inbox {
    deliveries: Mutex<Vec<Delivery>>,
    arrived: Notify,
    room: Notify,
}

impl Inbox {
    /// Called by the sink.
    pub fn put(&self, deliveries: Vec<Delivery>) {
        self.deliveries.lock().extend(deliveries);
        self.arrived.notify_one();
        self.room.notify_one();
    }

    /// Waits until something has been put.
    pub async fn arrived(&self) {
        self.arrived.notified().await;
    }

    fn take(&self) -> Vec<Delivery> {
        std::mem::take(&mut *self.deliveries.lock())
    }
}

/// What has come to its end.
pub(super) enum Delivered {
    /// A result was acknowledged.
    Result {
        /// The job.
        job: Arc<Job>,
        /// Where its time went.
        timing: Timing,
        /// From handing it over to the acknowledgement.
        publish: Duration,
    },
    /// A result that the broker will never take.
    Poison {
        /// The job.
        job: Arc<Job>,
        /// Why.
        fault: Fault,
    },
    /// A dead letter or late record was acknowledged.
    Letter {
        /// The record that it was.
        position: Position,
        /// The assignment that it was read under.
        assignment: u32,
    },
}

/// What is under way. It can be made again, should the broker not take it the first time.
enum Pending {
    Result { job: Arc<Job>, timing: Timing, sent_at: Timestamp },
    Dead { letter: Letter, topic: String, fault: Fault, without_payload: bool },
    Late { sample: Arc<Sample>, topic: String, by_ns: u64 },
}

/// The sink and what it has been given.
pub(super) struct Outgoing {
    dead_letters: Arc<str>,
    late: Option<Arc<str>>,
    sink: Arc<Mutex<Box<dyn Sink>>>,
    inbox: Arc<Inbox>,
    pending: FxHashMap<u64, Pending>,
    next: u64,
}

impl Outgoing {
    /// Nothing under way.
    pub(super) fn new(
        dead_letters: Arc<str>,
        late: Option<Arc<str>>,
        sink: Box<dyn Sink>,
        inbox: Arc<Inbox>,
    ) -> Self {
        let sink = Arc::new(Mutex::new(sink));
        Self { dead_letters, late, sink, inbox, pending: FxHashMap::default(), next: 0 }
    }

    /// Where deliveries arrive.
    pub(super) fn inbox(&self) -> Arc<Inbox> {
        self.inbox.clone()
    }

    /// Whether nothing is under way.
    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Sends a result.
    pub(super) fn result(
        &mut self,
        job: Arc<Job>,
        record: OutRecord,
        timing: Timing,
        now: Timestamp,
        out: &mut Outbox<PublishMessage>,
    ) {
        self.send(record, Pending::Result { job, timing, sent_at: now }, out);
    }

    /// Sends a dead letter.
    pub(super) fn dead_letter(
        &mut self,
        letter: Letter,
        topic: String,
        fault: Fault,
        _now: Timestamp,
        out: &mut Outbox<PublishMessage>,
    ) {
        let record = letters::dead_letter(&self.dead_letters, letter.record(), &topic, &fault);
        self.send(record, Pending::Dead { letter, topic, fault, without_payload: false }, out);
    }

    /// Sends a late sample, if there is a topic for it.
    pub(super) fn late(
        &mut self,
        sample: Arc<Sample>,
        topic: String,
        by_ns: u64,
        _now: Timestamp,
        out: &mut Outbox<PublishMessage>,
    ) -> bool {
        let Some(late) = &self.late else { return false };
        let record = letters::late(late, &sample.record, &topic, by_ns);
        self.send(record, Pending::Late { sample, topic, by_ns }, out);
        true
    }

    fn send(&mut self, record: OutRecord, pending: Pending, out: &mut Outbox<PublishMessage>) {
        let token = self.next;
        self.next += 1;
        self.pending.insert(token, pending);
        let refused = self.sink.lock().send(record, token).err();
        if let Some(mut record) = refused {
            let (sink, inbox) = (self.sink.clone(), self.inbox.clone());
            out.wait(async move {
                while let Err(back) = {
                    inbox.room.notified().await;
                    sink.lock().send(record, token)
                } {
                    record = back;
                }
            });
        }
    }

    /// What has come to its end since last asked. What the broker did not take for reasons of its own is sent
    /// again.
    pub(super) fn deliveries(
        &mut self,
        now: Timestamp,
        maker: &ResultMaker,
        out: &mut Outbox<PublishMessage>,
    ) -> Vec<Delivered> {
        let mut ended = Vec::new();
        for delivery in self.inbox.take() {
            let Some(pending) = self.pending.remove(&delivery.token) else { continue };
            match delivery.outcome {
                Ok(()) => ended.push(done(pending, now)),
                Err(error) => {
                    telemetry::delivery_failed();
                    ended.extend(self.refused(pending, &error, maker, out));
                }
            }
        }
        ended
    }

    fn refused(
        &mut self,
        pending: Pending,
        error: &DeliveryError,
        maker: &ResultMaker,
        out: &mut Outbox<PublishMessage>,
    ) -> Option<Delivered> {
        if !error.poison {
            tracing::warn!("the broker did not take a record; sending it again: {}", error.message);
        }
        match pending {
            Pending::Result { job, timing, sent_at } => {
                let again = if error.poison { Err(error.message.clone()) } else { maker.make(&job) };
                match again {
                    Ok((record, _)) => self.send(record, Pending::Result { job, timing, sent_at }, out),
                    Err(why) => {
                        let fault = Fault::new(Stage::Publish, Reason::ResultTooLarge, why);
                        return Some(Delivered::Poison { job, fault });
                    }
                }
            }
            Pending::Dead { letter, topic, fault, without_payload } => {
                let (position, assignment) = (letter.record().position, letter.assignment());
                if error.poison && without_payload {
                    tracing::error!(topic, %position, "not even the headers of a dead letter fit: {}", error.message);
                    return Some(Delivered::Letter { position, assignment });
                }
                let without_payload = without_payload || error.poison;
                let mut record = letters::dead_letter(&self.dead_letters, letter.record(), &topic, &fault);
                if without_payload {
                    tracing::error!(topic, %position, "a dead letter is larger than the broker takes; its value is left out");
                    record.payload = bytes::Bytes::new();
                }
                self.send(record, Pending::Dead { letter, topic, fault, without_payload }, out);
            }
            Pending::Late { sample, topic, by_ns } => {
                let (position, assignment) = (sample.position(), sample.assignment);
                if error.poison {
                    tracing::error!(topic, %position, "a late record is larger than the broker takes: {}", error.message);
                    return Some(Delivered::Letter { position, assignment });
                }
                if let Some(late) = &self.late {
                    let record = letters::late(late, &sample.record, &topic, by_ns);
                    self.send(record, Pending::Late { sample, topic, by_ns }, out);
                }
            }
        }
        None
    }
}

fn done(pending: Pending, now: Timestamp) -> Delivered {
    match pending {
        Pending::Result { job, timing, sent_at } => {
            Delivered::Result { job, timing, publish: now.since(sent_at) }
        }
        Pending::Dead { letter, .. } => {
            Delivered::Letter { position: letter.record().position, assignment: letter.assignment() }
        }
        Pending::Late { sample, .. } => {
            Delivered::Letter { position: sample.position(), assignment: sample.assignment }
        }
    }
}
