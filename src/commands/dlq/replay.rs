//! `lockstep dlq replay`: sends the records of dead letters back to their topics.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::ProgressBar;
use lockstep_engine::pipeline::KafkaSpec;
use lockstep_engine::publish::side_output::replay;
use lockstep_engine::publish::sink::{Delivery, OutRecord, Refusal, Sink};
use lockstep_kafka::admin;
use lockstep_kafka::replay_offsets::ReplayOffsets;
use lockstep_kafka::sink::KafkaSink;
use lockstep_kafka::tail::TailRecord;
use parking_lot::Mutex;
use serde_json::json;

use super::filter::{DeadLetterFilter, Place};
use super::plan::{Chosen, ReplayPlan, ReplaySelection};
use super::topic::{Topic, cancelled, place, read_all};
use super::{notes, render};
use crate::commands::Failure;
use crate::output::print_line;

/// The most records, and below the most bytes, in flight before the note is written.
const AT_ONCE: usize = 256;
const BYTES_AT_ONCE: usize = 8 << 20;
/// The bytes of the producer's queue. The largest dead letter fits.
const QUEUE: usize = 64 << 20;
/// The longest wait for the brokers to acknowledge a record.
const DELIVER_WITHIN: Duration = Duration::from_secs(60);
/// The most failed dead letters that are printed one by one.
const PRINTED: usize = 20;

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    topic: Topic,
    /// Places of dead letters, as `dlq list` prints them
    #[arg(value_name = "PARTITION:OFFSET")]
    places: Vec<Place>,
    #[command(flatten)]
    filter: DeadLetterFilter,
    /// Replay all dead letters that have not been replayed
    #[arg(long, conflicts_with = "places")]
    all: bool,
    /// List the dead letters without replaying them
    #[arg(long)]
    dry_run: bool,
    /// Replay dead letters that have been replayed before, too
    #[arg(long)]
    again: bool,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    if args.places.is_empty() && args.filter.is_empty() && !args.all {
        let which =
            "no dead letters are chosen; write --all, filters as --reason oversized, or places as 0:17";
        return Err(format!("{which}; `lockstep dlq list {}` lists them", args.topic.topic).into());
    }
    let cancelled = cancelled()?;
    let kafka = args.topic.cluster.spec()?;
    let noted = notes::open(&args.topic.topic, &kafka)?;
    let mut whole = args.topic.open(&kafka)?;
    let read = notes::read(&noted, &args.topic.topic, whole.ranges())?;
    let places: BTreeSet<Place> = args.places.iter().copied().collect();
    let wanted = ReplaySelection { filter: &args.filter, places: &places, again: args.again };
    let Some(mut plan) = ReplayPlan::make(&mut whole, read, &wanted, &cancelled)? else {
        return Ok(ExitCode::from(130));
    };
    let partitions = partitions(&mut plan, &kafka)?;
    plan.check_notes()?;
    let mut replay = Replay {
        json: args.topic.json,
        plan,
        notes: noted,
        partitions,
        sink: None,
        deliveries: Arc::default(),
        under_way: BTreeMap::new(),
        bytes: 0,
        put_back: BTreeMap::new(),
        owed: false,
        failed: None,
        bar: ProgressBar::hidden(),
    };
    let interrupted = if replay.plan.chosen.is_empty() {
        false
    } else if args.dry_run {
        let mut whole = args.topic.open(&kafka)?;
        !read_all(&mut whole, &cancelled, |record| replay.only_list(&record))?
    } else {
        replay.start(&kafka)?;
        replay.put_all_back(args, &kafka, &cancelled)?
    };
    replay.print(args)?;
    Ok(match (interrupted, replay.plan.stay.is_empty() && replay.failed.is_none()) {
        (true, _) => ExitCode::from(130),
        (false, true) => ExitCode::SUCCESS,
        (false, false) => ExitCode::FAILURE,
    })
}

/// The partition counts of the target topics. Dead letters of a topic that does not exist stay.
fn partitions(plan: &mut ReplayPlan, kafka: &KafkaSpec) -> Result<BTreeMap<String, i32>, Failure> {
    let topics = plan.topics();
    let names: Vec<&str> = topics.iter().map(String::as_str).collect();
    let counts = admin::partition_counts(&kafka.brokers, &kafka.consumer, &names, Duration::from_secs(10))?;
    let mut partitions = BTreeMap::new();
    for (topic, count) in topics.iter().zip(counts) {
        match count {
            Some(count) => drop(partitions.insert(topic.clone(), count)),
            None => plan.without_topic(topic),
        }
    }
    Ok(partitions)
}

/// Sends a record as soon as the producer's queue has room.
fn send(sink: &mut Option<KafkaSink>, record: &OutRecord, token: u64) {
    let Some(sink) = sink else { return };
    while sink.send(record, token).is_err() {
        let _unused = sink.flush(Duration::from_millis(100));
    }
}

/// A replay in progress.
struct Replay {
    json: bool,
    plan: ReplayPlan,
    notes: ReplayOffsets,
    partitions: BTreeMap<String, i32>,
    sink: Option<KafkaSink>,
    deliveries: Arc<Mutex<Vec<Delivery>>>,
    /// Records that were sent and are not noted yet, by token.
    under_way: BTreeMap<u64, (Place, Chosen, OutRecord)>,
    bytes: usize,
    /// The number of replayed dead letters by reason and topic.
    put_back: BTreeMap<String, u64>,
    /// True while a note is too long: dead letters between replayed ones are missing.
    owed: bool,
    /// The reason for which it stopped.
    failed: Option<String>,
    bar: ProgressBar,
}

impl Replay {
    fn start(&mut self, kafka: &KafkaSpec) -> Result<(), Failure> {
        let mut spec = kafka.clone();
        spec.producer.insert("message.timeout.ms".into(), DELIVER_WITHIN.as_millis().to_string());
        let deliveries = self.deliveries.clone();
        let sink =
            KafkaSink::start(&spec, QUEUE, Arc::new(move |delivery| deliveries.lock().push(delivery)))?;
        let topics: Vec<&str> = self.partitions.keys().map(String::as_str).collect();
        let sink = sink.for_topics(&topics);
        self.sink = Some(sink);
        // Without the right to write notes, this fails before anything is produced.
        self.write_notes()?;
        if std::io::stderr().is_terminal() {
            self.bar = ProgressBar::new(self.plan.chosen.len() as u64);
        }
        Ok(())
    }

    /// Replays all chosen dead letters. Returns true if Ctrl-C cut it short.
    fn put_all_back(
        &mut self,
        args: &Args,
        kafka: &KafkaSpec,
        cancelled: &AtomicBool,
    ) -> Result<bool, Failure> {
        let mut whole = args.topic.open(kafka)?;
        // Ctrl-C must not stop it while a note is too long.
        let never = AtomicBool::new(false);
        let mut token = 0;
        let read = read_all(&mut whole, &never, |record| {
            let Some(chosen) = self.plan.chosen.remove(&place(&record)) else { return Ok(true) };
            token += 1;
            self.put_back(record, chosen, token);
            let cut_short = cancelled.load(Ordering::Relaxed);
            if cut_short || self.under_way.len() >= AT_ONCE || self.bytes >= BYTES_AT_ONCE {
                self.settle();
            }
            Ok(self.failed.is_none() && !self.plan.chosen.is_empty() && (!cut_short || self.owed))
        });
        self.settle();
        if let Err(error) = read {
            self.failed.get_or_insert_with(|| error.to_string());
        }
        self.bar.finish_and_clear();
        let interrupted = cancelled.load(Ordering::Relaxed) && !self.plan.chosen.is_empty();
        if !interrupted && self.failed.is_none() {
            let gone = std::mem::take(&mut self.plan.chosen);
            self.plan.stay.extend(gone.into_keys().map(|place| (place, "it has just expired".into())));
        }
        if self.owed {
            let why = "not every dead letter was put back, and the note of the others has no room; they are listed \
                       as not put back";
            self.failed.get_or_insert_with(|| why.into());
        }
        Ok(interrupted)
    }

    fn put_back(&mut self, record: TailRecord, chosen: Chosen, token: u64) {
        let place = place(&record);
        let record = OutRecord {
            topic: "".into(),
            partition: None,
            key: record.key,
            payload: record.value,
            headers: record.headers,
            timestamp: record.timestamp,
        };
        let (letter, mut record) = match replay::put_back(record) {
            Ok(done) => done,
            Err(why) => {
                self.plan.stay.push((place, why.to_string()));
                return;
            }
        };
        let there =
            self.partitions.get(&letter.source_topic).is_some_and(|count| letter.source_partition < *count);
        record.partition = there.then_some(letter.source_partition);
        self.bytes += record.payload.len();
        send(&mut self.sink, &record, token);
        self.under_way.insert(token, (place, chosen, record));
    }

    /// Waits for all records in flight, and notes those that the brokers acknowledged.
    fn settle(&mut self) {
        while self.settles() {}
        for (place, ..) in std::mem::take(&mut self.under_way).into_values() {
            self.failed.get_or_insert_with(|| "the brokers do not answer".into());
            self.plan.stay.push((place, "the brokers have not said whether they took it".into()));
        }
        self.bytes = 0;
        if let Err(error) = self.write_notes() {
            self.failed.get_or_insert_with(|| {
                format!(
                    "{error}; up to {AT_ONCE} of those that were put back last are listed as if they were not"
                )
            });
        }
    }

    /// Waits for all records in flight, and sends those again that were refused because of others in their batch. Returns true
    /// if there were any. At least one of them then goes alone, so this ends.
    fn settles(&mut self) -> bool {
        if let Some(sink) = &mut self.sink {
            // The client times out earlier and reports it.
            let _unused = sink.flush(2 * DELIVER_WITHIN);
        }
        let deliveries = std::mem::take(&mut *self.deliveries.lock());
        let is_again = |delivery: &Delivery| {
            delivery.outcome.as_ref().is_err_and(|error| error.refusal == Refusal::Batch)
        };
        let (again, ended): (Vec<Delivery>, Vec<Delivery>) = deliveries.into_iter().partition(is_again);
        for Delivery { token, outcome } in ended {
            let Some((place, chosen, _)) = self.under_way.remove(&token) else { continue };
            match outcome {
                Ok(()) => {
                    self.plan.put_back(place);
                    self.bar.inc(1);
                    if self.json
                        && let Err(error) = print_line(done(place, &chosen))
                    {
                        self.failed.get_or_insert_with(|| format!("standard output: {error}"));
                    }
                    self.count(&chosen);
                }
                Err(error) => {
                    if !matches!(error.refusal, Refusal::Poison | Refusal::Unsent) {
                        self.failed.get_or_insert_with(|| error.message.clone());
                    }
                    self.plan.stay.push((place, error.message));
                }
            }
        }
        for Delivery { token, .. } in &again {
            if let Some((_, _, record)) = self.under_way.get(token) {
                send(&mut self.sink, record, *token);
            }
        }
        !again.is_empty()
    }

    fn count(&mut self, chosen: &Chosen) {
        *self.put_back.entry(format!("{} to {}", chosen.reason, chosen.topic)).or_default() += 1;
    }

    fn write_notes(&mut self) -> Result<(), Failure> {
        let (notes, too_long) = self.plan.notes();
        self.owed = too_long;
        Ok(self.notes.write(&notes)?)
    }

    fn only_list(&mut self, record: &TailRecord) -> Result<bool, Failure> {
        let Some(chosen) = self.plan.chosen.remove(&place(record)) else { return Ok(true) };
        if let Ok(letter) = replay::DeadLetterHeaders::read(&record.headers) {
            let line = if self.json {
                render::object(record, &letter, false).to_string()
            } else {
                render::line(record, &letter, false)
            };
            print_line(line)?;
        }
        self.count(&chosen);
        Ok(!self.plan.chosen.is_empty())
    }

    /// Prints the result and the failures.
    fn print(&self, args: &Args) -> io::Result<()> {
        let verb = if args.dry_run { "Would put back" } else { "Put back" };
        let total = render::letters(self.put_back.values().sum());
        let mut summary = match self.put_back.is_empty() {
            true => "Nothing to put back".to_owned(),
            false => format!("{verb} {total}: {}", render::counts(&self.put_back)),
        };
        if self.plan.already > 0 {
            let already = render::letters(self.plan.already);
            summary.push_str(&format!("; {already} put back already (--again puts them back once more)"));
        }
        if self.json {
            eprintln!("{summary}")
        } else {
            print_line(summary)?;
        }
        for (place, why) in self.plan.stay.iter().take(PRINTED) {
            eprintln!("error: {place} was not put back: {why}");
        }
        if let Some(more) = self.plan.stay.len().checked_sub(PRINTED).filter(|more| *more > 0) {
            eprintln!("error: {} more were not put back", render::letters(more as u64));
        }
        if let Some(why) = &self.failed {
            let left = render::letters(self.plan.chosen.len() as u64);
            eprintln!("error: it has stopped with {left} left: {why}; run it again to go on");
        } else if !self.plan.chosen.is_empty() {
            let left = render::letters(self.plan.chosen.len() as u64);
            eprintln!("Interrupted with {left} left; run it again to go on");
        }
        Ok(())
    }
}

/// A replayed dead letter, as JSON.
fn done(place: Place, chosen: &Chosen) -> serde_json::Value {
    json!({ "partition": place.partition, "offset": place.offset, "reason": chosen.reason, "to": chosen.topic })
}
