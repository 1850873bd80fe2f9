//! A queueing model of a pipeline in virtual time, run by the same law as the real pipeline.
//!
//! Records wait in Kafka. Shards read them; each shard works on one record at a time. Then the records pass the steps
//! one after the other, in batches: a batch takes a fixed time plus a time for each bundle. As in the real pipeline, a
//! batch is cut when it is full or its first bundle has waited for `max_delay`. At most `inside` records are in the
//! pipeline; the others wait in Kafka. Shards, and models on the CPU, share the cores: if more of them work than there
//! are cores, all slow down. Streams are spread evenly, each record becomes one bundle, and a batch's time includes
//! decoding.

use std::time::Duration;

use crate::position::{InputId, PartitionId};
use crate::time::Timestamp;

use super::law::Law;
use super::measures::Scaled;
use super::meter::{Meter, StageWork};

mod arrivals;
mod course;
mod load;
mod queue;
mod step;

use arrivals::ArrivalGenerator;
pub use course::{SimulationPoint, SimulationRun, SimulationSummary};
pub use load::{LoadProfile, LoadShape};
use queue::RecordQueue;
use step::SimulatedStep;

/// A pipeline in the model. Times are in seconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Plant {
    /// The cores of the machine.
    pub cores: usize,
    /// Shards at the start.
    pub shards: usize,
    /// A shard's work per record.
    pub record_cost: f64,
    /// The time until a new shard works.
    pub shard_start: f64,
    /// The most records in the pipeline, from reading to result.
    pub inside: u64,
    /// The steps; each takes the output of the one before it.
    pub steps: Vec<PlantStep>,
    /// Records that wait at the start. They arrived earlier, at the initial rate.
    pub backlog: u64,
    /// Partitions of an input, at least 1: no more processes can share the work.
    pub partitions: usize,
}

/// A step in the model. Times are in seconds.
#[derive(Clone, Debug, PartialEq)]
pub struct PlantStep {
    /// Its name.
    pub name: String,
    /// Instances at the start.
    pub instances: usize,
    /// The fixed time of a batch.
    pub batch_cost: f64,
    /// The additional time for each bundle.
    pub bundle_cost: f64,
    /// The most bundles of a batch.
    pub max_size: usize,
    /// The longest wait of a batch's first bundle for others.
    pub max_delay: f64,
    /// The time until a new instance works.
    pub instance_start: f64,
    /// Cores that an instance keeps busy; 0 if a device does the work.
    pub cores: f64,
}

impl PlantStep {
    /// The time per bundle in a full batch.
    fn full_cost(&self) -> f64 {
        self.batch_cost / self.max_size.max(1) as f64 + self.bundle_cost
    }
}

impl Plant {
    /// The highest rate, in records per second, that the initial numbers sustain for ever.
    pub fn sustainable(&self) -> f64 {
        let mut least = self.shards.max(1) as f64 / self.record_cost;
        let mut cores = self.record_cost;
        for step in &self.steps {
            least = least.min(step.instances.max(1) as f64 / step.full_cost());
            cores += step.full_cost() * step.cores;
        }
        least.min(self.cores.max(1) as f64 / cores)
    }
}

/// The step of virtual time, in seconds.
const TICK: f64 = 1e-3;
/// The law looks at the measures once a second: this number of ticks.
const LOOK: i64 = 1_000;
/// The partition of all records; the law ignores the distribution.
const PARTITION: PartitionId = PartitionId { input: InputId(0), partition: 0 };

/// The state of a simulation.
struct SimulationState {
    plant: Plant,
    /// Ticks since the start.
    now: i64,
    random: ArrivalGenerator,
    kafka: RecordQueue,
    steps: Vec<SimulatedStep>,
    shards: usize,
    /// The tick from which a new number of shards works, and that number.
    shards_asked: Option<(i64, usize)>,
    /// Work that the shards could have done and have not: at most the cost of the next record.
    credit: f64,
    shards_busy: f64,
    /// The number of working shards, averaged over the last ticks: a record may take longer than a tick.
    shards_at_work: f64,
    inside: u64,
    read: u64,
    read_last: Option<i64>,
}

/// Runs the model for `seconds` seconds.
pub fn run(plant: &Plant, law: Law, load: &LoadProfile, seconds: u32, seed: u64) -> SimulationRun {
    let mut meter = Meter::new(law.spec().smooth);
    for partition in 0..plant.partitions.max(1) {
        meter.assign(PartitionId { partition: i32::try_from(partition).unwrap_or(i32::MAX), ..PARTITION });
    }
    meter.lag(PARTITION, plant.backlog);
    let mut law = law;
    let mut run = SimulationState::new(plant, load.rate(0.0), seed);
    let mut course = SimulationRun::new(plant);
    for second in 0..seconds {
        for _ in 0..LOOK {
            run.tick(load, &mut course);
        }
        let at = Timestamp::from_millis(run.now);
        let read_last = run.read_last.map(Timestamp::from_millis);
        meter.read(PARTITION, std::mem::take(&mut run.read), read_last);
        meter.lag(PARTITION, run.kafka.len());
        let measures = meter.measures(&run.work(), 0, at);
        let decisions = law.decide(&measures, at);
        for decision in &decisions {
            run.apply(decision.what, decision.to);
        }
        let replicas = law.replicas(&measures);
        course.look(run.point(f64::from(second + 1), load, replicas), decisions);
    }
    course.left(run.kafka.len() + run.inside);
    course
}

impl SimulationState {
    fn new(plant: &Plant, rate: f64, seed: u64) -> Self {
        let mut kafka = RecordQueue::default();
        for record in (1..=plant.backlog).rev() {
            let before = if rate > 0.0 { record as f64 / rate } else { 0.0 };
            let arrived = -((before / TICK).min(1e15) as i64);
            kafka.push(arrived, arrived, 1);
        }
        Self {
            plant: plant.clone(),
            now: 0,
            random: ArrivalGenerator::new(seed),
            kafka,
            steps: plant.steps.iter().map(SimulatedStep::new).collect(),
            shards: plant.shards.max(1),
            shards_asked: None,
            credit: 0.0,
            shards_busy: 0.0,
            shards_at_work: 0.0,
            inside: 0,
            read: 0,
            read_last: None,
        }
    }

    fn tick(&mut self, load: &LoadProfile, course: &mut SimulationRun) {
        self.now += 1;
        let arrived = self.random.poisson(load.rate(self.now as f64 * TICK) * TICK);
        self.kafka.push(self.now, self.now, arrived);
        if let Some((_, shards)) = self.shards_asked.take_if(|(from, _)| *from <= self.now) {
            self.shards = shards;
        }
        let at_work = self.shards_at_work + self.steps.iter().map(SimulatedStep::cores_at_work).sum::<f64>();
        let speed = (self.plant.cores.max(1) as f64 / at_work.max(1e-9)).min(1.0);
        let mut bundles = self.shard(speed);
        for step in &mut self.steps {
            step.put(bundles, self.now);
            bundles = step.tick(self.now, TICK, speed);
        }
        for (arrived, count) in bundles {
            self.inside = self.inside.saturating_sub(count);
            course.done(self.now - arrived, count);
        }
    }

    /// The records that the shards complete in this tick.
    fn shard(&mut self, speed: f64) -> Vec<(i64, u64)> {
        let cost = self.plant.record_cost.max(1e-9);
        let most = self.shards as f64 * TICK * speed;
        self.credit = (self.credit + most).min(most.max(cost) + cost);
        let room = self.plant.inside.saturating_sub(self.inside);
        let taken = self.kafka.take(((self.credit / cost) as u64).min(room));
        let count: u64 = taken.iter().map(|(_, count)| count).sum();
        let worked = count as f64 * cost;
        self.credit -= worked;
        // Idle shards save no credit.
        if self.kafka.len() == 0 || room == count {
            self.credit = self.credit.min(most);
        }
        self.shards_busy += worked / speed;
        self.shards_at_work += (worked / speed / TICK - self.shards_at_work) / 50.0;
        self.inside += count;
        self.read += count;
        self.read_last = taken.last().map(|(arrived, _)| *arrived).or(self.read_last);
        taken
    }

    fn work(&self) -> Vec<StageWork> {
        let shards = StageWork {
            what: Scaled::Shards,
            name: "shards".into(),
            count: self.shards_asked.map_or(self.shards, |(_, shards)| shards),
            busy: Duration::from_secs_f64(self.shards_busy),
            full_cost: None,
            cores: 1.0,
            bytes: None,
        };
        let steps = self.steps.iter().enumerate().map(|(place, step)| StageWork {
            what: Scaled::Instances(place),
            name: format!("instances of {}", step.plant().name).into(),
            count: step.asked(),
            busy: Duration::from_secs_f64(step.busy()),
            full_cost: Some(step.plant().full_cost()),
            cores: step.plant().cores,
            bytes: None,
        });
        std::iter::once(shards).chain(steps).collect()
    }

    fn apply(&mut self, what: Scaled, count: usize) {
        match what {
            Scaled::Shards => {
                let ticks = if count > self.shards { self.plant.shard_start / TICK } else { 0.0 };
                self.shards_asked = Some((self.now + ticks as i64, count));
            }
            Scaled::Instances(place) => {
                if let Some(step) = self.steps.get_mut(place) {
                    step.ask(count, self.now, TICK);
                }
            }
        }
    }

    fn point(&self, at: f64, load: &LoadProfile, replicas: Option<f64>) -> SimulationPoint {
        SimulationPoint {
            at,
            rate: load.rate(at),
            lag: self.kafka.len(),
            age: self.kafka.first().map_or(0.0, |arrived| (self.now - arrived) as f64 * TICK),
            shards: self.shards,
            instances: self.steps.iter().map(SimulatedStep::running).collect(),
            replicas,
            ..SimulationPoint::default()
        }
    }
}

#[cfg(test)]
mod tests;
