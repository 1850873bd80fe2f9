//! The desired number of processes.

use super::limits::{CountLimits, MachineResources};
use super::measures::{Measures, StageLoad};

/// The number of processes like this one that its work requires, from 0 to the number of its partitions. `rate` is the
/// number of records to process per second. `None` while the cost of a record is unknown.
///
/// A process sees only its own partitions, so this is a fraction. The sum over all processes of a group, rounded up, is
/// the desired number of processes. It is at most the number of partitions, since each process asks for no more than it
/// has. One process can do what its slowest stage can with the most units allowed, and what its cores can.
pub fn desired_replicas(
    measures: &Measures,
    rate: f64,
    limits: impl Fn(&StageLoad) -> CountLimits,
    machine: &MachineResources,
) -> Option<f64> {
    let slowdown = measures.slowdown(machine.cores);
    let mut cores = 0.0;
    let mut units: f64 = 0.0;
    for stage in &measures.stages {
        let cost = stage.demand(slowdown)?;
        units = units.max(rate * cost / limits(stage).max as f64);
        cores += rate * cost * stage.cores;
    }
    let processes = units.max(cores / machine.cores.max(1) as f64);
    Some(processes.min(measures.partitions as f64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scaling::Scaled;

    fn stage(what: Scaled, cost: f64, cores: f64) -> StageLoad {
        let cost = Some(cost);
        StageLoad { what, name: "it".into(), count: 1, busy: 0.5, cost, full_cost: None, cores, bytes: None }
    }

    fn desired(rate: f64, partitions: usize) -> f64 {
        let stages = vec![stage(Scaled::Shards, 1e-3, 1.0), stage(Scaled::Instances(0), 4e-3, 0.0)];
        let measures = Measures { partitions, stages, ..Measures::default() };
        let machine = MachineResources { cores: 2, memory: None };
        desired_replicas(&measures, rate, |_| CountLimits { min: 1, max: 4 }, &machine)
            .expect("costs are known")
    }

    #[test]
    fn replicas_follow_the_slowest_stage_or_the_cores() {
        assert_eq!(desired(500.0, 12), 0.5, "four instances do 1000 a second");
        assert_eq!(desired(3_000.0, 12), 3.0);
        assert_eq!(desired(0.0, 12), 0.0);
    }

    #[test]
    fn cores_bound_the_work_of_shards() {
        let stages = vec![stage(Scaled::Shards, 1e-3, 1.0)];
        let measures = Measures { partitions: 12, stages, ..Measures::default() };
        let machine = MachineResources { cores: 2, memory: None };
        let desired = desired_replicas(&measures, 8_000.0, |_| CountLimits { min: 1, max: 16 }, &machine);
        assert_eq!(desired, Some(4.0), "16 shards on 2 cores do the work of 2");
    }

    #[test]
    fn replicas_never_exceed_the_partitions() {
        assert_eq!(desired(1e6, 12), 12.0);
        assert_eq!(desired(1e6, 0), 0.0, "a process without partitions is not needed");
    }
}
