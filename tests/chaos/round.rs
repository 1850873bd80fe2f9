//! One pipeline under load, and the results that it gives.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use lockstep_connectors::kafka::tail::{From, Tail, TailRecord};
use serde_json::Value;

use crate::broker::Broker;
use crate::load::{BYTES, Load, account};
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
/// a minute.
const PAIRS: &str = r#"
[pipeline]
name = "NAME"
shards = 2
[kafka]
brokers = "127.0.0.1:9092"
[delivery]
guarantee = "GUARANTEE"
[inputs.left]
content_type = "application/octet-stream"
max_past = "9999d"
idle_timeout = "60s"
[inputs.right]
content_type = "application/octet-stream"
max_past = "9999d"
idle_timeout = "60s"
[align]
pivot = "left"
max_wait = "60s"
right = { nearest = { tolerance = "1ms" } }
[models]
repository = "../models"
[steps.identity]
model = "identity"
[steps.identity.inputs]
payload = { from = "left", bytes = { length = 16 } }
"#;

pub(crate) struct Round<'b> {
    pipeline: Pipeline<'b>,
    load: Load,
    next: Instant,
    results: Tail,
    records: Vec<TailRecord>,
    bundles: BTreeSet<String>,
    /// When something was done to a process that has not been recovered from, and the longest that a sample has waited
    /// for its result since.
    disturbed: Option<(Instant, Duration)>,
    recoveries: Vec<u128>,
    pub(crate) kills: usize,
    guarantee: &'static str,
}

impl<'b> Round<'b> {
    pub(crate) fn new(broker: &'b Broker, guarantee: &'static str) -> Self {
        assert_eq!(BYTES, 16);
        let pipeline = Pipeline::of(broker, &PAIRS.replace("GUARANTEE", guarantee));
        pipeline.create_topics(&["left", "right"], PARTITIONS);
        let topics = [pipeline.topic("left"), pipeline.topic("right")];
        let results = Tail::open(
            &broker.address,
            &std::collections::BTreeMap::new(),
            &pipeline.topic("results"),
            From::Beginning,
        );
        Self {
            load: Load::new(broker, topics, STREAMS),
            pipeline,
            next: Instant::now(),
            results: results.expect("the results can be followed"),
            records: Vec::new(),
            bundles: BTreeSet::new(),
            disturbed: None,
            recoveries: Vec::new(),
            kills: 0,
            guarantee,
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

    /// Publishes, and reads results, for so long.
    pub(crate) fn go_on(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.turn();
        }
    }

    /// Goes on until everything has recovered from what was done to it.
    pub(crate) fn recover(&mut self) {
        let until = Instant::now() + PATIENCE;
        while self.disturbed.is_some() {
            self.turn();
            assert!(Instant::now() < until, "{} bundles in vain", self.load.expected() - self.bundles.len());
        }
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
            self.bundles.insert(result["id"].as_str().expect("an id").to_owned());
            self.records.push(record);
        }
        let age = self.load.oldest_without(&self.bundles).map_or(Duration::ZERO, |at| at.elapsed());
        if let Some((at, longest)) = &mut self.disturbed {
            *longest = age.max(*longest);
            // The group notices a member that has died after its session of 6 s.
            if at.elapsed() > SETTLED && age < CAUGHT_UP {
                self.recoveries.push(longest.as_millis());
                self.disturbed = None;
            }
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
    }

    /// Stops a process in order, and goes on meanwhile.
    pub(crate) fn stop(&mut self, process: Lockstep) -> Ended {
        process.signal("TERM");
        let (mut process, until) = (process, Instant::now() + PATIENCE);
        while !process.has_ended() {
            self.turn();
            assert!(Instant::now() < until, "it does not stop");
        }
        process.wait()
    }

    /// Something is being done to a process.
    pub(crate) fn disturb(&mut self) {
        self.kills += 1;
        let longest = self.disturbed.map_or(Duration::ZERO, |(_, longest)| longest);
        self.disturbed = Some((Instant::now(), longest));
    }

    /// Waits for every result, and then for the processes to stop in order.
    pub(crate) fn end(mut self, broker: &Broker, scenario: &'static str, processes: Vec<Lockstep>) -> Row {
        let until = Instant::now() + PATIENCE;
        while self.bundles.len() < self.load.expected() {
            self.read(Duration::from_millis(50));
            if Instant::now() > until {
                println!("chaos: {} bundles have no result", self.load.expected() - self.bundles.len());
                break;
            }
        }
        for process in processes {
            let ended = process.terminate();
            assert_eq!(ended.code, Some(0), "{ended:?}");
        }
        // What may come twice would have come by now, but for what was on its way.
        self.read(Duration::from_secs(1));
        let rounds = self.load.finish();
        let mut dead = broker.follow(&self.pipeline.topic("dead-letters"));
        dead.for_now();
        Row {
            scenario,
            guarantee: self.guarantee,
            kills: self.kills,
            samples: 2 * rounds * STREAMS,
            account: account(&self.records, &dead.records, rounds, STREAMS),
            recoveries: self.recoveries,
        }
    }
}
