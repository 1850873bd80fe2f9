//! Tests of results in transactions.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use lockstep_actors::PipelineEnd;
use lockstep_engine::pipeline::{Guarantee, Pipeline};

use crate::world::{ERROR, Running, World, millis, pipeline, record};

const COUNT: i64 = 300;

fn exactly_once(max_size: usize) -> Pipeline {
    let mut pipeline = pipeline(2, max_size);
    pipeline.delivery.guarantee = Guarantee::ExactlyOnce;
    pipeline.delivery.transaction_every = Duration::from_millis(5);
    pipeline
}

/// Asserts that each record is committed once, as a result or (after an error of the model) in the dead-letter topic.
fn assert_each_once(world: &World, dead: usize) {
    let places = |topic: &str| -> Vec<i64> { world.sent_to(topic).iter().map(millis).collect() };
    let (results, letters) = (places("results"), places("dead"));
    assert_eq!((results.len(), letters.len()), (COUNT as usize - dead, dead));
    assert_eq!(results.iter().chain(&letters).collect::<BTreeSet<_>>().len(), COUNT as usize);
    assert_eq!(world.committed(), Some(COUNT));
    assert!(world.gathered.lock().unwrap().is_empty(), "something was sent and never committed");
}

#[test]
fn transaction_commits_results_with_their_positions() {
    let records = (0..COUNT).map(|n| record(n, "a", if n == 7 { ERROR } else { 1 })).collect();
    let running = Running::start_with(Arc::default(), records, exactly_once(1));
    let world = running.world.clone();
    world.wait_for("all of it", |world| world.committed() == Some(COUNT));
    assert_eq!(running.stop().unwrap(), PipelineEnd::InOrder);
    assert_each_once(&world, 1);
}

#[test]
fn aborted_transaction_is_repeated() {
    let world = Arc::new(World::default());
    world.aborting.store(3, Ordering::SeqCst);
    let running =
        Running::start_with(world.clone(), (0..COUNT).map(|n| record(n, "a", 1)).collect(), exactly_once(4));
    world.wait_for("all of it", |world| world.committed() == Some(COUNT));
    assert_eq!(running.stop().unwrap(), PipelineEnd::InOrder);
    assert_eq!(world.aborting.load(Ordering::SeqCst), 0);
    assert_each_once(&world, 0);
}

#[test]
fn undelivered_record_aborts_its_transaction() {
    let world = Arc::new(World::default());
    world.failing_deliveries.store(5, Ordering::SeqCst);
    let running =
        Running::start_with(world.clone(), (0..COUNT).map(|n| record(n, "a", 1)).collect(), exactly_once(4));
    world.wait_for("all of it", |world| world.committed() == Some(COUNT));
    assert_eq!(running.stop().unwrap(), PipelineEnd::InOrder);
    assert_each_once(&world, 0);
}

#[test]
fn stop_ends_with_a_transaction() {
    let mut pipeline = exactly_once(4);
    pipeline.delivery.transaction_every = Duration::from_secs(3600);
    let running =
        Running::start_with(Arc::default(), (0..COUNT).map(|n| record(n, "a", 1)).collect(), pipeline);
    let world = running.world.clone();
    world.wait_for("300 results", |world| world.gathered.lock().unwrap().len() == COUNT as usize);
    assert_eq!((world.committed(), world.sent_to("results").len()), (None, 0), "nothing counts yet");
    assert_eq!(running.stop().unwrap(), PipelineEnd::InOrder);
    assert_eq!(world.transactions.load(Ordering::SeqCst), 1);
    assert_each_once(&world, 0);
}

#[test]
fn revoked_partition_is_released_once_all_is_committed() {
    for guarantee in [Guarantee::AtLeastOnce, Guarantee::ExactlyOnce] {
        let world = Arc::new(World::default());
        world.revoking.store(true, Ordering::SeqCst);
        world.begin_held.store(true, Ordering::SeqCst);
        world.aborting.store(1, Ordering::SeqCst);
        let mut pipeline = exactly_once(4);
        pipeline.delivery.guarantee = guarantee;
        pipeline.delivery.revoke_within = Duration::from_secs(60);
        let records = (0..COUNT).map(|n| record(n, "a", 1)).collect();
        let running = Running::start_with(world.clone(), records, pipeline);
        // The records, the stream state, the assignment and the revocation.
        let all = COUNT as usize + 3;
        world.wait_for("the revocation", |world| world.accepted.load(Ordering::SeqCst) == all);
        if guarantee == Guarantee::ExactlyOnce {
            assert_eq!(*world.let_go_at.lock().unwrap(), None, "nothing is committed yet");
        }
        world.begin_held.store(false, Ordering::SeqCst);
        world.notify();
        world.wait_for("letting go", |world| world.let_go_at.lock().unwrap().is_some());
        let at = *world.let_go_at.lock().unwrap();
        assert_eq!(at, Some(COUNT), "{guarantee:?}");
        assert_eq!(running.stop().unwrap(), PipelineEnd::InOrder);
    }
}
