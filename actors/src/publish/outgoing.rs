//! Records that have been handed to the sink, until it is known what became of them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use lockstep_engine::fault::{Fault, Reason, Stage};
use lockstep_engine::infer::job::Job;
use lockstep_engine::position::Position;
use lockstep_engine::publish::letters::{self, LeftOut};
use lockstep_engine::publish::result::{ResultMaker, Timing};
use lockstep_engine::publish::sink::{Delivery, DeliveryError, OutRecord, Refusal, Sink};
use lockstep_engine::sample::Sample;
use lockstep_engine::telemetry;
use lockstep_engine::time::Timestamp;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::PublishMessage;
use super::letter::Letter;
use crate::shell::Outbox;

/// How long a record that the broker did not take waits to be sent again. The client has tried for minutes by then.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Where the sink's threads put what became of records. Bounded by what the sink itself takes at a time.
#[derive(Default)]
pub struct Inbox {
    deliveries: Mutex<Vec<Delivery>>,
    arrived: Notify,
    room: Notify,
}

impl Inbox {
    /// Called by the sink.
    pub fn put(&self, delivery: Delivery) {
        self.deliveries.lock().push(delivery);
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
    /// A dead letter, or a late or evicted record, was acknowledged.
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
    LeftOut { sample: Arc<Sample>, topic: String, why: LeftOut },
}

/// The sink and what it has been given.
pub(super) struct Outgoing {
    dead_letters: Arc<str>,
    late: Option<Arc<str>>,
    sink: Arc<Mutex<Box<dyn Sink>>>,
    inbox: Arc<Inbox>,
    /// What has the numbers from `first` on. Deliveries come about in the order of sending.
    pending: VecDeque<Option<Pending>>,
    first: u64,
    /// What found no room in the sink, in order. The actor takes nothing more while there is any.
    full: Arc<Mutex<VecDeque<(OutRecord, u64)>>>,
    /// What the broker did not take, to be sent again.
    refused: Vec<Pending>,
    again_at: Option<Timestamp>,
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
        Self {
            dead_letters,
            late,
            sink,
            inbox,
            pending: VecDeque::new(),
            first: 0,
            full: Arc::default(),
            refused: Vec::new(),
            again_at: None,
        }
    }

    /// Where deliveries arrive.
    pub(super) fn inbox(&self) -> Arc<Inbox> {
        self.inbox.clone()
    }

    /// Whether nothing is under way.
    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty() && self.refused.is_empty()
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
        out: &mut Outbox<PublishMessage>,
    ) {
        let record = letters::dead_letter(&self.dead_letters, letter.record(), &topic, &fault);
        self.send(record, Pending::Dead { letter, topic, fault, without_payload: false }, out);
    }

    /// Sends a sample that took no part, if there is a topic for it.
    pub(super) fn left_out(
        &mut self,
        sample: Arc<Sample>,
        topic: String,
        why: LeftOut,
        out: &mut Outbox<PublishMessage>,
    ) -> bool {
        let Some(late) = &self.late else { return false };
        let record = letters::left_out(late, &sample.record, &topic, why);
        self.send(record, Pending::LeftOut { sample, topic, why }, out);
        true
    }

    fn send(&mut self, record: OutRecord, pending: Pending, out: &mut Outbox<PublishMessage>) {
        let token = self.first + self.pending.len() as u64;
        self.pending.push_back(Some(pending));
        let mut full = self.full.lock();
        // What found no room before goes first, or results would overtake one another.
        if !full.is_empty() {
            full.push_back((record, token));
        } else if let Err(record) = self.sink.lock().send(record, token) {
            full.push_back((record, token));
            out.wait(send_all(self.full.clone(), self.sink.clone(), self.inbox.clone()));
        }
    }

    /// What has come to its end since last asked. What the broker did not take for reasons of its own is sent
    /// again after a while.
    pub(super) fn deliveries(&mut self, now: Timestamp, out: &mut Outbox<PublishMessage>) -> Vec<Delivered> {
        let mut ended = Vec::new();
        for delivery in self.inbox.take() {
            let Some(pending) = self.take(delivery.token) else { continue };
            match delivery.outcome {
                Ok(()) => ended.push(done(pending, now)),
                Err(error) => {
                    telemetry::delivery_failed();
                    match error.refusal {
                        Refusal::Poison => ended.extend(self.poison(pending, &error, out)),
                        // It has neither ended nor been committed, and is read again by whoever comes next.
                        Refusal::Fatal => {
                            out.fail(format!("Kafka's producer has failed for good: {}", error.message));
                            self.refused.push(pending);
                        }
                        Refusal::Passing => {
                            tracing::warn!(
                                "the broker did not take a record; it is sent again: {}",
                                error.message
                            );
                            self.refused.push(pending);
                            self.again_at.get_or_insert(now.after(AGAIN_AFTER));
                        }
                    }
                }
            }
        }
        ended
    }

    fn take(&mut self, token: u64) -> Option<Pending> {
        let place = usize::try_from(token.checked_sub(self.first)?).ok()?;
        let taken = self.pending.get_mut(place)?.take();
        while let Some(None) = self.pending.front() {
            self.pending.pop_front();
            self.first += 1;
        }
        taken
    }

    /// When there is something to be sent again.
    pub(super) fn again_at(&self) -> Option<Timestamp> {
        self.again_at
    }

    /// Sends again what the broker did not take. A result that cannot be made again has come to its end.
    pub(super) fn again(&mut self, maker: &ResultMaker, out: &mut Outbox<PublishMessage>) -> Vec<Delivered> {
        self.again_at = None;
        let mut ended = Vec::new();
        for pending in std::mem::take(&mut self.refused) {
            let record = match &pending {
                Pending::Result { job, .. } => match maker.make(job) {
                    Ok((record, _)) => Some(record),
                    Err(why) => {
                        let fault = Fault::new(Stage::Publish, Reason::ModelFailed, why);
                        ended.push(Delivered::Poison { job: job.clone(), fault });
                        None
                    }
                },
                Pending::Dead { letter, topic, fault, without_payload } => {
                    let mut record = letters::dead_letter(&self.dead_letters, letter.record(), topic, fault);
                    if *without_payload {
                        record.payload = bytes::Bytes::new();
                    }
                    Some(record)
                }
                Pending::LeftOut { sample, topic, why } => {
                    self.late.as_ref().map(|late| letters::left_out(late, &sample.record, topic, *why))
                }
            };
            if let Some(record) = record {
                self.send(record, pending, out);
            }
        }
        ended
    }

    /// The broker will never take this record as it is.
    fn poison(
        &mut self,
        pending: Pending,
        error: &DeliveryError,
        out: &mut Outbox<PublishMessage>,
    ) -> Option<Delivered> {
        match pending {
            Pending::Result { job, .. } => {
                let message = format!("the broker refuses the result: {}", error.message);
                let fault = Fault::new(Stage::Publish, Reason::ResultRefused, message);
                Some(Delivered::Poison { job, fault })
            }
            Pending::Dead { letter, topic, without_payload: true, .. } => {
                let (position, assignment) = (letter.record().position, letter.assignment());
                tracing::error!(topic, %position, "not even a dead letter's headers are taken: {}", error.message);
                Some(Delivered::Letter { position, assignment })
            }
            Pending::Dead { letter, topic, fault, .. } => {
                let position = letter.record().position;
                tracing::error!(topic, %position, "a dead letter is refused; its value is left out: {}", error.message);
                let mut record = letters::dead_letter(&self.dead_letters, letter.record(), &topic, &fault);
                record.payload = bytes::Bytes::new();
                // The broker may have refused the timestamp rather than the size.
                record.timestamp = None;
                self.send(record, Pending::Dead { letter, topic, fault, without_payload: true }, out);
                None
            }
            Pending::LeftOut { sample, topic, .. } => {
                let (position, assignment) = (sample.position(), sample.assignment);
                tracing::error!(topic, %position, "a late or evicted record is refused: {}", error.message);
                Some(Delivered::Letter { position, assignment })
            }
        }
    }
}

/// Sends what found no room, each as soon as there is some.
async fn send_all(
    full: Arc<Mutex<VecDeque<(OutRecord, u64)>>>,
    sink: Arc<Mutex<Box<dyn Sink>>>,
    inbox: Arc<Inbox>,
) {
    loop {
        let Some((record, token)) = full.lock().pop_front() else { return };
        let refused = sink.lock().send(record, token).err();
        if let Some(record) = refused {
            full.lock().push_front((record, token));
            inbox.room.notified().await;
        }
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
        Pending::LeftOut { sample, .. } => {
            Delivered::Letter { position: sample.position(), assignment: sample.assignment }
        }
    }
}
