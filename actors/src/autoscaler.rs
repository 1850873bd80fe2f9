//! Has the law of scaling look at the load, and asks for the shards and instances that it decides on.
//!
//! What is asked for takes its time: streams move, models are loaded. Meanwhile the law goes by what is on its way, as
//! it does in [`lockstep_engine::scaling::model`], so that it does not ask for the same again and can think better
//! of it. What cannot be loaded comes back to it as the most that there can be. How many processes there should be is for
//! whoever starts them, and is a metric. A number that somebody has asked for by hand is held until it is let go.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use lockstep_engine::budget::Budget;
use lockstep_engine::infer::backend::Device;
use lockstep_engine::pipeline::Pipeline;
use lockstep_engine::position::PartitionId;
use lockstep_engine::scaling::{Decision, Law, Machine, Meter, Scaled, Work};
use lockstep_engine::telemetry;
use lockstep_engine::time::Timestamp;
use parking_lot::{Mutex, MutexGuard};

use crate::heartbeat::Heartbeat;
use crate::instance::count::Instances;
use crate::memory;
use crate::prepare::StepRuntime;
use crate::status::Status;

/// How often the law looks: as often as Kafka's client tells the ends of partitions.
const LOOK: Duration = Duration::from_secs(1);

/// What is counted of the load, where it is counted.
#[derive(Clone, Debug)]
pub struct Load(Arc<Mutex<Meter>>);

impl Load {
    /// Rates are averages over so long a time.
    pub fn new(smooth: Duration) -> Self {
        Self(Arc::new(Mutex::new(Meter::new(smooth))))
    }

    /// To count, or to look.
    pub fn lock(&self) -> MutexGuard<'_, Meter> {
        self.0.lock()
    }
}

/// What is looked at.
pub(crate) struct Watched<'a> {
    pub(crate) pipeline: &'a Pipeline,
    pub(crate) load: Load,
    pub(crate) budget: Budget,
    pub(crate) status: Arc<Status>,
    pub(crate) steps: Vec<Arc<StepRuntime>>,
}

/// Looks at the load, and tells what the law says.
pub(crate) struct Autoscaler {
    law: Law,
    load: Load,
    budget: Budget,
    status: Arc<Status>,
    /// The sync actors' heartbeats, as they were last looked at, and how long those have worked that are gone.
    shards: Vec<Arc<Heartbeat>>,
    gone: Duration,
    steps: Vec<Arc<StepRuntime>>,
    /// Of each of them, what one more instance takes of the machine's memory at least.
    sizes: Vec<Option<u64>>,
    instances: BTreeMap<Scaled, Arc<Instances>>,
    inputs: Vec<String>,
    /// The partitions whose age was told.
    aged: BTreeSet<PartitionId>,
}

impl Autoscaler {
    pub(crate) fn new(watched: Watched<'_>) -> Self {
        let Watched { pipeline, load, budget, status, steps } = watched;
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        // The models that there are have been loaded. What records may take comes first.
        let memory = memory::to_spare().map(|bytes| bytes.saturating_sub(budget.limit()));
        let sizes = steps.iter().map(|runtime| size(runtime)).collect();
        let counts =
            |step: &Arc<StepRuntime>| (Scaled::Instances(step.index), status.instances_of(&step.step.name));
        Self {
            instances: steps.iter().map(counts).collect(),
            law: Law::new(pipeline.scaling.clone(), Machine { cores, memory }),
            load,
            budget,
            status,
            shards: Vec::new(),
            gone: Duration::ZERO,
            steps,
            sizes,
            inputs: pipeline.inputs.iter().map(|input| input.name.clone()).collect(),
            aged: BTreeSet::new(),
        }
    }

    /// Looks again and again, for ever.
    pub(crate) async fn watch(mut self) -> Infallible {
        loop {
            tokio::time::sleep(LOOK).await;
            for decision in self.look(Timestamp::now(), Timestamp::wall()) {
                tracing::info!("the load asks for {decision}");
            }
        }
    }

    /// Looks once: what has been decided.
    fn look(&mut self, now: Timestamp, wall: Timestamp) -> Vec<Decision> {
        self.check_heartbeats();
        let shards = &self.status.shards;
        self.law.hold(Scaled::Shards, shards.asked().filter(|_| shards.is_overridden()));
        for (what, counts) in &self.instances {
            self.law.hold(*what, counts.asked().filter(|_| counts.is_overridden()));
            self.law.limit(*what, counts.coming().most);
        }
        let work = self.work();
        let (mut measures, ages) = {
            let mut meter = self.load.lock();
            let measures = meter.measures(&work, self.budget.used(), now);
            (measures, meter.ages(wall).collect::<BTreeMap<_, _>>())
        };
        measures.age = ages.values().max().copied();
        telemetry::measured(&measures);
        self.tell_ages(&ages);
        for stage in &mut measures.stages {
            if let Scaled::Instances(step) = stage.what {
                let runtime = self.steps.iter().find(|runtime| runtime.index == step);
                let share = runtime.and_then(|runtime| runtime.share_in_full());
                stage.full_cost = stage.cost.zip(share).map(|(cost, share)| cost * share);
            }
            if let Some(asked) = self.instances.get(&stage.what).and_then(|counts| counts.asked()) {
                // The same work, done by so many.
                stage.busy *= stage.count as f64 / asked as f64;
                stage.count = asked;
            }
            telemetry::scaling_wanted(&stage.name, stage.count);
        }
        let decisions = self.law.decide(&measures, now);
        if let Some(processes) = self.law.replicas(&measures) {
            telemetry::desired_replicas(processes);
        }
        for decision in &decisions {
            telemetry::scaling_decided(decision);
            telemetry::scaling_wanted(&decision.name, decision.to);
            match decision.what {
                Scaled::Shards => self.status.shards.follow(decision.to),
                Scaled::Instances(_) => {
                    if let Some(counts) = self.instances.get(&decision.what) {
                        counts.follow(decision.to);
                    }
                }
            }
        }
        decisions
    }

    fn tell_ages(&mut self, ages: &BTreeMap<PartitionId, Duration>) {
        let known: BTreeSet<PartitionId> = ages.keys().copied().collect();
        for partition in self.aged.union(&known) {
            if let Some(input) = self.inputs.get(partition.input.index()) {
                telemetry::oldest_event(input, *partition, ages.get(partition).copied());
            }
        }
        self.aged = known;
    }

    /// Finds the heartbeats of sync actors that have come, and keeps what those have worked that are gone.
    fn check_heartbeats(&mut self) {
        let now = self.status.pulses_of("align-");
        let gone =
            self.shards.iter().filter(|heartbeat| !now.iter().any(|still| Arc::ptr_eq(still, heartbeat)));
        self.gone += gone.map(|heartbeat| heartbeat.busy()).sum::<Duration>();
        self.shards = now;
    }

    /// How many instances of a step there are.
    fn present(&self, runtime: &StepRuntime) -> usize {
        let counts = self.instances.get(&Scaled::Instances(runtime.index));
        counts.map(|counts| counts.current()).filter(|count| *count > 0).unwrap_or(runtime.step.instances)
    }

    fn work(&self) -> Vec<Work> {
        let shards = Work {
            what: Scaled::Shards,
            name: "shards".into(),
            count: self.status.shards.asked().unwrap_or_else(|| self.status.shards.current()).max(1),
            busy: self.gone + self.shards.iter().map(|heartbeat| heartbeat.busy()).sum::<Duration>(),
            full_cost: None,
            cores: 1.0,
            bytes: None,
        };
        let steps = self.steps.iter().zip(&self.sizes).map(|(runtime, size)| Work {
            what: Scaled::Instances(runtime.index),
            name: format!("instances of {}", runtime.step.name).into(),
            count: self.present(runtime),
            busy: runtime.busy(),
            full_cost: None,
            cores: match runtime.step.model.device {
                Device::Cuda(_) => 0.0,
                Device::Auto | Device::Cpu => runtime.step.model.threads as f64,
            },
            bytes: *size,
        });
        std::iter::once(shards).chain(steps).collect()
    }
}

/// What one more instance takes of the machine's memory at least: its weights, as they lie in the file. A device's memory
/// tells by itself when there is none left, since loading fails then.
fn size(runtime: &StepRuntime) -> Option<u64> {
    let model = &runtime.step.model;
    match model.device {
        Device::Cuda(_) => None,
        Device::Auto | Device::Cpu => std::fs::metadata(&model.file).ok().map(|file| file.len()),
    }
}

#[cfg(test)]
mod tests {
    use lockstep_engine::position::InputId;
    use lockstep_engine::scaling::{Bounds, ScalingSpec};

    use super::*;

    const PARTITION: PartitionId = PartitionId { input: InputId(0), partition: 0 };

    fn control() -> (Autoscaler, Arc<Heartbeat>) {
        let status = Arc::new(Status::default());
        status.shards.set_current(1);
        let heartbeat = status.heartbeat("align-0");
        let shards = Bounds { min: Some(1), max: Some(8) };
        let control = Autoscaler {
            law: Law::new(
                ScalingSpec { shards, ..ScalingSpec::default() },
                Machine { cores: 8, memory: None },
            ),
            load: Load::new(Duration::from_secs(5)),
            budget: Budget::new(1 << 20),
            status,
            shards: Vec::new(),
            gone: Duration::ZERO,
            steps: Vec::new(),
            sizes: Vec::new(),
            instances: BTreeMap::new(),
            inputs: vec!["video".into()],
            aged: BTreeSet::new(),
        };
        control.load.lock().assign(PARTITION);
        (control, heartbeat)
    }

    /// For a minute, 1000 records of 4 ms of work arrive in a second, of which one shard does a quarter; then none.
    #[test]
    fn what_the_law_decides_is_asked_for_once_and_back_when_the_load_is_gone() {
        let (mut control, heartbeat) = control();
        let mut told = Vec::new();
        for second in 0..600_i64 {
            let now = Timestamp::from_millis(second * 1_000);
            let lag = if second < 60 { 750 * second } else { (45_000 - 250 * (second - 60)).max(0) };
            if second < 60 || lag > 0 {
                heartbeat.worked(Duration::from_secs(1));
                control.load.lock().read(PARTITION, 250, Some(now));
            }
            control.load.lock().lag(PARTITION, lag.cast_unsigned());
            told.extend(control.look(now, now).into_iter().map(|decision| (decision.from, decision.to)));
            assert_eq!(control.status.shards.asked(), told.last().map(|(_, to)| *to));
        }
        assert!(told.first().is_some_and(|(from, to)| *from == 1 && *to >= 5), "{told:?}");
        assert!(told.windows(2).all(|pair| pair[0].1 == pair[1].0), "each goes on from the last: {told:?}");
        assert_eq!(told.last().map(|(_, to)| *to), Some(1), "{told:?}");
        assert!(told.len() < 20, "{told:?}");
    }

    #[test]
    fn a_number_asked_for_by_hand_is_held_until_it_is_let_go() {
        let (mut control, heartbeat) = control();
        control.status.shards.ask(3);
        for second in 0..300_i64 {
            let now = Timestamp::from_millis(second * 1_000);
            heartbeat.worked(Duration::from_secs(1));
            control.load.lock().lag(PARTITION, 1_000_000);
            control.look(now, now);
            assert_eq!(control.status.shards.asked(), Some(3));
        }
        control.status.shards.let_go();
        for second in 300..400_i64 {
            heartbeat.worked(Duration::from_secs(1));
            control.load.lock().read(PARTITION, 250, None);
            control.load.lock().lag(PARTITION, 1_000_000);
            let now = Timestamp::from_millis(second * 1_000);
            control.look(now, now);
        }
        assert_eq!(control.status.shards.asked(), Some(8), "the law has it again");
    }
}
