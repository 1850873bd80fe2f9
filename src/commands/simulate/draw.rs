//! `--plot`: the course of a simulation, with a line for each policy.

use lockstep_engine::scaling::model::SimulationPoint;

use super::Simulation;
use crate::plot::course::{Count, Course, Moment, Picture};

/// The plot of a simulation.
pub(super) fn picture(simulation: &Simulation) -> Picture {
    let courses = simulation.runs.iter().map(|run| Course {
        name: run.policy.as_str().to_owned(),
        moments: run.course.points.iter().map(moment).collect(),
    });
    Picture {
        title: "Simulated scaling".to_owned(),
        words: format!("{} cores, {} s of virtual time", simulation.plant.cores, simulation.seconds),
        seconds: f64::from(simulation.seconds),
        target: Some(simulation.spec.target.age.as_secs_f64()),
        steps: simulation.plant.steps.iter().map(|step| step.name.clone()).collect(),
        courses: courses.collect(),
    }
}

fn moment(point: &SimulationPoint) -> Moment {
    let count = |now: usize| Count { now: now as f64, wanted: f64::NAN };
    Moment {
        at: point.at,
        arrivals: point.rate,
        results: point.done as f64,
        lag: point.lag as f64,
        age: point.age,
        shards: count(point.shards),
        instances: point.instances.iter().copied().map(count).collect(),
        latency: point.latency.map_or(f64::NAN, |(_, p99)| p99),
        replicas: point.replicas.unwrap_or(f64::NAN),
    }
}
