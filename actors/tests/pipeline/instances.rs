//! Tests of instances that are resized while records arrive.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use lockstep_actors::PipelineEnd;
use lockstep_engine::pipeline::Pipeline;
use lockstep_engine::sample::Record;
use lockstep_engine::scaling::CountBounds;
use lockstep_engine::supervision::restart::RestartPolicy;

use super::world::{Running, World, counting_pipeline, first_value, pipeline, record};

const STREAMS: i64 = 20;

/// Returns records of each stream in turn.
fn records(each: i64) -> Vec<Record> {
    (0..STREAMS * each).map(|offset| record(offset, &format!("camera-{}", offset % STREAMS), 1)).collect()
}

/// Asserts that each record has one result and that the sink got each stream's results in order.
fn assert_once_and_in_order(world: &World, each: i64) {
    let mut given = BTreeMap::<String, Vec<i64>>::new();
    for (key, timestamp) in world.given.lock().unwrap().iter() {
        given.entry(key.clone()).or_default().push((timestamp - 1_800_000_000_000) / STREAMS);
    }
    assert_eq!(given.len(), STREAMS as usize);
    for (stream, numbers) in given {
        assert_eq!(numbers, (0..each).collect::<Vec<_>>(), "of {stream}");
    }
    assert!(world.sent_to("dead").is_empty());
}

/// Asserts that the model has counted each bundle of each stream once, in order.
fn assert_counted_through(world: &World, each: i64) {
    let mut counts = BTreeMap::<_, Vec<_>>::new();
    for result in world.sent_to("results") {
        counts.entry(result.key.clone().unwrap()).or_default().push((result.timestamp, first_value(&result)));
    }
    assert_eq!(counts.len(), STREAMS as usize);
    for (stream, mut counts) in counts {
        counts.sort_unstable();
        let counts: Vec<i64> = counts.into_iter().map(|(_, count)| count).collect();
        assert_eq!(counts, (1..=each).collect::<Vec<_>>(), "of {stream:?}");
    }
}

fn ask(world: &World, instances: usize) {
    world.status.instances_of("echo").override_with(instances);
}

fn current(world: &World) -> usize {
    world.status.instances_of("echo").current()
}

fn wait_for_instances(world: &World, instances: usize) {
    world.wait_for("another number of instances", |world| current(world) == instances);
}

/// Returns the instances in the health document.
fn names(world: &World) -> Vec<String> {
    world.status.actors().into_keys().filter(|name| name.starts_with("infer-")).collect()
}

/// Resizes the instances all the time. The last number is 2.
fn hammer(pipeline: Pipeline, each: i64) -> Arc<World> {
    let world = Arc::new(World::default());
    world.allowed.store(1, Ordering::SeqCst);
    let running = Running::start_with(world.clone(), records(each), pipeline);
    world.wait_for("the first record", |world| world.accepted.load(Ordering::SeqCst) > 0);
    for round in 0..40 {
        let instances = [3, 1, 4, 2, 5, 1, 3, 2][round % 8];
        ask(&world, instances);
        world.allowed.fetch_add((STREAMS * each) as usize / 50, Ordering::SeqCst);
        wait_for_instances(&world, instances);
    }
    world.allowed.store(0, Ordering::SeqCst);
    world.wait_for("the commit", |world| world.committed() == Some(STREAMS * each));
    // Removed instances are not in the health document and have released their models.
    world.wait_for("the others to go", |world| {
        world.models.load(Ordering::SeqCst) == 2 && names(world).len() == 2
    });
    assert!(world.status.is_ready());
    assert_eq!(running.stop().unwrap(), PipelineEnd::InOrder);
    world
}

#[test]
fn instances_resized_under_load_give_each_result_once_in_order() {
    let world = hammer(pipeline(1, 4), 100);
    assert_once_and_in_order(&world, 100);
}

#[test]
fn stream_state_stays_right_while_instances_are_resized() {
    let world = hammer(counting_pipeline(4), 100);
    assert_once_and_in_order(&world, 100);
    assert_counted_through(&world, 100);
}

#[test]
fn new_instance_takes_batches_once_its_model_is_loaded() {
    let world = Arc::new(World::default());
    let running = Running::start_with(world.clone(), records(50), pipeline(1, 4));
    world.wait_for("a result", |world| !world.sent_to("results").is_empty());
    world.loading_held.store(true, Ordering::SeqCst);
    ask(&world, 2);
    world.wait_for("a load", |world| world.loads() == 2);
    world.wait_for("the commit", |world| world.committed() == Some(STREAMS * 50));
    let instances = world.status.instances_of("echo");
    assert_eq!((instances.current(), instances.desired(), instances.coming().is_loading), (1, Some(2), true));
    assert!(world.status.is_ready(), "nobody waits for it");
    world.loading_held.store(false, Ordering::SeqCst);
    world.notify();
    wait_for_instances(&world, 2);
    assert_eq!(names(&world), ["infer-echo-0", "infer-echo-1"]);
    assert!(world.status.is_ready() && !instances.coming().is_loading);
    assert_eq!(running.stop().unwrap(), PipelineEnd::InOrder);
    assert_once_and_in_order(&world, 50);
}

#[test]
fn unwanted_new_instance_leaves_after_loading() {
    for pipeline in [pipeline(1, 4), counting_pipeline(4)] {
        let world = Arc::new(World::default());
        let running = Running::start_with(world.clone(), records(20), pipeline);
        world.wait_for("a result", |world| !world.sent_to("results").is_empty());
        world.loading_held.store(true, Ordering::SeqCst);
        ask(&world, 2);
        world.wait_for("a load", |world| world.loads() == 2);
        ask(&world, 1);
        world.loading_held.store(false, Ordering::SeqCst);
        world.notify();
        world.wait_for("it to go", |world| {
            !world.status.instances_of("echo").coming().is_loading
                && world.models.load(Ordering::SeqCst) == 1
                && names(world) == ["infer-echo-0"]
        });
        world.wait_for("the commit", |world| world.committed() == Some(STREAMS * 20));
        assert_eq!((current(&world), world.loads()), (1, 2));
        assert_eq!(running.stop().unwrap(), PipelineEnd::InOrder);
        assert_once_and_in_order(&world, 20);
    }
}

#[test]
fn failed_instance_load_is_not_retried_for_ever() {
    let mut pipeline = counting_pipeline(4);
    let moment = Duration::from_millis(1);
    pipeline.supervision.restarts =
        RestartPolicy { most: 2, within: Duration::from_secs(3600), backoff: moment, backoff_max: moment };
    let world = Arc::new(World::default());
    world.allowed.store(STREAMS as usize, Ordering::SeqCst);
    let running = Running::start_with(world.clone(), records(50), pipeline);
    world.wait_for("a result", |world| !world.sent_to("results").is_empty());
    world.failing_loads.store(usize::MAX, Ordering::SeqCst);
    ask(&world, 3);
    let instances = world.status.instances_of("echo");
    world.wait_for("it to be given up", |_| instances.coming().most == Some(1));
    assert_eq!(instances.desired(), Some(1), "no more is asked for than can be had");
    let coming = instances.coming();
    assert_eq!((coming.failures, coming.is_loading, world.loads()), (3, false, 4));
    assert!(coming.last_error.unwrap().contains("told to"));
    assert!(world.status.is_ready(), "the other works");
    world.allowed.store(0, Ordering::SeqCst);
    world.wait_for("the commit", |world| world.committed() == Some(STREAMS * 50));
    assert_eq!(world.loads(), 4, "nobody tries again");

    // An operator's request lifts the limit.
    world.failing_loads.store(1, Ordering::SeqCst);
    ask(&world, 3);
    wait_for_instances(&world, 3);
    assert_eq!((instances.coming().most, instances.coming().failures), (None, 4));
    assert_eq!(running.stop().unwrap(), PipelineEnd::InOrder);
    assert_once_and_in_order(&world, 50);
    assert_counted_through(&world, 50);
}

#[test]
fn hung_instance_is_replaced_during_a_resize_without_loss() {
    for (mut pipeline, carries) in [(pipeline(2, 4), false), (counting_pipeline(4), true)] {
        pipeline.steps[0].care.deadline = Duration::from_millis(50);
        pipeline.supervision.restarts.most = 1000;
        // The same bundle may hang several times.
        pipeline.steps[0].care.tries = 1000;
        let world = Arc::new(World::default());
        world.allowed.store(1, Ordering::SeqCst);
        let running = Running::start_with(world.clone(), records(60), pipeline);
        for (round, instances) in [4, 1, 3, 2, 1, 4].into_iter().enumerate() {
            // One of these calls hangs while the number changes.
            world.hanging_calls.store(1, Ordering::SeqCst);
            world.allowed.fetch_add(STREAMS as usize * 6, Ordering::SeqCst);
            ask(&world, instances);
            world.wait_for("a call that hangs", |world| world.hanging_calls.load(Ordering::SeqCst) == 0);
            wait_for_instances(&world, instances);
            let more = world.allowed.load(Ordering::SeqCst);
            world.wait_for("the records", |world| world.accepted.load(Ordering::SeqCst) >= more);
            assert!(world.loads() > round);
        }
        world.allowed.store(0, Ordering::SeqCst);
        world.wait_for("the commit", |world| world.committed() == Some(STREAMS * 60));
        // The late answers of the abandoned threads are ignored.
        world.hanging_is_over.store(true, Ordering::SeqCst);
        world.notify();
        world.wait_for("the late answers", |world| world.came_back.load(Ordering::SeqCst) == 6);
        world.wait_for("the instances", |world| names(world).len() == 4 && world.status.is_ready());
        assert_eq!(running.stop().unwrap(), PipelineEnd::InOrder);
        assert_once_and_in_order(&world, 60);
        if carries {
            assert_counted_through(&world, 60);
        }
    }
}

#[test]
fn stop_during_a_resize_ends_the_consumed_records() {
    for (round, instances) in [4, 1, 3].into_iter().enumerate() {
        let world = Arc::new(World::default());
        let running = Running::start_with(world.clone(), records(60), counting_pipeline(4));
        world.wait_for("some results", |world| world.sent_to("results").len() > 50 * round);
        ask(&world, instances);
        assert_eq!(running.stop().unwrap(), PipelineEnd::InOrder);
        let taken = world.committed().unwrap_or(0);
        assert_eq!(world.sent_to("results").len() as i64, taken, "the consumed records and no more");
    }
}

#[test]
fn restarted_pipeline_reaches_the_desired_instances() {
    let mut pipeline = pipeline(1, 1);
    pipeline.supervision.restarts.backoff = Duration::from_millis(1);
    let world = Arc::new(World::default());
    world.allowed.store(30, Ordering::SeqCst);
    let running = Running::supervised(world.clone(), records(20), pipeline);
    ask(&world, 3);
    wait_for_instances(&world, 3);
    world.panicking_results.store(1, Ordering::SeqCst);
    world.allowed.store(0, Ordering::SeqCst);
    world.wait_for("the panic", |world| world.panicking_results.load(Ordering::SeqCst) == 0);
    world.wait_for("the commit", |world| world.committed() == Some(STREAMS * 20));
    wait_for_instances(&world, 3);
    assert_eq!(running.stop().unwrap(), PipelineEnd::InOrder);
    assert_eq!(world.status.actors()["pipeline"].restarts, 1);
}

#[test]
fn autoscaler_decisions_change_the_instances() {
    let mut pipeline = pipeline(1, 4);
    pipeline.scaling.instances = vec![CountBounds { min: Some(2), max: Some(2) }];
    let running = Running::start_with(Arc::default(), records(1), pipeline);
    let world = running.world.clone();
    wait_for_instances(&world, 2);
    assert!(!world.status.instances_of("echo").is_overridden());
    assert_eq!(running.stop().unwrap(), PipelineEnd::InOrder);
}
