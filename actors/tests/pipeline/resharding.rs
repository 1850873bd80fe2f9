//! Tests of shards that are resized while records arrive.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use lockstep_actors::PipelineEnd;
use lockstep_engine::pipeline::Pipeline;
use lockstep_engine::sample::Record;
use lockstep_engine::time::Timestamp;

use super::world::{Running, World, pipeline, record};

const STREAMS: i64 = 40;
const BEGIN: i64 = 1_800_000_000_000;

/// Returns records of each stream every 10 ms, with each pair in reverse order.
fn records(each: i64) -> Vec<Record> {
    let one = |offset: i64| {
        let mut record = record(offset, &format!("camera-{}", offset % STREAMS), 1);
        record.timestamp = Some(Timestamp::from_millis(BEGIN + 10 * ((offset / STREAMS) ^ 1)));
        record
    };
    (0..STREAMS * each).map(one).collect()
}

/// Returns a pipeline that waits for out-of-order records, so that every stream has an open bundle at any time.
fn waiting_pipeline() -> Pipeline {
    let mut pipeline = pipeline(2, 8);
    pipeline.align.inputs[0].out_of_orderness = Duration::from_millis(10);
    pipeline
}

/// Returns the event times of each stream's records in the order in which the sink got them.
fn given(world: &World) -> BTreeMap<String, Vec<i64>> {
    let mut given = BTreeMap::<String, Vec<i64>>::new();
    for (key, timestamp) in world.given.lock().unwrap().iter() {
        given.entry(key.clone()).or_default().push((timestamp - BEGIN) / 10);
    }
    given
}

#[test]
fn shards_resized_all_the_time_keep_each_record_once_in_order() {
    hammer(0);
}

#[test]
fn streams_moving_during_a_rebalance_are_reported_once() {
    hammer(3);
}

/// Resizes the shards all the time, and revokes and reassigns the partition at every `rebalance_each`th resize.
fn hammer(rebalance_each: usize) {
    const EACH: i64 = 200;
    let expected = (STREAMS * (EACH - 1)) as usize;
    let world = Arc::new(World::default());
    world.allowed.store(1, Ordering::SeqCst);
    let running = Running::start_with(world.clone(), records(EACH), waiting_pipeline());
    let mut shards = 2;
    for round in 0..60 {
        shards = [5, 1, 3, 2, 8, 7, 1, 4][round % 8];
        world.status.shards.override_with(shards);
        if rebalance_each > 0 && round % rebalance_each == 0 {
            world.rebalances.fetch_add(1, Ordering::SeqCst);
        }
        world.allowed.fetch_add(100, Ordering::SeqCst);
        world.wait_for("another number of shards", |world| world.status.shards.current() == shards);
    }
    world.allowed.store(0, Ordering::SeqCst);
    world.wait_for("the results", |world| world.sent_to("results").len() == expected);
    // No health entry of a removed shard is left.
    let names = |world: &World| -> Vec<String> {
        world.status.actors().into_keys().filter(|name| name.starts_with("align-")).collect()
    };
    let left: Vec<String> = (0..shards).map(|shard| format!("align-{shard}")).collect();
    world.wait_for("the others to leave", |world| names(world) == left);
    assert!(world.status.is_ready());
    assert_eq!(running.stop().unwrap(), PipelineEnd::InOrder);

    // The bundles equal those of one shard, by the definition. The last bundle of each stream is still open.
    let of_one: Vec<i64> = (0..EACH - 1).collect();
    let given = given(&world);
    assert_eq!(given.len(), STREAMS as usize);
    for (stream, times) in given {
        assert_eq!(times, of_one, "of {stream}");
    }
    assert!(world.sent_to("dead").is_empty());
}

#[test]
fn stop_during_a_move_commits_exactly_the_ended_records() {
    for (round, shards) in [8, 1, 5, 3, 1].into_iter().enumerate() {
        let world = Arc::new(World::default());
        let running = Running::start_with(world.clone(), records(100), waiting_pipeline());
        world.wait_for("some results", |world| world.sent_to("results").len() > 40 * round);
        world.status.shards.override_with(shards);
        world.wait_for("another number of shards", |world| world.status.shards.current() == shards);
        assert_eq!(running.stop().unwrap(), PipelineEnd::InOrder);
        let given = given(&world);
        for (stream, times) in &given {
            assert!(times.iter().copied().eq(0..times.len() as i64), "of {stream}: {times:?}");
        }
        // Every record before the offset has its result.
        for offset in 0..world.committed().unwrap_or(0) {
            let (stream, time) = (format!("camera-{}", offset % STREAMS), (offset / STREAMS) ^ 1);
            assert!(given.get(&stream).is_some_and(|times| times.contains(&time)), "{stream} at {time}");
        }
    }
}
