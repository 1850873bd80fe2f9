//! Records that have been handed to the sink, until it is known what became of them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use lockstep_engine::fault::{Fault, Reason, Stage};
use lockstep_engine::infer::job::Job;
use lockstep_engine::position::PartitionId;
use lockstep_engine::publish::Ledger;
use lockstep_engine::publish::letters::{self, LeftOut};
use lockstep_engine::publish::result::{ResultMaker, Timing};
use lockstep_engine::publish::sink::{Delivery, OutRecord, Sink, Transactions};
use lockstep_engine::publish::transaction::Then;
use lockstep_engine::sample::Sample;
use lockstep_engine::telemetry;
use lockstep_engine::time::Timestamp;
use parking_lot::Mutex;

use super::PublishMessage;
use super::gathering::{Gathering, Left, Measure};
use super::inbox::Inbox;
use super::letter::Letter;
use super::pending::{Dead, Delivered, Outbound, Pending};
use crate::shell::Outbox;

mod refused;

/// How long a record that the broker did not take waits to be sent again. The client has tried for minutes by then.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// What came of a transaction.
pub(super) struct Came {
    /// Whether it counts.
    pub(super) counts: bool,
    /// How many results were let go, as others make them.
    pub(super) abandoned: usize,
}

/// The sink and what it has been given.
pub(super) struct Outgoing {
    dead_letters: Arc<str>,
    late: Option<Arc<str>>,
    sink: Arc<Mutex<Box<dyn Sink>>>,
    inbox: Arc<Inbox>,
    /// Room for what has arrived, kept from one time to the next.
    arrived: Vec<Delivery>,
    /// What has the numbers from `first` on. Deliveries come about in the order of sending.
    pending: VecDeque<Option<Pending>>,
    first: u64,
    /// What found no room in the sink, in order. The actor takes nothing more while there is any.
    full: Arc<Mutex<VecDeque<(OutRecord, u64)>>>,
    /// What the broker did not take, to be sent again.
    refused: Vec<Pending>,
    again_at: Option<Timestamp>,
    /// What was sent again has numbers before this one.
    sent_again: u64,
    gathering: Option<Gathering>,
}

impl Outgoing {
    /// Nothing under way.
    pub(super) fn new(
        dead_letters: Arc<str>,
        late: Option<Arc<str>>,
        sink: Box<dyn Sink>,
        inbox: Arc<Inbox>,
        transactions: Option<(Box<dyn Transactions>, Measure)>,
    ) -> Self {
        let gathering = transactions.map(|(client, measure)| Gathering::new(client, measure));
        let sink = Arc::new(Mutex::new(sink));
        Self {
            dead_letters,
            late,
            sink,
            inbox,
            arrived: Vec::new(),
            pending: VecDeque::new(),
            first: 0,
            full: Arc::default(),
            refused: Vec::new(),
            again_at: None,
            sent_again: 0,
            gathering,
        }
    }

    /// Where deliveries arrive.
    pub(super) fn inbox(&self) -> Arc<Inbox> {
        self.inbox.clone()
    }

    /// Whether nothing is under way.
    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty()
            && self.refused.is_empty()
            && self.gathering.as_ref().is_none_or(Gathering::is_empty)
    }

    /// Sets a mark behind all that was to be sent. It is passed when all that has come to its end: where results go in
    /// transactions, when one that can hold the last of it counts.
    pub(super) fn mark(&mut self) -> u64 {
        match &self.gathering {
            Some(gathering) => gathering.mark(),
            None => self.next(),
        }
    }

    /// Whether all that was to be sent before a mark has come to its end.
    pub(super) fn has_passed(&self, mark: u64) -> bool {
        match &self.gathering {
            Some(gathering) => gathering.has_passed(mark),
            None => self.refused.is_empty() && self.first >= mark.max(self.sent_again),
        }
    }

    fn next(&self) -> u64 {
        self.first + self.pending.len() as u64
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
        self.send(record, Outbound::Result { job, timing, sent_at: now }, out);
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
        let dead = Dead { letter, topic, fault, without_payload: false };
        self.send(record, Outbound::Dead(Box::new(dead)), out);
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
        self.send(record, Outbound::LeftOut { sample, topic, why }, out);
        true
    }

    /// Sends what a stream carries on.
    pub(super) fn carried(&mut self, what: Outbound, out: &mut Outbox<PublishMessage>) {
        if let Outbound::Carried { record, .. } = &what {
            self.send(OutRecord::clone(record), what, out);
        }
    }

    fn send(&mut self, record: OutRecord, what: Outbound, out: &mut Outbox<PublishMessage>) {
        self.send_pending(record, Pending { what, told: false }, out);
    }

    fn send_pending(&mut self, record: OutRecord, pending: Pending, out: &mut Outbox<PublishMessage>) {
        let admitted = match &mut self.gathering {
            Some(gathering) => gathering.admit(record, pending),
            None => Some((record, pending)),
        };
        let Some((record, pending)) = admitted else { return };
        let token = self.next();
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
    /// again: with the whole transaction, or by itself after a while.
    pub(super) fn deliveries(
        &mut self,
        now: Timestamp,
        ended: &mut Vec<Delivered>,
        out: &mut Outbox<PublishMessage>,
    ) {
        let mut arrived = std::mem::take(&mut self.arrived);
        self.inbox.take(&mut arrived);
        for delivery in arrived.drain(..) {
            let Some(mut pending) = self.take(delivery.token) else { continue };
            match delivery.outcome {
                Ok(()) => {
                    if !pending.told {
                        ended.push(pending.what.delivered(now));
                    }
                    if let Some(gathering) = &mut self.gathering {
                        pending.told = true;
                        gathering.kept.push(pending);
                    }
                }
                Err(error) => {
                    telemetry::delivery_failed();
                    self.undelivered(pending, &error, now, ended, out);
                }
            }
        }
        self.arrived = arrived;
    }

    /// The transaction under way is not to wait until it is due.
    pub(super) fn end_soon(&mut self) {
        if let Some(gathering) = &mut self.gathering {
            gathering.transaction.end_soon();
        }
    }

    /// Whether the transaction under way takes what is sent, and would end now.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.gathering.as_ref().is_some_and(|gathering| gathering.transaction.is_due(now))
    }

    /// When the transaction under way is due.
    pub(super) fn due(&self) -> Option<Timestamp> {
        self.gathering.as_ref().and_then(|gathering| gathering.transaction.due())
    }

    /// Ends the transaction under way if it is time, with the positions that may be committed.
    ///
    /// # Errors
    /// When a position cannot be among them.
    pub(super) fn step(&mut self, now: Timestamp, ledger: &mut Ledger<Arc<Sample>>) -> Result<(), String> {
        match &mut self.gathering {
            Some(gathering) => gathering.step(now, !self.pending.is_empty(), ledger, &self.inbox),
            None => Ok(()),
        }
    }

    /// Nothing of the transaction under way may count.
    pub(super) fn doom(&mut self, why: &str) {
        if let Some(gathering) = &mut self.gathering {
            gathering.transaction.doom(why);
        }
    }

    /// Whether results go in transactions.
    pub(super) fn is_transactional(&self) -> bool {
        self.gathering.is_some()
    }

    /// What came of the transaction that was to end, if it has. What is for the next is sent, with all of one that did not
    /// count but for what was read under assignments that no longer hold.
    pub(super) fn transaction_ended(
        &mut self,
        now: Timestamp,
        maker: &ResultMaker,
        holds: impl Fn(PartitionId, u32) -> bool,
        out: &mut Outbox<PublishMessage>,
    ) -> Option<Came> {
        let Left { then, kept, waiting } = self.gathering.as_mut()?.ended(now, &self.inbox)?;
        let mut came = Came { counts: true, abandoned: 0 };
        let mut is_ours = |pending: &Pending| {
            let ours = pending.what.is_ours(&holds);
            came.abandoned += usize::from(!ours && !pending.told && pending.what.is_result());
            ours
        };
        let (mut again, mut next) = (Vec::new(), waiting);
        next.retain(|(_, pending)| is_ours(pending));
        match then {
            Then::GoOn => {}
            Then::Again(why) => {
                tracing::warn!("a transaction was aborted, and its results are sent again: {why}");
                again.extend(kept.into_iter().filter(is_ours));
                came.counts = false;
            }
            Then::Fail(why) => {
                out.fail(format!("transactions have come to an end: {why}"));
                return None;
            }
        }
        for pending in again {
            // What could be made once can be made again.
            if let Ok(record) = self.make(&pending.what, maker) {
                self.send_pending(record, pending, out);
            }
        }
        for (record, pending) in next {
            self.send_pending(record, pending, out);
        }
        Some(came)
    }

    /// Whether so much waits for the next transaction that no more should come.
    pub(super) fn is_overfull(&self) -> bool {
        self.gathering.as_ref().is_some_and(Gathering::is_overfull)
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
            match (self.make(&pending.what, maker), &pending.what) {
                (Ok(record), _) => self.send_pending(record, pending, out),
                (Err(why), Outbound::Result { job, .. }) => {
                    let fault = Fault::new(Stage::Publish, Reason::ModelFailed, why);
                    ended.push(Delivered::Poison { job: job.clone(), fault });
                }
                (Err(why), _) => tracing::error!("a record cannot be made again: {why}"),
            }
        }
        self.sent_again = self.next();
        ended
    }

    fn make(&self, what: &Outbound, maker: &ResultMaker) -> Result<OutRecord, String> {
        match what {
            Outbound::Result { job, .. } => maker.make(job).map(|(record, _)| record),
            Outbound::Dead(dead) => {
                let Dead { letter, topic, fault, without_payload } = &**dead;
                let record = letters::dead_letter(&self.dead_letters, letter.record(), topic, fault);
                Ok(if *without_payload { letters::without_value(record) } else { record })
            }
            Outbound::LeftOut { sample, topic, why } => {
                // Without a topic nothing is left out on its way to it.
                let late = self.late.as_ref().unwrap_or(&self.dead_letters);
                Ok(letters::left_out(late, &sample.record, topic, *why))
            }
            Outbound::Carried { record, .. } => Ok(OutRecord::clone(record)),
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
            inbox.room().await;
        }
    }
}
