//! Tests of models that load when they are needed and leave when their memory is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::world::{Running, World, counting_pipeline, first_value, millis, pipeline, record};
use lockstep_actors::{PipelineEnd, PipelineError};
use lockstep_engine::infer::step::{Binding, OnMissing, OnOpenCircuit};
use lockstep_engine::infer::unit::ModelUnit;
use lockstep_engine::pipeline::Pipeline;
use lockstep_engine::sample::Record;
use lockstep_engine::supervision::breaker::{BreakerPolicy, BreakerState};
use lockstep_engine::supervision::restart::RestartPolicy;

/// A time longer than any test takes.
const NEVER: Duration = Duration::from_secs(3600);
/// The messages before the first record.
const UNREAD: usize = 2;
const MOMENT: Duration = Duration::from_millis(1);

/// A pipeline with one instance whose model loads when a bundle needs it.
fn lazy(max_size: usize) -> Pipeline {
    let mut pipeline = pipeline(1, max_size);
    pipeline.steps[0].unit.residency.is_lazy = true;
    pipeline.supervision.restarts =
        RestartPolicy { most: 100_000, within: NEVER, backoff: MOMENT, backoff_max: MOMENT };
    pipeline
}

/// A pipeline with these steps, all on the same input, that share this much memory of which each copy needs 60 bytes.
fn sharing(names: &[&str], bytes: u64) -> Pipeline {
    let mut pipeline = lazy(4);
    let first = pipeline.steps[0].clone();
    pipeline.steps = names
        .iter()
        .map(|name| {
            let mut step = first.clone();
            step.name = (*name).into();
            step.unit.residency.memory = Some(60);
            step
        })
        .collect();
    pipeline.limits.model_memory = BTreeMap::from([("cpu".to_owned(), bytes)]);
    pipeline
}

fn records(count: i64) -> Vec<Record> {
    (0..count).map(|offset| record(offset, ["a", "b"][offset as usize % 2], 1)).collect()
}

fn models(world: &World) -> usize {
    world.models.load(Ordering::SeqCst)
}

/// Starts a pipeline that reads nothing yet.
fn start_unread(world: &Arc<World>, count: i64, pipeline: Pipeline) -> Running {
    world.allowed.store(UNREAD, Ordering::SeqCst);
    let running = Running::start_with(world.clone(), records(count), pipeline);
    world.wait_for("the assignment", |world| world.accepted.load(Ordering::SeqCst) == UNREAD);
    running
}

/// Lets the pipeline read the next record when the model has left after the one before.
fn read_one_by_one(world: &World, count: usize) {
    for read in 1..=count {
        world.allowed.store(UNREAD + read, Ordering::SeqCst);
        world.wait_for("a result", |world| world.sent_to("results").len() == read);
        world.wait_for("the model to leave", |world| models(world) == 0);
    }
}

fn stop_after(world: &World, running: Running, count: i64) {
    world.wait_for("the commit", |world| world.committed() == Some(count));
    assert_eq!(running.stop().unwrap(), PipelineEnd::InOrder);
    assert_eq!(models(world), 0);
}

fn results(world: &World) -> Vec<i64> {
    let mut times: Vec<i64> =
        world.sent_to("results").iter().map(|record| millis(record) - 1_800_000_000_000).collect();
    times.sort_unstable();
    times
}

#[test]
fn lazy_model_loads_with_the_first_sample_not_before() {
    let world = Arc::new(World::default());
    let mut pipeline = lazy(4);
    // No batch is cut, so the load does not wait for one.
    pipeline.steps[0].batch.max_delay = NEVER;
    let running = start_unread(&world, 3, pipeline);
    world.wait_for("readiness", |world| world.status.is_ready());
    assert_eq!(world.loads(), 0, "nothing was read");
    world.allowed.store(UNREAD + 1, Ordering::SeqCst);
    world.wait_for("the load", |world| models(world) == 1);
    assert!(world.sent_to("results").is_empty());
    world.allowed.store(0, Ordering::SeqCst);
    running.ask_to_stop();
    assert_eq!(running.end().unwrap(), PipelineEnd::InOrder);
    assert_eq!((world.loads(), models(&world)), (1, 0));
}

#[test]
fn idle_model_leaves_and_comes_back() {
    let world = Arc::new(World::default());
    let mut pipeline = lazy(4);
    pipeline.steps[0].unit.residency.unload_after = Some(MOMENT);
    let running = start_unread(&world, 20, pipeline);
    read_one_by_one(&world, 20);
    stop_after(&world, running, 20);
    assert_eq!(results(&world), (0..20).collect::<Vec<_>>());
    assert!(world.loads() >= 20, "each came back to no model");
}

#[test]
fn stream_state_outlives_the_model() {
    let world = Arc::new(World::default());
    let mut pipeline = counting_pipeline(4);
    pipeline.steps[0].unit.residency.unload_after = Some(MOMENT);
    let running = start_unread(&world, 20, pipeline);
    read_one_by_one(&world, 20);
    let mut counts: Vec<(i64, i64)> =
        world.sent_to("results").iter().map(|result| (millis(result), first_value(result))).collect();
    counts.sort_unstable();
    let counts: Vec<i64> = counts.into_iter().map(|(_, count)| count).collect();
    assert_eq!(counts, (0..20).map(|n| n / 2 + 1).collect::<Vec<_>>(), "two streams, one after the other");
    stop_after(&world, running, 20);
}

#[test]
fn models_that_do_not_fit_together_take_turns() {
    let world = Arc::new(World::default());
    let running = Running::start_with(world.clone(), records(40), sharing(&["one", "two", "three"], 100));
    stop_after(&world, running, 40);
    assert_eq!(results(&world), (0..40).collect::<Vec<_>>());
    assert_eq!(world.most_models.load(Ordering::SeqCst), 1, "100 bytes have place for one copy of 60");
    assert!(world.loads() >= 3);
}

#[test]
fn chained_models_take_turns_however_many_bundles_wait() {
    let world = Arc::new(World::default());
    let mut pipeline = sharing(&["one", "two"], 100);
    pipeline.steps[1].bindings = vec![Binding::Output { step: 0, output: 0, missing: OnMissing::Skip }];
    // More than the mailbox and the queue of the second step take, so the first waits with its results.
    let running = Running::start_with(world.clone(), records(400), pipeline);
    stop_after(&world, running, 400);
    assert_eq!(results(&world), (0..400).collect::<Vec<_>>());
    assert_eq!(world.most_models.load(Ordering::SeqCst), 1);
}

#[test]
fn instance_that_must_end_runs_the_batch_that_it_has() {
    let world = Arc::new(World::default());
    let running = Running::start_with(world.clone(), records(600), sharing(&["one", "two"], 100));
    for (round, instances) in [3, 1, 4, 1, 2, 1].into_iter().enumerate() {
        for step in ["one", "two"] {
            world.status.instances_of(step).override_with(instances);
        }
        world.wait_for("results", |world| world.sent_to("results").len() > 40 * round);
    }
    stop_after(&world, running, 600);
    assert_eq!(results(&world), (0..600).collect::<Vec<_>>());
}

#[test]
fn further_copies_of_a_pinned_model_keep_no_other_model_out() {
    let world = Arc::new(World::default());
    let mut pipeline = sharing(&["one", "two"], 120);
    pipeline.steps[0].unit.residency.is_pinned = true;
    let running = Running::start_with(world.clone(), records(400), pipeline);
    world.status.instances_of("one").override_with(3);
    stop_after(&world, running, 400);
    assert_eq!(results(&world), (0..400).collect::<Vec<_>>());
    let breakers = world.status.breakers();
    assert!(breakers.values().all(|breaker| breaker.state == BreakerState::Closed), "{breakers:?}");
}

#[test]
fn models_that_fit_together_stay() {
    let world = Arc::new(World::default());
    let running = Running::start_with(world.clone(), records(40), sharing(&["one", "two"], 120));
    stop_after(&world, running, 40);
    assert_eq!((world.loads(), world.most_models.load(Ordering::SeqCst)), (2, 2));
}

#[test]
fn pipeline_refuses_models_that_can_never_fit() {
    let mut eager = sharing(&["one", "two"], 100);
    eager.steps.iter_mut().for_each(|step| step.unit.residency.is_lazy = false);
    let mut pinned = sharing(&["one", "two"], 100);
    pinned.steps[0].unit.residency.is_pinned = true;
    for (pipeline, why) in [
        (eager, "limits.model_memory.cpu: the models that load at the start need 120 bytes"),
        (pinned, "the pinned models need 60 bytes and the largest of the others 60 bytes"),
    ] {
        let world = Arc::new(World::default());
        let error = Running::start_with(world.clone(), records(1), pipeline).end().unwrap_err();
        let PipelineError::Start(error) = error else { panic!("{error:?}") };
        assert!(error.to_string().contains(why), "{error}");
        assert_eq!(world.loads(), 0);
    }
}

#[test]
fn bundles_wait_for_a_model_that_cannot_be_loaded_yet() {
    let world = Arc::new(World::default());
    world.failing_loads.store(3, Ordering::SeqCst);
    let mut pipeline = lazy(4);
    pipeline.supervision.breaker = BreakerPolicy { failures: 100, pause: MOMENT };
    let running = Running::start_with(world.clone(), records(20), pipeline);
    stop_after(&world, running, 20);
    assert_eq!(results(&world), (0..20).collect::<Vec<_>>());
    let instances = world.status.instances_of("echo").coming();
    assert_eq!((instances.failures, instances.last_error.as_deref()), (3, Some("model echo: told to")));
    assert_eq!(world.status.actors()["pipeline"].restarts, 0);
}

#[test]
fn bundles_of_a_model_that_cannot_be_loaded_are_dead_lettered() {
    let world = Arc::new(World::default());
    world.failing_loads.store(usize::MAX, Ordering::SeqCst);
    let mut pipeline = lazy(4);
    pipeline.steps[0].care.on_open_circuit = OnOpenCircuit::DeadLetter;
    pipeline.supervision.breaker = BreakerPolicy { failures: 100, pause: NEVER };
    let running = Running::start_with(world.clone(), records(20), pipeline);
    stop_after(&world, running, 20);
    let dead = world.sent_to("dead");
    assert_eq!((dead.len(), world.loads()), (20, 1));
    let header = dead[0].headers.iter().map(|header| format!("{header:?}")).collect::<String>();
    assert!(header.contains("the model could not be loaded: model echo: told to"), "{header}");
}

#[test]
fn fallback_runs_while_the_model_cannot_be_loaded() {
    let world = Arc::new(World::default());
    world.failing_loads.store(1, Ordering::SeqCst);
    let mut pipeline = lazy(4);
    let step = &mut pipeline.steps[0];
    let mut model = step.unit.model.clone();
    model.name = "fallback".into();
    let fallback = ModelUnit { model, ..step.unit.clone() };
    step.care.on_open_circuit = OnOpenCircuit::Fallback(Box::new(fallback));
    pipeline.supervision.breaker = BreakerPolicy { failures: 100, pause: NEVER };
    let running = Running::start_with(world.clone(), records(20), pipeline);
    stop_after(&world, running, 20);
    assert_eq!(results(&world), (0..20).collect::<Vec<_>>());
    assert!(world.calls.lock().unwrap().iter().all(|(model, ..)| model == "fallback"));
}

#[test]
fn load_longer_than_stall_after_is_no_stall() {
    let world = Arc::new(World::default());
    world.loading_held.store(true, Ordering::SeqCst);
    let mut pipeline = lazy(1);
    pipeline.supervision.stall_after = Duration::from_millis(20);
    let running = Running::start_with(world.clone(), records(200), pipeline);
    // All that could move has moved, and the source has been refused for many times the limit.
    world.wait_for("refusals", |world| world.refusals.load(Ordering::SeqCst) > 1_000);
    world.loading_held.store(false, Ordering::SeqCst);
    world.notify();
    stop_after(&world, running, 200);
    assert_eq!((world.loads(), results(&world).len()), (1, 200));
}

#[test]
fn memory_of_a_hung_model_counts_until_it_returns() {
    let world = Arc::new(World::default());
    world.hanging_calls.store(1, Ordering::SeqCst);
    let mut pipeline = sharing(&["echo"], 100);
    pipeline.steps[0].care.deadline = Duration::from_millis(50);
    let running = Running::start_with(world.clone(), records(20), pipeline);
    let refused = |world: &World| {
        let error = world.status.actors().get("infer-echo-0").and_then(|actor| actor.last_error.clone());
        error.is_some_and(|error| error.contains("60 bytes belong to copies that never leave"))
    };
    world.wait_for("the second load to be refused", refused);
    assert_eq!(models(&world), 1);
    world.hanging_is_over.store(true, Ordering::SeqCst);
    world.notify();
    stop_after(&world, running, 20);
    assert_eq!(results(&world), (0..20).collect::<Vec<_>>());
}
