//! What the actors promise, held without Kafka or libtorch.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

#[path = "pipeline/instances.rs"]
mod instances;
#[path = "pipeline/overload.rs"]
mod overload;
#[path = "pipeline/resharding.rs"]
mod resharding;
#[path = "pipeline/state.rs"]
mod state;
#[path = "pipeline/supervision.rs"]
mod supervision;
#[path = "pipeline/transactions.rs"]
mod transactions;
#[path = "pipeline/world.rs"]
mod world;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use lockstep_actors::{Ended, PipelineError};
use lockstep_engine::align::{Bounds, Overflow};
use lockstep_engine::completion::Progress;
use lockstep_engine::position::{Commit, NextOffset, Offset};
use world::{ERROR, PANIC, PARTITION, Running, World, millis, pipeline, record};

fn numbers(records: &[lockstep_engine::publish::sink::OutRecord], stream: &str) -> Vec<i64> {
    let of_stream = records.iter().filter(|record| record.key.as_deref() == Some(stream.as_bytes()));
    of_stream.map(|record| millis(record) - 1_800_000_000_000).collect()
}

#[test]
fn every_record_is_published_once_in_the_order_of_its_stream_and_then_committed() {
    let streams = ["a", "b", "c"];
    let records = (0..300).map(|n| record(n, streams[n as usize % 3], 1)).collect();
    let running = Running::start(Arc::default(), records, 3, 4);
    let world = running.world.clone();
    world.wait_for("300 results", |world| world.sent_to("results").len() == 300);
    world.wait_for("the commit", |world| world.committed() == Some(300));
    assert_eq!(running.stop().unwrap(), Ended::InOrder);
    for (place, stream) in streams.iter().enumerate() {
        let expected: Vec<i64> = (0..300).filter(|n| n % 3 == place as i64).collect();
        let mut told = numbers(&world.sent_to("results"), stream);
        // The test's sink acknowledges in any order; what counts is that each is there once.
        told.sort_unstable();
        assert_eq!(told, expected);
    }
}

#[test]
fn a_model_that_stands_still_stops_the_intake_and_nothing_is_lost() {
    let world = Arc::new(World::default());
    world.model_held.store(true, Ordering::SeqCst);
    let running = Running::start(world.clone(), (0..2_000).map(|n| record(n, "a", 1)).collect(), 1, 2);
    // Refused for so long that whatever was going to move has moved.
    world.wait_for("refusals", |world| world.refusals.load(Ordering::SeqCst) > 200);
    let taken = world.accepted.load(Ordering::SeqCst);
    // Links of 4 to ingest, 4 to align and 8 to batch, one in the hands of each, 2 batches of 2, and the assignment.
    assert!(taken <= 4 + 4 + 8 + 3 + 4 + 1, "{taken} messages were taken in while the model stood still");
    assert_eq!(world.committed().unwrap_or(0), 0, "no further than where reading began");
    world.model_held.store(false, Ordering::SeqCst);
    world.notify();
    world.wait_for("2000 results", |world| world.sent_to("results").len() == 2_000);
    world.wait_for("the commit", |world| world.committed() == Some(2_000));
    assert_eq!(running.stop().unwrap(), Ended::InOrder);
}

#[test]
fn a_full_sink_makes_everything_wait_and_neither_loses_nor_reorders() {
    let world = Arc::new(World::default());
    world.sink_room.store(1, Ordering::SeqCst);
    let running = Running::start(world.clone(), (0..200).map(|n| record(n, "a", 1)).collect(), 1, 8);
    world.wait_for("200 results", |world| world.sent_to("results").len() == 200);
    assert_eq!(running.stop().unwrap(), Ended::InOrder);
    assert_eq!(numbers(&world.sent_to("results"), "a"), (0..200).collect::<Vec<_>>());
    assert_eq!(world.committed(), Some(200));
}

#[test]
fn a_batch_that_panics_or_errs_is_dead_lettered_and_the_rest_goes_on() {
    let records = (0..50).map(|n| {
        let byte = match n {
            10 => PANIC,
            20 => ERROR,
            _ => 1,
        };
        record(n, "a", byte)
    });
    let running = Running::start(Arc::default(), records.collect(), 1, 1);
    let world = running.world.clone();
    world.wait_for("the commit", |world| world.committed() == Some(50));
    assert_eq!(running.stop().unwrap(), Ended::InOrder);
    assert_eq!(world.sent_to("results").len(), 48);
    let mut dead = numbers(&world.sent_to("dead"), "a");
    dead.sort_unstable();
    assert_eq!(dead, [10, 20]);
    let reasons = world.sent_to("dead");
    let reason = |name: &str| reasons.iter().flat_map(|r| &r.headers).filter(|h| &*h.name == name).count();
    assert_eq!((reason("lockstep-reason"), reason("lockstep-source-offset")), (2, 2));
}

#[test]
fn a_payload_of_the_wrong_size_is_dead_lettered_alone_though_it_was_in_a_batch() {
    let mut records: Vec<_> = (0..40).map(|n| record(n, "a", 1)).collect();
    records[7].payload = bytes::Bytes::from_static(b"12345");
    let running = Running::start(Arc::default(), records, 1, 8);
    let world = running.world.clone();
    world.wait_for("the commit", |world| world.committed() == Some(40));
    assert_eq!(running.stop().unwrap(), Ended::InOrder);
    assert_eq!(numbers(&world.sent_to("dead"), "a"), [7]);
    assert_eq!(world.sent_to("results").len(), 39);
}

#[test]
fn what_has_to_make_room_is_committed_and_goes_to_the_late_topic_if_there_is_one_with_the_bound() {
    for late in [Some("late".to_owned()), None] {
        let mut pipeline = pipeline(1, 1);
        // Nothing closes before ten more have come, and there is room for five.
        pipeline.align.inputs[0].out_of_orderness = std::time::Duration::from_millis(10);
        pipeline.align.bounds =
            Bounds { stream_items: Some(5), overflow: Overflow::DropOldest, ..Bounds::default() };
        let expected = if late.is_some() { 45 } else { 0 };
        pipeline.publish.late = late;
        let records = (0..50).map(|n| record(n, "a", 1)).collect();
        let running = Running::start_with(Arc::default(), records, pipeline);
        let world = running.world.clone();
        world.wait_for("the commit", |world| world.committed() == Some(45));
        assert_eq!(running.stop().unwrap(), Ended::InOrder);
        let letters = world.sent_to("late");
        let mut told = numbers(&letters, "a");
        told.sort_unstable();
        assert_eq!(told, (0..expected).collect::<Vec<_>>());
        for letter in letters {
            let header = |name: &str| letter.headers.iter().find(|h| h.name == name)?.value.as_deref();
            assert_eq!(header("lockstep-reason"), Some(&b"evicted"[..]));
            assert_eq!(header("lockstep-bound"), Some(&b"stream-items"[..]));
        }
        assert!(world.sent_to("results").is_empty());
    }
}

/// A world in which, at the last commit, all of the first ten records were in results, and none had ended.
fn ten_were_published() -> Arc<World> {
    let mut progress = Progress::default();
    progress.published.insert(Offset(0), NextOffset(10));
    let next = NextOffset(0);
    let metadata = progress.encode(next, 4096).unwrap();
    let world = Arc::new(World::default());
    *world.before.lock().unwrap() = Some(Commit { partition: PARTITION, next, metadata });
    world
}

#[test]
fn what_was_in_a_result_before_a_restart_is_not_told_as_evicted_after_it() {
    let mut pipeline = pipeline(1, 1);
    pipeline.align.inputs[0].out_of_orderness = std::time::Duration::from_millis(10);
    pipeline.align.bounds =
        Bounds { stream_items: Some(5), overflow: Overflow::DropOldest, ..Bounds::default() };
    pipeline.publish.late = Some("late".to_owned());
    let records = (0..50).map(|n| record(n, "a", 1)).collect();
    let running = Running::start_with(ten_were_published(), records, pipeline);
    let world = running.world.clone();
    world.wait_for("the commit", |world| world.committed() == Some(45));
    assert_eq!(running.stop().unwrap(), Ended::InOrder);
    let mut told = numbers(&world.sent_to("late"), "a");
    told.sort_unstable();
    assert_eq!(told, (10..45).collect::<Vec<_>>());
}

#[test]
fn what_was_in_a_result_before_a_restart_is_not_told_as_late_or_dead_after_it() {
    let mut pipeline = pipeline(1, 1);
    pipeline.publish.late = Some("late".to_owned());
    let mut records: Vec<_> =
        (0..40).map(|n| record(n, "a", if n == 3 || n == 13 { ERROR } else { 1 })).collect();
    for (late, after) in [(9, 5), (19, 15)] {
        records[late].timestamp = records[after].timestamp;
    }
    // Without a value they are at fault by themselves.
    for empty in [7, 17] {
        records[empty].payload = bytes::Bytes::new();
    }
    let running = Running::start_with(ten_were_published(), records, pipeline);
    let world = running.world.clone();
    world.wait_for("the commit", |world| world.committed() == Some(40));
    assert_eq!(running.stop().unwrap(), Ended::InOrder);
    assert_eq!(numbers(&world.sent_to("late"), "a"), [15], "as its timestamp says");
    let mut dead = numbers(&world.sent_to("dead"), "a");
    // The test's sink acknowledges in any order.
    dead.sort_unstable();
    assert_eq!(dead, [13, 17]);
}

#[test]
fn what_the_broker_does_not_take_is_sent_again() {
    let world = Arc::new(World::default());
    world.failing_deliveries.store(5, Ordering::SeqCst);
    let running = Running::start(world.clone(), (0..20).map(|n| record(n, "a", 1)).collect(), 1, 4);
    world.wait_for("the commit", |world| world.committed() == Some(20));
    assert_eq!(running.stop().unwrap(), Ended::InOrder);
    assert_eq!(world.sent_to("results").len(), 20);
}

#[test]
fn a_producer_that_has_failed_for_good_ends_the_pipeline_and_nothing_is_committed() {
    let world = Arc::new(World::default());
    world.producer_failed.store(true, Ordering::SeqCst);
    let running = Running::start(world.clone(), (0..20).map(|n| record(n, "a", 1)).collect(), 1, 4);
    match running.end() {
        Err(PipelineError::Failed(why)) => assert!(why.contains("failed for good: fenced"), "{why}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(world.committed().unwrap_or(0), 0, "no further than where reading began");
}

#[test]
fn a_stop_in_the_middle_finishes_what_was_taken_in_and_commits_just_that() {
    let running = Running::start(Arc::default(), (0..100_000).map(|n| record(n, "a", 1)).collect(), 1, 4);
    let world = running.world.clone();
    world.wait_for("some results", |world| world.sent_to("results").len() > 50);
    assert_eq!(running.stop().unwrap(), Ended::InOrder);
    let results = world.sent_to("results").len() as i64;
    assert_eq!(
        world.committed(),
        Some(results),
        "one stream, nothing in buffers: all that was taken has ended"
    );
}

#[test]
fn a_failure_during_a_stop_ends_it_with_the_reason() {
    let world = Arc::new(World::default());
    world.model_held.store(true, Ordering::SeqCst);
    let running = Running::start(world.clone(), (0..20).map(|n| record(n, "a", 1)).collect(), 1, 4);
    world.wait_for("bundles under way", |world| world.status.bundles_in_flight() > 0);
    running.ask_to_stop();
    // It is not ready from when the stop has begun.
    world.wait_for("the stop", |world| !world.status.is_ready());
    world.producer_failed.store(true, Ordering::SeqCst);
    world.model_held.store(false, Ordering::SeqCst);
    match running.end() {
        Ok(Ended::CutShort(why)) => assert!(why.contains("failed for good: fenced"), "{why}"),
        other => panic!("{other:?}"),
    }
}
