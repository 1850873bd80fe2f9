//! The ingest stage: makes samples of records and sends them to the shards that own their streams.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use lockstep_engine::budget::Budget;
use lockstep_engine::completion::Progress;
use lockstep_engine::infer::changelog::RestoredStates;
use lockstep_engine::ingest::InputSpec;
use lockstep_engine::ingest::clock::{Hold, IntakeClock};
use lockstep_engine::ingest::gate::Gate;
use lockstep_engine::ingest::parse::parse_record;
use lockstep_engine::ingest::source::{Assigned, PartitionEnd, Pause, SourceControl, SourceEvent};
use lockstep_engine::ingest::streams::KnownStreams;
use lockstep_engine::ingest::until::UntilEnd;
use lockstep_engine::position::PartitionId;
use lockstep_engine::sample::{Record, Sample};
use lockstep_engine::telemetry;
use lockstep_engine::time::Timestamp;
use parking_lot::Mutex;

use crate::load::Load;
use crate::mailbox::{Credit, Mailbox};
use crate::message::{
    AlignMessage, Faulty, IngestMessage, PartitionAssignment, PublishMessage, Revocation, RevokedPartition,
};
use crate::stage_actor::{Outbox, Stage};
use crate::status::Status;

use committed::committed_progress;
use listed::listed;
use shedding::{ShedSamples, Shedding};
use upstream::Upstream;

mod committed;
mod data_loss;
mod intake;
mod listed;
mod parts;
mod shards;
mod shedding;
mod upstream;

pub use intake::Intake;
pub use parts::IngestParts;
pub use shards::{Shards, StartShard};

/// The period of memory checks while partitions are paused, when no message may arrive.
const PAUSED_TICK: Duration = Duration::from_millis(10);

/// One assignment of a partition to this process.
struct Assignment {
    number: u32,
    /// The progress that the last commit before the assignment holds.
    before: Arc<Progress>,
}

/// The ingest stage.
pub struct Ingest {
    inputs: Arc<[InputSpec]>,
    shards: Shards,
    publish: Mailbox<PublishMessage>,
    /// Set once the source has started; the source needs this actor's mailbox first.
    control: Arc<Mutex<Option<Arc<dyn SourceControl>>>>,
    budget: Budget,
    gate: Gate,
    clock: Arc<Mutex<IntakeClock>>,
    shedding: Shedding,
    upstream: Upstream,
    load: Load,
    status: Arc<Status>,
    assignments: BTreeMap<PartitionId, Assignment>,
    assigned_ever: u32,
    streams: KnownStreams,
    /// Stream state that was restored from before the partitions came to this process.
    restored: Arc<Mutex<RestoredStates>>,
    next_check: Option<Timestamp>,
    /// The end of reading, if the pipeline ends by itself.
    until: Option<UntilEnd>,
    stopped: bool,
}

impl Ingest {
    /// Creates the stage.
    pub fn new(parts: IngestParts) -> Self {
        let IngestParts {
            inputs,
            shards,
            publish,
            control,
            budget,
            gate,
            clock,
            load,
            restored,
            until,
            status,
        } = parts;
        Self {
            shards,
            publish,
            control,
            budget,
            gate,
            clock,
            shedding: Shedding::default(),
            upstream: Upstream::new(inputs.clone(), status.clone()),
            inputs,
            load,
            status,
            assignments: BTreeMap::new(),
            assigned_ever: 0,
            streams: KnownStreams::default(),
            restored,
            next_check: None,
            until: until.map(UntilEnd::new),
            stopped: false,
        }
    }

    fn source(&mut self, event: SourceEvent, now: Timestamp, out: &mut Outbox<IngestMessage>) {
        match event {
            // Records after the stop are not counted as consumed and are read again.
            SourceEvent::Records { .. } if self.stopped => {}
            SourceEvent::Records { partition, mut records } => {
                if let Some(until) = &mut self.until {
                    until.take(partition, &mut records);
                }
                self.records(partition, records, now, out);
            }
            SourceEvent::AtEnd(partition) => {
                if let Some(until) = &mut self.until {
                    until.at_end(partition);
                }
            }
            SourceEvent::Assigned(partitions) => {
                let (mut assigned, at) = (Vec::new(), self.clock.lock().at(now));
                // Partitions assigned together share a number, since the inputs of a stream are assigned together.
                self.assigned_ever += 1;
                for partition in partitions {
                    let before = Arc::new(committed_progress(&self.inputs, &partition));
                    let Assigned { partition, start, .. } = partition;
                    let assignment = Assignment { number: self.assigned_ever, before: before.clone() };
                    self.assignments.insert(partition, assignment);
                    self.gate.assign(partition, at);
                    self.shedding.assign(partition, self.inputs.get(partition.input.index()));
                    if let Some(until) = &mut self.until {
                        until.assign(partition, start);
                    }
                    self.load.lock().assign(partition);
                    assigned.push(PartitionAssignment {
                        partition,
                        start,
                        progress: before,
                        assignment: self.assigned_ever,
                    });
                }
                if let Some(until) = &mut self.until {
                    until.assigned();
                }
                self.status.partitions.store(self.assignments.len(), Ordering::Relaxed);
                let which = listed(&self.inputs, assigned.iter().map(|it| it.partition));
                tracing::info!(partitions = assigned.len(), which, "partitions assigned");
                out.send(&self.publish, PublishMessage::Assigned(assigned));
                self.check_upstream(now, out);
            }
            SourceEvent::StreamStates(states) => {
                let mut restored = self.restored.lock();
                for (partition, states) in states {
                    restored.put(partition, states);
                }
            }
            SourceEvent::Revoked { partitions, lost, done } => {
                let mut restored = self.restored.lock();
                partitions.iter().for_each(|partition| restored.forget(partition.partition));
                drop(restored);
                let partitions: Vec<RevokedPartition> = partitions
                    .into_iter()
                    .filter_map(|partition| {
                        let assignment = self.assignments.remove(&partition)?.number;
                        Some(RevokedPartition { partition, assignment })
                    })
                    .collect();
                for RevokedPartition { partition, .. } in &partitions {
                    self.gate.revoke(*partition);
                    self.shedding.revoke(*partition);
                    self.upstream.revoke(*partition);
                    if let Some(until) = &mut self.until {
                        until.revoke(*partition);
                    }
                    self.load.lock().revoke(*partition);
                }
                self.status.partitions.store(self.assignments.len(), Ordering::Relaxed);
                self.check_upstream(now, out);
                let which = listed(&self.inputs, partitions.iter().map(|it| it.partition));
                tracing::info!(partitions = partitions.len(), which, lost, "partitions revoked");
                let shards = self.shards.mailboxes().len();
                let revocation = Arc::new(Revocation { partitions, lost, reported_at: now, shards });
                let done = Arc::new(done);
                for shard in self.shards.mailboxes() {
                    out.send(shard, AlignMessage::Revoked(Arc::clone(&revocation), Arc::clone(&done)));
                }
            }
            SourceEvent::DataLoss { partition, from, to } => {
                data_loss::report(&self.inputs, partition, from.0, to.0, out);
            }
            SourceEvent::Ends(ends) => {
                self.report_memory();
                self.ends(ends, now, out);
            }
            SourceEvent::Partitions(counts) => {
                if let Err(failure) = self.upstream.partitions(counts) {
                    out.failed(failure);
                }
            }
            SourceEvent::Readable(is_readable) => {
                self.clock.lock().set(Hold::Unreadable, !is_readable, now);
            }
            SourceEvent::Failed(why) => out.fail(why),
            SourceEvent::Refused(why) => out.end(why),
        }
        self.check_memory(now);
        self.end_if_reached(out);
    }

    fn ends(
        &mut self,
        ends: Vec<(PartitionId, PartitionEnd)>,
        now: Timestamp,
        out: &mut Outbox<IngestMessage>,
    ) {
        // Ends of partitions that were revoked meanwhile are ignored.
        for (partition, end) in ends.into_iter().filter(|(id, _)| self.assignments.contains_key(id)) {
            self.gate.lag(partition, end.lag);
            self.shedding.lag(partition, end.lag);
            self.load.lock().lag(partition, u64::try_from(end.lag).unwrap_or(0));
            self.upstream.end(partition, &end, now);
        }
        self.check_upstream(now, out);
    }

    fn check_upstream(&mut self, now: Timestamp, out: &mut Outbox<IngestMessage>) {
        if let Err(failure) = self.upstream.check(self.assignments.keys().copied(), now) {
            out.failed(failure);
        }
        self.clock.lock().set(Hold::Apart, self.upstream.is_apart(), now);
    }

    /// Sends the shards the end of the input, once the last record has been read.
    fn end_if_reached(&mut self, out: &mut Outbox<IngestMessage>) {
        let Some(until) = &self.until else { return };
        self.status.set_progress(until.progress());
        let is_over = until.is_reached() && !self.shards.are_moving();
        if is_over && !std::mem::replace(&mut self.stopped, true) {
            self.shards.send_all(AlignMessage::End, out);
        }
    }

    fn records(
        &mut self,
        partition: PartitionId,
        records: Vec<Record>,
        now: Timestamp,
        out: &mut Outbox<IngestMessage>,
    ) {
        let (Some(Assignment { number, before }), Some(input)) =
            (self.assignments.get(&partition), self.inputs.get(partition.input.index()))
        else {
            tracing::debug!(?partition, "ignored records of a revoked partition");
            return;
        };
        if records.is_empty() {
            return;
        }
        let (assignment, before) = (*number, before.clone());
        telemetry::consumed(&input.name, records.len(), records.iter().map(|r| r.payload.len()).sum());
        let offsets = records.iter().map(|record| record.position.offset).collect();
        out.send(&self.publish, PublishMessage::Opened { partition, assignment, offsets });
        let had_ended = |record: &Record| before.ended.contains(record.position.offset);
        let mut records = records.into_iter().peekable();
        while let Some(again) = records.peek().map(had_ended) {
            let alike = std::iter::from_fn(|| records.next_if(|record| had_ended(record) == again));
            self.samples(partition, alike, assignment, again, now, out);
        }
    }

    /// Sends on records of a partition of which either all or none had ended before a restart.
    fn samples(
        &mut self,
        partition: PartitionId,
        records: impl Iterator<Item = Record>,
        assignment: u32,
        had_ended: bool,
        now: Timestamp,
        out: &mut Outbox<IngestMessage>,
    ) {
        let Some(input) = self.inputs.get(partition.input.index()) else { return };
        let (at, wall) = (self.clock.lock().at(now), Timestamp::wall());
        let mut samples: Vec<Arc<Sample>> = Vec::new();
        let (mut faults, mut latest, mut read) = (Vec::new(), None, 0);
        let mut aside = ShedSamples::default();
        for record in records {
            read += 1;
            match parse_record(record, input, assignment, &self.budget, &mut self.streams) {
                Ok(sample) => {
                    self.gate.seen(partition, sample.event_time, at);
                    latest = latest.max(Some(sample.event_time));
                    if !had_ended && let Some(why) = self.shedding.decide(partition, &sample, wall) {
                        aside.put(sample, why, input, wall);
                        continue;
                    }
                    self.upstream.observe(partition, &sample.stream, now);
                    aside.kept(&sample);
                    samples.push(Arc::new(sample));
                }
                // It is a dead letter already.
                Err(_) if had_ended => {}
                Err((record, fault)) => {
                    let reservation = self.budget.reserve(record.weight());
                    faults.push(Faulty { record, reservation, fault });
                }
            }
        }
        self.load.lock().read(partition, read, latest);
        if !faults.is_empty() {
            out.send(&self.publish, PublishMessage::Faults(assignment, faults));
        }
        self.shards.send(at, samples, had_ended, out);
        aside.send(at, &self.publish, &self.shards, out);
    }

    /// Changes the number of shards. After the stop no further move begins, but moving streams arrive.
    fn check_shards(&mut self, now: Timestamp, out: &mut Outbox<IngestMessage>) {
        if !self.stopped && now >= self.shards.next_check() {
            self.shards.check(now, out);
        }
    }

    fn report_memory(&self) {
        let (used, limit) = (self.budget.used(), self.budget.limit());
        telemetry::memory(used, limit, self.gate.paused().len(), self.gate.ahead());
    }

    fn check_memory(&mut self, now: Timestamp) {
        let (used, at) = (self.budget.used(), self.clock.lock().at(now));
        if let Some(paused) = self.gate.decide(used, self.status.is_busy(), at) {
            if let Some(control) = &*self.control.lock() {
                control.set_paused(Pause::Memory, paused.to_vec());
            }
            self.report_memory();
        }
        self.clock.lock().set(Hold::Memory, self.gate.is_full(), now);
        self.next_check = self.gate.is_closed().then(|| now.after(PAUSED_TICK));
    }
}

impl Stage for Ingest {
    type Message = IngestMessage;

    fn handle(
        &mut self,
        message: IngestMessage,
        _credit: &mut Option<Credit>,
        now: Timestamp,
        out: &mut Outbox<IngestMessage>,
    ) {
        self.check_shards(now, out);
        match message {
            IngestMessage::Source(event) => self.source(event, now, out),
            // The shards have received the end already.
            IngestMessage::Stop if self.stopped => {}
            IngestMessage::Stop => {
                self.stopped = true;
                self.shards.send_all(AlignMessage::Stop, out);
            }
        }
    }

    fn blocked(&mut self, now: Timestamp) {
        self.clock.lock().set(Hold::Backpressure, true, now);
    }

    fn unblocked(&mut self, now: Timestamp) {
        self.clock.lock().set(Hold::Backpressure, false, now);
    }

    fn tick(&mut self, now: Timestamp, _waiting: u64, out: &mut Outbox<IngestMessage>) {
        self.check_shards(now, out);
        self.check_memory(now);
        // The last moving streams may have arrived.
        self.end_if_reached(out);
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        let shards = (!self.stopped).then(|| self.shards.next_check());
        self.next_check.into_iter().chain(shards).min()
    }
}
