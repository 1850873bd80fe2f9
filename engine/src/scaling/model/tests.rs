//! Tests of the model, and of the law in it.

use super::*;
use crate::scaling::{CountBounds, MachineResources, Policy, ScalingSpec};

fn plant() -> Plant {
    Plant {
        cores: 16,
        shards: 1,
        record_cost: 0.001,
        shard_start: 0.05,
        inside: 512,
        steps: vec![PlantStep {
            name: "faces".into(),
            instances: 1,
            batch_cost: 0.004,
            bundle_cost: 0.0005,
            max_size: 8,
            max_delay: 0.005,
            instance_start: 2.0,
            cores: 0.0,
        }],
        backlog: 0,
        partitions: 12,
    }
}

fn law(policy: Policy) -> Law {
    let bounds = CountBounds { min: Some(1), max: Some(16) };
    let spec = ScalingSpec { policy, shards: bounds, instances: vec![bounds], ..ScalingSpec::default() };
    Law::new(spec, MachineResources { cores: 16, memory: None })
}

fn constant(rate: f64) -> LoadProfile {
    LoadProfile::Trace(vec![(0.0, rate)])
}

fn step(base: f64, peak: f64) -> LoadProfile {
    LoadProfile::Shaped { shape: LoadShape::Step, base, peak, seconds: 300.0 }
}

#[test]
fn every_arrived_record_is_done_or_left() {
    let backlog = Plant { backlog: 5_000, ..plant() };
    for policy in Policy::ALL {
        let course = run(&backlog, law(policy), &step(300.0, 3_000.0), 300, 1);
        let summary = course.summary(5.0);
        let mut random = ArrivalGenerator::new(1);
        let load = step(300.0, 3_000.0);
        let arrived: u64 =
            (1..=300_000).map(|tick| random.poisson(load.rate(f64::from(tick) * TICK) * TICK)).sum();
        assert_eq!(summary.done + summary.left, arrived + 5_000);
    }
}

#[test]
fn simulation_depends_on_its_seed_alone() {
    let of = |seed| run(&plant(), law(Policy::Target), &step(300.0, 3_000.0), 300, seed).points;
    assert_eq!(of(1), of(1));
    assert_ne!(of(1), of(2));
}

#[test]
fn backlog_is_worked_off_at_the_sustainable_rate() {
    for cores in [1, 2, 16] {
        for on_cpu in [0.0, 1.0] {
            let mut plant = Plant { cores, shards: 2, backlog: 1_000_000, ..plant() };
            plant.steps[0].cores = on_cpu;
            let course = run(&plant, law(Policy::Fixed), &constant(0.0), 60, 1);
            let done = course.summary(5.0).done as f64 / 60.0;
            let right = plant.sustainable();
            assert!((done / right - 1.0).abs() < 0.05, "{done} for {right} with {cores} cores, {on_cpu}");
        }
    }
}

#[test]
fn idle_pipeline_answers_after_batch_delay_and_cost() {
    let course = run(&plant(), law(Policy::Fixed), &constant(10.0), 60, 1);
    let (mean, _) = course.summary(5.0).latency;
    assert!((0.009..0.012).contains(&mean), "5 ms of delay, 4.5 ms of work: {mean}");
}

#[test]
fn age_recovers_from_a_step_in_time_and_counts_go_back() {
    for cores in [0.0, 1.0] {
        let mut plant = plant();
        plant.steps[0].cores = cores;
        let (base, peak) = (0.6 * plant.sustainable(), 3.0 * plant.sustainable());
        let law = law(Policy::Target);
        let spec = law.spec().clone();
        let target = spec.target.age.as_secs_f64();
        let course = run(&plant, law, &step(base, peak), 300, 1);
        let summary = course.summary(target);
        let predicted = spec.recovers_within(Duration::from_secs(2)).as_secs_f64();
        assert!(summary.over <= predicted && !summary.over_at_end, "{summary:?}, predicted {predicted}");
        let fixed = run(&plant, self::law(Policy::Fixed), &step(base, peak), 300, 1).summary(target);
        assert!(fixed.over > 100.0, "one of each does not recover so soon: {fixed:?}");
        let last = course.points.last().expect("points");
        assert!(last.shards <= 2 && last.instances[0] <= 2, "and back: {last:?}");
    }
}

#[test]
fn backlog_is_drained_within_its_time() {
    for backlog in [10_000, 100_000] {
        let plant = Plant { backlog, ..plant() };
        let law = law(Policy::Target);
        let spec = law.spec().clone();
        let summary = run(&plant, law, &constant(500.0), 200, 1).summary(spec.target.age.as_secs_f64());
        let predicted = spec.recovers_within(Duration::from_secs(2)).as_secs_f64();
        assert!((10.0..predicted).contains(&summary.over), "{summary:?}, predicted {predicted}");
    }
}

#[test]
fn overload_asks_for_processes_up_to_the_partitions() {
    let mut plant = plant();
    plant.cores = 2;
    plant.steps[0].cores = 1.0;
    let desired = |partitions| {
        let law = Law::new(law(Policy::Target).spec().clone(), MachineResources { cores: 2, memory: None });
        let course =
            run(&Plant { partitions, ..plant.clone() }, law, &constant(3.0 * plant.sustainable()), 30, 1);
        course.points.last().and_then(|point| point.replicas).expect("costs are known")
    };
    assert!((3.0..12.0).contains(&desired(12)), "{}", desired(12));
    assert_eq!(desired(2), 2.0);
}
