//! Shards that become more and fewer while records come.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use lockstep_actors::Ended;
use lockstep_engine::pipeline::Pipeline;
use lockstep_engine::sample::Record;
use lockstep_engine::time::Timestamp;

use super::world::{Running, World, pipeline, record};

const STREAMS: i64 = 40;
const BEGIN: i64 = 1_800_000_000_000;

/// Records of each stream every 10 ms, of which every second comes before the one that happened before it.
fn records(each: i64) -> Vec<Record> {
    let one = |offset: i64| {
        let mut record = record(offset, &format!("camera-{}", offset % STREAMS), 1);
        record.timestamp = Some(Timestamp::from_millis(BEGIN + 10 * ((offset / STREAMS) ^ 1)));
        record
    };
    (0..STREAMS * each).map(one).collect()
}

/// Waits for what comes out of order, so that every stream has something open at any time.
fn waiting_pipeline() -> Pipeline {
    let mut pipeline = pipeline(2, 8);
    pipeline.align.inputs[0].out_of_orderness = Duration::from_millis(10);
    pipeline
}

/// By stream, the event times of what the sink was given, in that order.
fn given(world: &World) -> BTreeMap<String, Vec<i64>> {
    let mut given = BTreeMap::<String, Vec<i64>>::new();
    for (key, timestamp) in world.given.lock().unwrap().iter() {
        given.entry(key.clone()).or_default().push((timestamp - BEGIN) / 10);
    }
    given
}

#[test]
fn hammered_with_resizes_nothing_is_lost_or_comes_twice_or_out_of_order() {
    hammer(0);
}

#[test]
fn what_moves_while_its_partition_is_taken_away_and_given_back_is_neither_lost_nor_told_twice() {
    hammer(3);
}

/// Other numbers of shards all the time; one time in so many the partition is taken away and comes back.
fn hammer(rebalance_each: usize) {
    const EACH: i64 = 200;
    let expected = (STREAMS * (EACH - 1)) as usize;
    let world = Arc::new(World::default());
    world.allowed.store(1, Ordering::SeqCst);
    let running = Running::start_with(world.clone(), records(EACH), waiting_pipeline());
    let mut shards = 2;
    for round in 0..60 {
        shards = [5, 1, 3, 2, 8, 7, 1, 4][round % 8];
        world.status.shards.ask(shards);
        if rebalance_each > 0 && round % rebalance_each == 0 {
            world.rebalances.fetch_add(1, Ordering::SeqCst);
        }
        world.allowed.fetch_add(100, Ordering::SeqCst);
        world.wait_for("another number of shards", |world| world.status.shards.current() == shards);
    }
    world.allowed.store(0, Ordering::SeqCst);
    world.wait_for("the results", |world| world.sent_to("results").len() == expected);
    // Those that have left are missed by nobody.
    let names = |world: &World| -> Vec<String> {
        world.status.actors().into_keys().filter(|name| name.starts_with("align-")).collect()
    };
    let left: Vec<String> = (0..shards).map(|shard| format!("align-{shard}")).collect();
    world.wait_for("the others to leave", |world| names(world) == left);
    assert!(world.status.is_ready());
    assert_eq!(running.stop().unwrap(), Ended::InOrder);

    // The same as with one shard: the definition says what that is. The last of each stream is open still.
    let of_one: Vec<i64> = (0..EACH - 1).collect();
    let given = given(&world);
    assert_eq!(given.len(), STREAMS as usize);
    for (stream, times) in given {
        assert_eq!(times, of_one, "of {stream}");
    }
    assert!(world.sent_to("dead").is_empty());
}

#[test]
fn a_stop_while_streams_move_commits_just_what_has_ended() {
    for (round, shards) in [8, 1, 5, 3, 1].into_iter().enumerate() {
        let world = Arc::new(World::default());
        let running = Running::start_with(world.clone(), records(100), waiting_pipeline());
        world.wait_for("some results", |world| world.sent_to("results").len() > 40 * round);
        world.status.shards.ask(shards);
        world.wait_for("another number of shards", |world| world.status.shards.current() == shards);
        assert_eq!(running.stop().unwrap(), Ended::InOrder);
        let given = given(&world);
        for (stream, times) in &given {
            assert!(times.iter().copied().eq(0..times.len() as i64), "of {stream}: {times:?}");
        }
        // Whatever lies before the position has its result.
        for offset in 0..world.committed().unwrap_or(0) {
            let (stream, time) = (format!("camera-{}", offset % STREAMS), (offset / STREAMS) ^ 1);
            assert!(given.get(&stream).is_some_and(|times| times.contains(&time)), "{stream} at {time}");
        }
    }
}
