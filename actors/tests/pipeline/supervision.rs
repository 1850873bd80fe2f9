//! Tests of pipelines whose models and actors misbehave.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::world::{
    self, DEVICE, ERROR, HANG, PANIC, Running, World, counting_pipeline, first_value, millis, record,
};
use lockstep_actors::status::State;
use lockstep_actors::{PipelineEnd, PipelineError, PipelineFailure, StartError};
use lockstep_engine::infer::step::OnOpenCircuit;
use lockstep_engine::infer::unit::ModelUnit;
use lockstep_engine::pipeline::Pipeline;
use lockstep_engine::publish::sink::OutRecord;
use lockstep_engine::supervision::breaker::{BreakerPolicy, BreakerState};
use lockstep_engine::supervision::restart::RestartPolicy;

/// A time longer than any test takes.
const NEVER: Duration = Duration::from_secs(3600);

/// Returns a pipeline that restarts at once and often, and forms full batches only.
fn pipeline(max_size: usize) -> Pipeline {
    quick(world::pipeline(1, max_size))
}

fn quick(mut pipeline: Pipeline) -> Pipeline {
    let moment = Duration::from_millis(1);
    pipeline.supervision.restarts =
        RestartPolicy { most: 1000, within: NEVER, backoff: moment, backoff_max: moment };
    pipeline.supervision.breaker = BreakerPolicy { failures: 3, pause: NEVER };
    pipeline.steps[0].batch.max_delay = NEVER;
    pipeline
}

/// Returns the offsets of the sent records, each once.
fn offsets(records: &[OutRecord]) -> Vec<i64> {
    let mut offsets: Vec<i64> = records.iter().map(|record| millis(record) - 1_800_000_000_000).collect();
    offsets.sort_unstable();
    offsets.dedup();
    offsets
}

fn all_but(count: i64, left_out: &[i64]) -> Vec<i64> {
    (0..count).filter(|n| !left_out.contains(n)).collect()
}

#[test]
fn poison_bundle_is_dead_lettered_and_its_neighbours_succeed() {
    for poison in [ERROR, PANIC, HANG] {
        let mut pipeline = pipeline(8);
        if poison == HANG {
            pipeline.steps[0].care.deadline = Duration::from_millis(50);
        }
        let records = (0..40).map(|n| record(n, "a", if n == 13 { poison } else { 1 })).collect();
        let running = Running::start_with(Arc::default(), records, pipeline);
        let world = running.world.clone();
        world.wait_for("the commit", |world| world.committed() == Some(40));
        world.hanging_is_over.store(true, Ordering::SeqCst);
        world.notify();
        assert_eq!(running.stop().unwrap(), PipelineEnd::InOrder);
        assert_eq!(offsets(&world.sent_to("dead")), [13], "of poison {poison}");
        assert_eq!(world.sent_to("results").len(), 39);
        assert_eq!(offsets(&world.sent_to("results")), all_but(40, &[13]));
        // The whole batch, its halves down to the bundle, and a second try of it alone.
        let alone = world.calls.lock().unwrap().iter().filter(|(_, rows, _)| *rows == 1).count();
        assert_eq!(alone, 3, "the poison twice, its neighbour once");
        let letter = world.sent_to("dead").remove(0);
        let attempts = letter.headers.iter().find(|header| header.name == "lockstep-attempts");
        assert_eq!(attempts.and_then(|header| header.value.as_deref()), Some(b"2".as_slice()));
    }
}

#[test]
fn hung_model_is_replaced_and_its_batch_repeated() {
    let mut pipeline = pipeline(4);
    pipeline.steps[0].care.deadline = Duration::from_millis(50);
    let world = Arc::new(World::default());
    world.hanging_calls.store(1, Ordering::SeqCst);
    let running = Running::start_with(world.clone(), (0..40).map(|n| record(n, "a", 1)).collect(), pipeline);
    world.wait_for("the commit", |world| world.committed() == Some(40));
    assert_eq!(world.loads(), 2);
    // The late answer of the abandoned thread is ignored.
    world.hanging_is_over.store(true, Ordering::SeqCst);
    world.notify();
    world.wait_for("the late answer", |world| world.came_back.load(Ordering::SeqCst) == 1);
    assert_eq!(running.stop().unwrap(), PipelineEnd::InOrder);
    assert_eq!(world.sent_to("results").len(), 40);
    assert!(world.sent_to("dead").is_empty());
    let health = world.status.actors();
    let instance = &health["infer-echo-0"];
    assert_eq!((instance.state, instance.restarts), (State::Running, 1));
    assert!(instance.last_error.as_deref().unwrap().contains("has not returned within 50ms"));
}

#[test]
fn hung_call_is_interrupted_at_its_deadline() {
    let mut pipeline = pipeline(4);
    pipeline.steps[0].care.deadline = Duration::from_millis(50);
    let world = Arc::new(World::default());
    world.hanging_calls.store(1, Ordering::SeqCst);
    world.is_interruptible.store(true, Ordering::SeqCst);
    let running = Running::start_with(world.clone(), (0..40).map(|n| record(n, "a", 1)).collect(), pipeline);
    world.wait_for("the end of the hung call", |world| world.came_back.load(Ordering::SeqCst) == 1);
    world.wait_for("the commit", |world| world.committed() == Some(40));
    assert_eq!(running.stop().unwrap(), PipelineEnd::InOrder);
    assert_eq!((world.sent_to("results").len(), world.sent_to("dead").len()), (40, 0));
}

#[test]
fn late_answer_is_ignored_during_another_call() {
    let mut pipeline = pipeline(4);
    pipeline.steps[0].care.deadline = Duration::from_millis(500);
    let world = Arc::new(World::default());
    world.hanging_calls.store(1, Ordering::SeqCst);
    // The first call hangs, the second repeats its work, and the third runs when the first returns.
    world.free_calls.store(2, Ordering::SeqCst);
    world.model_held.store(true, Ordering::SeqCst);
    let records = (0..40).map(|n| record(n, "a", n as u8)).collect();
    let running = Running::start_with(world.clone(), records, pipeline);
    world.wait_for("the third call", |world| world.calls.lock().unwrap().len() == 3);
    world.hanging_is_over.store(true, Ordering::SeqCst);
    world.notify();
    world.wait_for("the late answer", |world| world.came_back.load(Ordering::SeqCst) == 1);
    world.model_held.store(false, Ordering::SeqCst);
    world.notify();
    world.wait_for("the commit", |world| world.committed() == Some(40));
    assert_eq!(running.stop().unwrap(), PipelineEnd::InOrder);
    let sent = world.sent_to("results");
    assert_eq!(offsets(&sent), all_but(40, &[]));
    for result in &sent {
        assert_eq!(first_value(result), offsets(std::slice::from_ref(result))[0], "another batch's row");
    }
}

#[test]
fn stream_state_survives_a_hang_a_panic_and_a_lost_device() {
    let mut pipeline = quick(counting_pipeline(4));
    // A batch has one bundle of a stream, so the last ones may not be full.
    pipeline.steps[0].batch.max_delay = Duration::ZERO;
    pipeline.steps[0].care.deadline = Duration::from_millis(50);
    let world = Arc::new(World::default());
    world.hanging_calls.store(1, Ordering::SeqCst);
    world.lost_devices.store(1, Ordering::SeqCst);
    let streams = ["a", "b", "c", "d"];
    let records = (0..40).map(|n| record(n, streams[n as usize % 4], if n == 21 { PANIC } else { 1 }));
    let running = Running::start_with(world.clone(), records.collect(), pipeline);
    world.wait_for("the commit", |world| world.committed() == Some(40));
    world.hanging_is_over.store(true, Ordering::SeqCst);
    world.notify();
    assert_eq!(running.stop().unwrap(), PipelineEnd::InOrder);
    assert_eq!(offsets(&world.sent_to("dead")), [21]);
    for stream in streams {
        let sent = world.sent_to("results");
        let mut counts: Vec<i64> =
            sent.iter().filter(|it| it.key.as_deref() == Some(stream.as_bytes())).map(first_value).collect();
        counts.sort_unstable();
        let expected = if stream == "b" { 9 } else { 10 };
        assert_eq!(counts, (1..=expected).collect::<Vec<_>>(), "each bundle of {stream} counts once");
    }
}

#[test]
fn batch_too_large_for_memory_is_halved_and_stays_halved() {
    let world = Arc::new(World::default());
    world.memory.store(3, Ordering::SeqCst);
    let records = (0..64).map(|n| record(n, "a", 1)).collect();
    let running = Running::start_with(world.clone(), records, pipeline(8));
    world.wait_for("the commit", |world| world.committed() == Some(64));
    assert_eq!(running.stop().unwrap(), PipelineEnd::InOrder);
    assert_eq!(world.sent_to("results").len(), 64);
    assert!(world.sent_to("dead").is_empty());
    let calls = world.calls.lock().unwrap();
    let sizes: Vec<usize> = calls.iter().map(|(_, rows, _)| *rows).collect();
    assert_eq!(sizes[..2], [8, 4], "until it fits");
    assert!(sizes[2..].iter().all(|rows| *rows == 2), "and never again: {sizes:?}");
    assert_eq!(world.loads(), 1, "the model is still there");
}

#[test]
fn lost_device_makes_the_pipeline_unready_and_repeats_the_batch() {
    let world = Arc::new(World::default());
    world.lost_devices.store(1, Ordering::SeqCst);
    let running =
        Running::start_with(world.clone(), (0..40).map(|n| record(n, "a", 1)).collect(), pipeline(4));
    world.wait_for("the commit", |world| world.committed() == Some(40));
    assert!(world.status.is_ready());
    assert_eq!(running.stop().unwrap(), PipelineEnd::InOrder);
    assert_eq!(world.sent_to("results").len(), 40);
    assert!(world.sent_to("dead").is_empty());
    assert_eq!(*world.ready_at_load.lock().unwrap(), [false, false]);
}

#[test]
fn breaker_opens_after_three_failures_and_closes_on_a_probe() {
    let mut pipeline = pipeline(1);
    pipeline.steps[0].care.tries = 1;
    pipeline.supervision.breaker.pause = Duration::from_millis(10);
    let world = Arc::new(World::default());
    world.failing_calls.store(3, Ordering::SeqCst);
    let running = Running::start_with(world.clone(), (0..20).map(|n| record(n, "a", 1)).collect(), pipeline);
    world.wait_for("the commit", |world| world.committed() == Some(20));
    assert!(world.status.is_ready());
    assert_eq!(world.status.breakers()["echo"].state, BreakerState::Closed);
    assert_eq!(running.stop().unwrap(), PipelineEnd::InOrder);
    assert_eq!(offsets(&world.sent_to("dead")), [0, 1, 2]);
    assert_eq!(offsets(&world.sent_to("results")), all_but(20, &[0, 1, 2]));
    let calls = world.calls.lock().unwrap();
    let breakers: Vec<_> = calls.iter().map(|(_, _, breaker)| *breaker).collect();
    assert_eq!(breakers[..3], [Some(BreakerState::Closed); 3]);
    assert_eq!(breakers[3], Some(BreakerState::HalfOpen), "the probe");
    assert!(breakers[4..].iter().all(|breaker| *breaker == Some(BreakerState::Closed)));
    assert_eq!(*world.ready_at_load.lock().unwrap(), [false, false], "loaded anew when it opened");
}

#[test]
fn open_breaker_probes_with_a_single_bundle() {
    let mut pipeline = pipeline(4);
    pipeline.supervision.breaker = BreakerPolicy { failures: 1, pause: Duration::from_millis(10) };
    let world = Arc::new(World::default());
    // The whole batch, two bundles of it and one of it twice fail: the breaker opens. The first probe fails as well.
    world.failing_calls.store(5, Ordering::SeqCst);
    let running = Running::start_with(world.clone(), (0..20).map(|n| record(n, "a", 1)).collect(), pipeline);
    world.wait_for("the commit", |world| world.committed() == Some(20));
    assert_eq!(running.stop().unwrap(), PipelineEnd::InOrder);
    assert_eq!(offsets(&world.sent_to("dead")), [0], "a probe that fails is tried again");
    let calls = world.calls.lock().unwrap();
    let probes = calls.iter().filter(|(_, _, breaker)| *breaker == Some(BreakerState::HalfOpen));
    assert_eq!(probes.map(|(_, rows, _)| *rows).collect::<Vec<_>>(), [1, 1]);
}

#[test]
fn open_breaker_dead_letters_bundles_if_configured() {
    let mut pipeline = pipeline(1);
    pipeline.steps[0].care.tries = 1;
    pipeline.steps[0].care.on_open_circuit = OnOpenCircuit::DeadLetter;
    let world = Arc::new(World::default());
    world.failing_calls.store(usize::MAX, Ordering::SeqCst);
    let running = Running::start_with(world.clone(), (0..20).map(|n| record(n, "a", 1)).collect(), pipeline);
    world.wait_for("the commit", |world| world.committed() == Some(20));
    assert!(world.status.is_ready(), "nobody waits");
    assert_eq!(running.stop().unwrap(), PipelineEnd::InOrder);
    assert_eq!(world.sent_to("dead").len(), 20);
    assert_eq!(world.calls.lock().unwrap().len(), 3);
}

#[test]
fn open_breaker_sends_bundles_to_the_fallback_model() {
    let mut pipeline = pipeline(1);
    let step = &mut pipeline.steps[0];
    let model =
        lockstep_engine::infer::load_model::LoadModel { name: "fallback".into(), ..step.unit.model.clone() };
    step.care.tries = 1;
    step.care.on_open_circuit = OnOpenCircuit::Fallback(Box::new(ModelUnit {
        model,
        backend: "test".into(),
        residency: Default::default(),
    }));
    let world = Arc::new(World::default());
    world.failing_calls.store(usize::MAX, Ordering::SeqCst);
    let running = Running::start_with(world.clone(), (0..20).map(|n| record(n, "a", 1)).collect(), pipeline);
    world.wait_for("the commit", |world| world.committed() == Some(20));
    assert!(world.status.is_ready());
    assert_eq!(running.stop().unwrap(), PipelineEnd::InOrder);
    assert_eq!(offsets(&world.sent_to("dead")), [0, 1, 2]);
    assert_eq!(offsets(&world.sent_to("results")), all_but(20, &[0, 1, 2]));
    let calls = world.calls.lock().unwrap();
    assert_eq!(calls.iter().filter(|(model, _, _)| model == "fallback").count(), 17);
}

#[test]
fn panicking_actor_is_replaced_without_loss() {
    let world = Arc::new(World::default());
    world.panicking_results.store(1, Ordering::SeqCst);
    let records = (0..100).map(|n| record(n, "a", 1)).collect();
    let running = Running::supervised(world.clone(), records, quick(world::pipeline(1, 1)));
    world.wait_for("the commit", |world| world.committed() == Some(100));
    assert_eq!(running.stop().unwrap(), PipelineEnd::InOrder);
    assert_eq!(offsets(&world.sent_to("results")), all_but(100, &[]));
    assert!(world.sent_to("dead").is_empty());
    let health = world.status.actors();
    assert_eq!((health["pipeline"].restarts, health["publish"].restarts), (1, 1));
    assert!(health["publish"].last_error.as_deref().unwrap().contains("panicked: told to"));
    assert_eq!(world.status.failure(), None, "that is over");
}

#[test]
fn stalled_actor_is_replaced_without_loss() {
    let world = Arc::new(World::default());
    world.standing_results.store(1, Ordering::SeqCst);
    let mut pipeline = quick(world::pipeline(1, 1));
    pipeline.supervision.stall_after = Duration::from_millis(200);
    pipeline.limits.stop_within = Duration::from_millis(200);
    let records = (0..100).map(|n| record(n, "a", 1)).collect();
    let running = Running::supervised(world.clone(), records, pipeline);
    world.wait_for("the commit", |world| world.committed() == Some(100));
    world.hanging_is_over.store(true, Ordering::SeqCst);
    world.notify();
    let _ = running.stop();
    assert_eq!(offsets(&world.sent_to("results")), all_but(100, &[]));
    let health = world.status.actors();
    assert!(health["publish"].last_error.as_deref().unwrap().contains("stalled"), "{health:?}");
    for innocent in ["ingest", "align-0", "align-1", "batch-echo"] {
        assert_eq!(health[innocent].last_error, None, "{innocent} only waited");
    }
}

#[test]
fn supervisor_ends_a_loop_of_failures_with_a_reason() {
    let mut pipeline = pipeline(1);
    pipeline.supervision.restarts.most = 2;
    // A pipeline that begins with that bundle would find it alone to blame.
    pipeline.steps[0].care.tries = 1000;
    let records = (0..50).map(|n| record(n, "a", if n == 10 { DEVICE } else { 1 })).collect();
    let running = Running::supervised(Arc::default(), records, pipeline);
    let world = running.world.clone();
    match running.end() {
        Err(PipelineError::Failed(PipelineFailure::Final(why))) => {
            assert!(why.contains("told to") && why.contains("gave up after 2 restarts"), "{why}");
        }
        other => panic!("{other:?}"),
    }
    // Three pipelines, in each of which the model was loaded three times.
    assert_eq!(world.loads(), 9);
    assert!(!world.status.is_ready() && world.status.failure().is_some());
    assert!(world.committed().is_none_or(|next| next <= 10), "records that had not ended are not committed");
}

#[test]
fn supervisor_does_not_retry_a_failed_start() {
    let mut pipeline = pipeline(1);
    pipeline.steps[0].unit.backend = "another".into();
    let running = Running::supervised(Arc::default(), Vec::new(), pipeline);
    let world = running.world.clone();
    match running.end() {
        Err(PipelineError::Start(StartError::Failed(why))) => {
            assert!(why.contains("there is no backend"), "{why}")
        }
        other => panic!("{other:?}"),
    }
    assert_eq!((world.loads(), world.status.actors()["pipeline"].restarts), (0, 0));
}
