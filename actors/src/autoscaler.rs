//! The autoscaler compares the load with the scaling policy and sets the desired numbers of shards and instances.
//!
//! A change takes time: streams move and models load. Meanwhile the policy counts with the desired numbers, as in
//! [`lockstep_engine::scaling::model`], so that it does not repeat a decision and can revise it. A model that cannot be loaded
//! limits the number of instances. The desired number of processes is a metric for the orchestrator. A number that an operator
//! has set stays until the operator releases it.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use lockstep_engine::budget::Budget;
use lockstep_engine::infer::load_model::Device;
use lockstep_engine::pipeline::Pipeline;
use lockstep_engine::position::PartitionId;
use lockstep_engine::scaling::{Decision, Law, MachineResources, Scaled, StageWork};
use lockstep_engine::telemetry;
use lockstep_engine::time::Timestamp;

use crate::counts::Instances;
use crate::heartbeat::Heartbeat;
use crate::load::Load;
use crate::memory;
use crate::status::{ALIGN_PREFIX, Status};
use crate::unit_runtime::UnitRuntime;

/// The period of decisions: Kafka's client reports the ends of partitions as often.
const PERIOD: Duration = Duration::from_secs(1);

/// The parts of a pipeline that the autoscaler measures.
pub(crate) struct Measured<'a> {
    pub(crate) pipeline: &'a Pipeline,
    pub(crate) load: Load,
    pub(crate) budget: Budget,
    pub(crate) status: Arc<Status>,
    pub(crate) steps: Vec<Arc<UnitRuntime>>,
}

/// Compares the load with the scaling policy and sets desired numbers.
pub(crate) struct Autoscaler {
    law: Law,
    load: Load,
    budget: Budget,
    status: Arc<Status>,
    /// The heartbeats of the shards at the last check, and the working time of shards that have ended.
    shards: Vec<Arc<Heartbeat>>,
    gone: Duration,
    steps: Vec<Arc<UnitRuntime>>,
    /// One entry per step: the least memory of the machine that one more instance takes.
    sizes: Vec<Option<u64>>,
    instances: BTreeMap<Scaled, Arc<Instances>>,
    inputs: Vec<String>,
    /// The partitions whose age was reported.
    aged: BTreeSet<PartitionId>,
}

impl Autoscaler {
    pub(crate) fn new(measured: Measured<'_>) -> Self {
        let Measured { pipeline, load, budget, status, steps } = measured;
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        // The present models are loaded, so free memory excludes them. The byte budget of records comes first.
        let memory = memory::free().map(|bytes| bytes.saturating_sub(budget.limit()));
        let sizes = steps.iter().map(|runtime| size(runtime)).collect();
        let counts =
            |unit: &Arc<UnitRuntime>| (Scaled::Instances(unit.index()), status.instances_of(unit.id.step()));
        Self {
            instances: steps.iter().map(counts).collect(),
            law: Law::new(pipeline.scaling.clone(), MachineResources { cores, memory }),
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

    /// Decides once a period, for ever.
    pub(crate) async fn run(mut self) -> Infallible {
        loop {
            tokio::time::sleep(PERIOD).await;
            for decision in self.decide(Timestamp::now(), Timestamp::wall()) {
                tracing::info!(%decision, "scaling");
            }
        }
    }

    /// Decides once and returns the decisions.
    fn decide(&mut self, now: Timestamp, wall: Timestamp) -> Vec<Decision> {
        self.check_heartbeats();
        let shards = &self.status.shards;
        self.law.hold(Scaled::Shards, shards.desired().filter(|_| shards.is_overridden()));
        for (what, counts) in &self.instances {
            self.law.hold(*what, counts.desired().filter(|_| counts.is_overridden()));
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
        self.report_ages(&ages);
        for stage in &mut measures.stages {
            if let Scaled::Instances(step) = stage.what {
                let runtime = self.steps.iter().find(|runtime| runtime.index() == step);
                let share = runtime.and_then(|runtime| runtime.share_in_full());
                stage.full_cost = stage.cost.zip(share).map(|(cost, share)| cost * share);
            }
            if let Some(asked) = self.instances.get(&stage.what).and_then(|counts| counts.desired()) {
                // The same work, spread over the desired number.
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
            self.status.decided(decision.clone(), wall);
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

    fn report_ages(&mut self, ages: &BTreeMap<PartitionId, Duration>) {
        let known: BTreeSet<PartitionId> = ages.keys().copied().collect();
        for partition in self.aged.union(&known) {
            if let Some(input) = self.inputs.get(partition.input.index()) {
                telemetry::oldest_event(input, *partition, ages.get(partition).copied());
            }
        }
        self.aged = known;
    }

    /// Updates the heartbeats of the shards, and keeps the working time of shards that have ended.
    fn check_heartbeats(&mut self) {
        let now = self.status.heartbeats_of(ALIGN_PREFIX);
        let gone =
            self.shards.iter().filter(|heartbeat| !now.iter().any(|still| Arc::ptr_eq(still, heartbeat)));
        self.gone += gone.map(|heartbeat| heartbeat.busy()).sum::<Duration>();
        self.shards = now;
    }

    /// Returns the current number of instances of a step.
    fn present(&self, runtime: &UnitRuntime) -> usize {
        let counts = self.instances.get(&Scaled::Instances(runtime.index()));
        counts.map(|counts| counts.current()).filter(|count| *count > 0).unwrap_or(runtime.spec().instances)
    }

    fn work(&self) -> Vec<StageWork> {
        let shards = StageWork {
            what: Scaled::Shards,
            name: "shards".into(),
            count: self.status.shards.desired().unwrap_or_else(|| self.status.shards.current()).max(1),
            busy: self.gone + self.shards.iter().map(|heartbeat| heartbeat.busy()).sum::<Duration>(),
            full_cost: None,
            cores: 1.0,
            bytes: None,
        };
        let steps = self.steps.iter().zip(&self.sizes).map(|(runtime, size)| StageWork {
            what: Scaled::Instances(runtime.index()),
            name: format!("instances of {}", runtime.spec().name).into(),
            count: self.present(runtime),
            busy: runtime.busy(),
            full_cost: None,
            cores: match runtime.unit.model.device {
                Device::Cuda(_) => 0.0,
                Device::Auto | Device::Cpu => runtime.unit.model.threads as f64,
            },
            bytes: *size,
        });
        std::iter::once(shards).chain(steps).collect()
    }
}

/// Returns the least memory of the machine that one more instance takes: the size of its weights in the file. A device's memory
/// is not counted: loading fails when none is left.
fn size(runtime: &UnitRuntime) -> Option<u64> {
    let model = &runtime.unit.model;
    match model.device {
        Device::Cuda(_) => None,
        Device::Auto | Device::Cpu => std::fs::metadata(&model.file).ok().map(|file| file.len()),
    }
}

#[cfg(test)]
mod tests {
    use lockstep_engine::position::InputId;
    use lockstep_engine::scaling::{CountBounds, ScalingSpec};

    use super::*;

    const PARTITION: PartitionId = PartitionId { input: InputId(0), partition: 0 };

    fn autoscaler() -> (Autoscaler, Arc<Heartbeat>) {
        let status = Arc::new(Status::default());
        status.shards.set_current(1);
        let heartbeat = status.heartbeat("align-0");
        let shards = CountBounds { min: Some(1), max: Some(8) };
        let autoscaler = Autoscaler {
            law: Law::new(
                ScalingSpec { shards, ..ScalingSpec::default() },
                MachineResources { cores: 8, memory: None },
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
        autoscaler.load.lock().assign(PARTITION);
        (autoscaler, heartbeat)
    }

    /// 1000 records a second of 4 ms of work arrive for a minute, of which one shard handles a quarter; then none.
    #[test]
    fn autoscaler_decides_once_and_reverts_when_the_load_is_gone() {
        let (mut autoscaler, heartbeat) = autoscaler();
        let mut decided = Vec::new();
        for second in 0..600_i64 {
            let now = Timestamp::from_millis(second * 1_000);
            let lag = if second < 60 { 750 * second } else { (45_000 - 250 * (second - 60)).max(0) };
            if second < 60 || lag > 0 {
                heartbeat.worked(Duration::from_secs(1));
                autoscaler.load.lock().read(PARTITION, 250, Some(now));
            }
            autoscaler.load.lock().lag(PARTITION, lag.cast_unsigned());
            decided
                .extend(autoscaler.decide(now, now).into_iter().map(|decision| (decision.from, decision.to)));
            assert_eq!(autoscaler.status.shards.desired(), decided.last().map(|(_, to)| *to));
        }
        assert!(decided.first().is_some_and(|(from, to)| *from == 1 && *to >= 5), "{decided:?}");
        assert!(
            decided.windows(2).all(|pair| pair[0].1 == pair[1].0),
            "each begins at the last: {decided:?}"
        );
        assert_eq!(decided.last().map(|(_, to)| *to), Some(1), "{decided:?}");
        assert!(decided.len() < 20, "{decided:?}");
    }

    #[test]
    fn autoscaler_keeps_a_manual_override_until_its_release() {
        let (mut autoscaler, heartbeat) = autoscaler();
        autoscaler.status.shards.override_with(3);
        for second in 0..300_i64 {
            let now = Timestamp::from_millis(second * 1_000);
            heartbeat.worked(Duration::from_secs(1));
            autoscaler.load.lock().lag(PARTITION, 1_000_000);
            autoscaler.decide(now, now);
            assert_eq!(autoscaler.status.shards.desired(), Some(3));
        }
        autoscaler.status.shards.end_override();
        for second in 300..400_i64 {
            heartbeat.worked(Duration::from_secs(1));
            autoscaler.load.lock().read(PARTITION, 250, None);
            autoscaler.load.lock().lag(PARTITION, 1_000_000);
            let now = Timestamp::from_millis(second * 1_000);
            autoscaler.decide(now, now);
        }
        assert_eq!(autoscaler.status.shards.desired(), Some(8), "the autoscaler sets it again");
    }
}
