//! One pipeline under load, and the results that it gives.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use lockstep_kafka::tail::{From, Tail, TailRecord};
use serde_json::Value;

use crate::broker::{Broker, header};
use crate::broker_log;
use crate::load::{BYTES, NumberedLoad, account};
use crate::pipeline::Pipeline;
use crate::process::{Ended, Lockstep, PATIENCE};
use crate::report::Row;

pub(crate) const STREAMS: usize = 8;
pub(crate) const PARTITIONS: i32 = 4;
const PACE: Duration = Duration::from_millis(25);
/// A disturbance shows within this time…
const SETTLED: Duration = Duration::from_secs(8);
/// …and is over when no sample waits longer than this for its result.
const CAUGHT_UP: Duration = Duration::from_millis(500);

/// Two inputs whose samples belong together two by two; `missing` never comes into it, as no input falls silent for
/// an hour.
const PAIRS: &str = r#"
[pipeline]
name = "NAME"
shards = 2
[kafka]
brokers = "127.0.0.1:9092"
group_protocol = "PROTOCOL"
[delivery]
guarantee = "GUARANTEE"
[inputs.left]
content_type = "application/octet-stream"
idle_timeout = "1h"
[inputs.right]
content_type = "application/octet-stream"
idle_timeout = "1h"
[align]
pivot = "left"
max_wait = "1h"
right = { nearest = { tolerance = "1ms" } }
[models]
repository = "../models"
[steps.identity]
model = "identity"
deadline = "1s"
tries = 2
[steps.identity.inputs]
payload = { from = "left", bytes = { length = 16 } }
"#;

pub(crate) struct Round<'b> {
    pipeline: Pipeline<'b>,
    load: NumberedLoad,
    next: Instant,
    address: String,
    results: Tail,
    records: Vec<TailRecord>,
    letters: Tail,
    dead: Vec<TailRecord>,
    /// When each bundle was first seen to have ended.
    ended: BTreeMap<String, Instant>,
    /// When something was done to a process that has not been recovered from, and the longest that a sample has waited
    /// for its result since.
    disturbed: Option<(Instant, Duration)>,
    recoveries: Vec<u128>,
    /// The same of the stream that waited least.
    calm: Vec<u128>,
    pub(crate) kills: usize,
    guarantee: Guarantee,
    /// The output of ended processes.
    said: Said,
}

/// The delivery guarantee of results, and the protocol of the group.
#[derive(Clone, Copy)]
pub(crate) struct Guarantee {
    pub(crate) name: &'static str,
    pub(crate) protocol: &'static str,
}

impl Guarantee {
    /// The name of a scenario under this guarantee.
    pub(crate) fn scenario(&self, name: &str) -> String {
        let more = if self.protocol == "classic" { "" } else { " (KIP-848)" };
        format!("{name}{more}")
    }
}

impl<'b> Round<'b> {
    pub(crate) fn new(broker: &'b Broker, guarantee: Guarantee) -> Self {
        assert_eq!(BYTES, 16);
        let text = PAIRS.replace("GUARANTEE", guarantee.name).replace("PROTOCOL", guarantee.protocol);
        let pipeline = Pipeline::of(broker, &text);
        pipeline.create_topics(&["left", "right"], PARTITIONS);
        let topics = [pipeline.topic("left"), pipeline.topic("right")];
        let tail = |what: &str| {
            let tail = Tail::open(&broker.address, &BTreeMap::new(), &pipeline.topic(what), From::Beginning);
            tail.expect("the topic can be followed")
        };
        let (results, letters) = (tail("results"), tail("dead-letters"));
        Self {
            load: NumberedLoad::new(broker, topics, STREAMS),
            pipeline,
            next: Instant::now(),
            address: broker.address.clone(),
            results,
            records: Vec::new(),
            letters,
            dead: Vec::new(),
            ended: BTreeMap::new(),
            disturbed: None,
            recoveries: Vec::new(),
            calm: Vec::new(),
            kills: 0,
            guarantee,
            said: Said::default(),
        }
    }

    /// Another process of the group.
    pub(crate) fn process(&self) -> Lockstep {
        self.pipeline.run(&[])
    }

    /// Another process, which dies at the given point in its code.
    pub(crate) fn doomed(&self, point: &str) -> Lockstep {
        self.pipeline.run(&[("LOCKSTEP_FAULT_POINT", point)])
    }

    /// Publishes and reads results for a time.
    pub(crate) fn go_on(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.turn();
        }
    }

    /// Goes on until all processes have recovered.
    pub(crate) fn recover(&mut self) {
        let until = Instant::now() + PATIENCE;
        while self.disturbed.is_some() {
            self.turn();
            if Instant::now() >= until {
                let missing = self.missing();
                let again = self.read_again();
                for id in self.load.without(&self.ended, 3) {
                    around(&self.records, &id);
                    println!("chaos: and as the topic is read once more:");
                    around(&again, &id);
                }
                println!("chaos: the broker's log ends so:\n{}", broker_log::end());
                panic!("these are waited for in vain: {missing:?}");
            }
        }
    }

    /// All results, as another reader finds them.
    fn read_again(&self) -> Vec<TailRecord> {
        let tail =
            Tail::open(&self.address, &BTreeMap::new(), &self.pipeline.topic("results"), From::Beginning);
        let mut tail = tail.expect("the topic can be followed");
        std::iter::from_fn(|| tail.next(Duration::from_secs(2)).expect("the results can be read")).collect()
    }

    /// The oldest bundles that have no result, how many there are, and for how long the first has been waited for.
    fn missing(&mut self) -> (Vec<String>, usize, Option<Duration>) {
        let age = self.load.oldest_without(&self.ended).map(|at| at.elapsed());
        (self.load.without(&self.ended, 20), self.load.expected() - self.ended.len(), age)
    }

    fn turn(&mut self) {
        if Instant::now() >= self.next {
            self.load.round();
            self.next = (self.next + PACE).max(Instant::now() - PACE);
        }
        self.read(Duration::from_millis(5));
    }

    fn read(&mut self, within: Duration) {
        let mut within = within;
        while let Some(record) = self.results.next(within).expect("the results can be read") {
            within = Duration::ZERO;
            let result: Value = serde_json::from_slice(&record.value).expect("JSON");
            let id = result["id"].as_str().expect("an id").to_owned();
            self.ended.entry(id).or_insert_with(Instant::now);
            self.records.push(record);
        }
        while let Some(record) = self.letters.next(Duration::ZERO).expect("a readable topic") {
            let stream = String::from_utf8_lossy(record.key.as_deref().expect("a key")).into_owned();
            let id = format!("{stream}@{}", header(&record, "event-time-ns"));
            self.ended.entry(id).or_insert_with(Instant::now);
            self.dead.push(record);
        }
        let age = self.load.oldest_without(&self.ended).map_or(Duration::ZERO, |at| at.elapsed());
        if let Some((at, longest)) = &mut self.disturbed {
            *longest = age.max(*longest);
            // The group notices a member that has died after its session of 6 s.
            if at.elapsed() > SETTLED && age < CAUGHT_UP {
                self.recoveries.push(longest.as_millis());
                self.calm.push(self.load.least_wait(&self.ended, *at).as_millis());
                self.disturbed = None;
            }
        }
    }

    /// From here on a sample now and then asks a model to misbehave.
    pub(crate) fn make_trouble(&mut self, every: usize) {
        self.load.make_trouble(every);
    }

    /// Another process, whose models misbehave when asked to.
    pub(crate) fn obedient(&self) -> Lockstep {
        self.pipeline.run(&[("LOCKSTEP_FAULT_MODEL", "1")])
    }

    /// Goes on until something holds.
    pub(crate) fn until(&mut self, what: &str, holds: impl Fn() -> bool) {
        let until = Instant::now() + PATIENCE;
        while !holds() {
            self.turn();
            assert!(Instant::now() < until, "{what} in vain");
        }
    }

    /// Goes on until a process has partitions, or has ended.
    pub(crate) fn until_it_has_partitions(&mut self, process: &mut Lockstep) {
        let until = Instant::now() + PATIENCE;
        while !process.has_ended() && !process.has_said("partitions assigned") {
            self.turn();
            assert!(Instant::now() < until, "it gets no partitions");
        }
    }

    /// Goes on until a process has ended by itself.
    pub(crate) fn wait_for_the_end_of(&mut self, mut process: Lockstep) {
        let until = Instant::now() + PATIENCE;
        while !process.has_ended() {
            self.turn();
            assert!(Instant::now() < until, "it does not die");
        }
        self.said.0.push(process.wait().err);
    }

    /// Stops a process in order, and goes on meanwhile.
    pub(crate) fn stop(&mut self, process: Lockstep) -> Ended {
        process.signal("TERM");
        let (mut process, until) = (process, Instant::now() + PATIENCE);
        while !process.has_ended() {
            self.turn();
            assert!(Instant::now() < until, "it does not stop");
        }
        let ended = process.wait();
        self.said.0.push(ended.err.clone());
        ended
    }

    /// Kills a process.
    pub(crate) fn kill(&mut self, process: Lockstep) {
        self.disturb();
        self.said.0.push(process.kill().err);
    }

    /// Something is being done to a process.
    pub(crate) fn disturb(&mut self) {
        self.kills += 1;
        let longest = self.disturbed.map_or(Duration::ZERO, |(_, longest)| longest);
        self.disturbed = Some((Instant::now(), longest));
    }

    /// Waits for every result, and then for the processes to stop in order.
    pub(crate) fn end(mut self, scenario: &str, processes: Vec<Lockstep>) -> Row {
        let until = Instant::now() + PATIENCE;
        while self.ended.len() < self.load.expected() {
            self.read(Duration::from_millis(50));
            if Instant::now() > until {
                println!("chaos: these have no result: {:?}", self.missing());
                break;
            }
        }
        for process in processes {
            let ended = process.terminate();
            assert_eq!(ended.code, Some(0), "{ended:?}");
            self.said.0.push(ended.err);
        }
        // Repetitions have arrived by now, except those in flight.
        self.read(Duration::from_secs(1));
        let rounds = self.load.finish();
        let row = Row {
            scenario: self.guarantee.scenario(scenario),
            guarantee: self.guarantee.name,
            kills: self.kills,
            samples: 2 * rounds * STREAMS,
            dead: self.dead.len(),
            account: account(&self.records, &self.dead, rounds, STREAMS),
            recoveries: self.recoveries,
            calm: self.calm,
            has_stopped: false,
            runs: 1,
        };
        if !row.keeps_its_promise() {
            twice(&self.records);
            self.said.tell();
        }
        row
    }
}

/// The output of ended processes. Printed on a panic.
#[derive(Default)]
struct Said(Vec<String>);

impl Said {
    /// Shows the last of it.
    fn tell(&self) {
        for said in self.0.iter().rev().take(6).rev() {
            println!("--- a process that has ended said\n{said}");
        }
    }
}

impl Drop for Said {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.tell();
        }
    }
}

/// Prints the results of a stream around a missing one, by the places of their samples.
fn around(records: &[TailRecord], missing: &str) {
    let Some((stream, time)) = missing.rsplit_once('@') else { return };
    let time: i64 = time.parse().expect("a time");
    println!("chaos: around {missing}:");
    for record in records {
        let result: Value = serde_json::from_slice(&record.value).expect("JSON");
        let at = result["event_time_ns"].as_i64().expect("a time");
        if result["stream"] == stream && (at - time).abs() <= 100_000_000 {
            let of = |input: &str| result["inputs"][input]["samples"].to_string();
            let place = (record.partition, record.offset);
            println!("chaos: {} in {place:?}: left {} right {}", at - time, of("left"), of("right"));
        }
    }
}

/// Shows where the first results lie that came twice.
fn twice(records: &[TailRecord]) {
    let mut seen: BTreeMap<String, &TailRecord> = BTreeMap::new();
    let mut shown = 0;
    for record in records {
        let result: Value = serde_json::from_slice(&record.value).expect("JSON");
        let id = result["id"].as_str().expect("an id").to_owned();
        if let Some(before) = seen.insert(id.clone(), record)
            && shown < 10
        {
            shown += 1;
            let place = |record: &TailRecord| {
                (record.partition, record.offset, record.timestamp, result["inputs"]["left"].to_string())
            };
            println!("chaos: {id} came twice: {:?} and {:?}", place(before), place(record));
        }
    }
}
