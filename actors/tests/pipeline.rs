//! Tests of a whole pipeline of actors, without Kafka or libtorch.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

#[path = "pipeline/instances.rs"]
mod instances;
#[path = "pipeline/overload.rs"]
mod overload;
#[path = "pipeline/resharding.rs"]
mod resharding;
#[path = "pipeline/residency.rs"]
mod residency;
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

use lockstep_actors::{PipelineEnd, PipelineError, PipelineFailure};
use lockstep_engine::align::{Bounds, Overflow};
use lockstep_engine::completion::Progress;
use lockstep_engine::position::{Commit, NextOffset, Offset};
use world::{ERROR, PANIC, PARTITION, Running, World, millis, pipeline, record};

fn numbers(records: &[lockstep_engine::publish::sink::OutRecord], stream: &str) -> Vec<i64> {
    let of_stream = records.iter().filter(|record| record.key.as_deref() == Some(stream.as_bytes()));
    of_stream.map(|record| millis(record) - 1_800_000_000_000).collect()
}

#[test]
fn pipeline_publishes_each_record_once_in_order_then_commits() {
    let streams = ["a", "b", "c"];
    let records = (0..300).map(|n| record(n, streams[n as usize % 3], 1)).collect();
    let running = Running::start(Arc::default(), records, 3, 4);
    let world = running.world.clone();
    world.wait_for("300 results", |world| world.sent_to("results").len() == 300);
    world.wait_for("the commit", |world| world.committed() == Some(300));
    assert_eq!(running.stop().unwrap(), PipelineEnd::InOrder);
    for (place, stream) in streams.iter().enumerate() {
        let expected: Vec<i64> = (0..300).filter(|n| n % 3 == place as i64).collect();
        let mut told = numbers(&world.sent_to("results"), stream);
        // The test's sink acknowledges in any order, so only the set of records is compared.
        told.sort_unstable();
        assert_eq!(told, expected);
    }
}

#[test]
fn stalled_model_stops_reading_and_loses_nothing() {
    let world = Arc::new(World::default());
    world.model_held.store(true, Ordering::SeqCst);
    let running = Running::start(world.clone(), (0..2_000).map(|n| record(n, "a", 1)).collect(), 1, 2);
    // After 200 refusals every message that could move has moved.
    world.wait_for("refusals", |world| world.refusals.load(Ordering::SeqCst) > 200);
    let taken = world.accepted.load(Ordering::SeqCst);
    // Mailboxes of 4 (ingest), 4 (align) and 8 (batch), one message in each actor, 2 batches of 2, and the assignment.
    assert!(taken <= 4 + 4 + 8 + 3 + 4 + 1, "{taken} messages were accepted while the model stalled");
    assert_eq!(world.committed().unwrap_or(0), 0, "no further than where reading began");
    world.model_held.store(false, Ordering::SeqCst);
    world.notify();
    world.wait_for("2000 results", |world| world.sent_to("results").len() == 2_000);
    world.wait_for("the commit", |world| world.committed() == Some(2_000));
    assert_eq!(running.stop().unwrap(), PipelineEnd::InOrder);
}

#[test]
fn full_sink_blocks_the_pipeline_without_loss_or_reorder() {
    let world = Arc::new(World::default());
    world.sink_room.store(1, Ordering::SeqCst);
    let running = Running::start(world.clone(), (0..200).map(|n| record(n, "a", 1)).collect(), 1, 8);
    world.wait_for("200 results", |world| world.sent_to("results").len() == 200);
    assert_eq!(running.stop().unwrap(), PipelineEnd::InOrder);
    assert_eq!(numbers(&world.sent_to("results"), "a"), (0..200).collect::<Vec<_>>());
    assert_eq!(world.committed(), Some(200));
}

#[test]
fn failing_batch_is_dead_lettered_and_the_others_go_on() {
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
    assert_eq!(running.stop().unwrap(), PipelineEnd::InOrder);
    assert_eq!(world.sent_to("results").len(), 48);
    let mut dead = numbers(&world.sent_to("dead"), "a");
    dead.sort_unstable();
    assert_eq!(dead, [10, 20]);
    let reasons = world.sent_to("dead");
    let reason = |name: &str| reasons.iter().flat_map(|r| &r.headers).filter(|h| &*h.name == name).count();
    assert_eq!((reason("lockstep-reason"), reason("lockstep-source-offset")), (2, 2));
}

#[test]
fn wrong_payload_in_a_batch_is_dead_lettered_alone() {
    let mut records: Vec<_> = (0..40).map(|n| record(n, "a", 1)).collect();
    records[7].payload = bytes::Bytes::from_static(b"12345");
    let running = Running::start(Arc::default(), records, 1, 8);
    let world = running.world.clone();
    world.wait_for("the commit", |world| world.committed() == Some(40));
    assert_eq!(running.stop().unwrap(), PipelineEnd::InOrder);
    assert_eq!(numbers(&world.sent_to("dead"), "a"), [7]);
    assert_eq!(world.sent_to("results").len(), 39);
}

#[test]
fn evicted_samples_are_committed_and_go_to_the_late_topic() {
    for late in [Some("late".to_owned()), None] {
        let mut pipeline = pipeline(1, 1);
        // No bundle closes before ten more records have come, and the bound is five.
        pipeline.align.inputs[0].out_of_orderness = std::time::Duration::from_millis(10);
        pipeline.align.bounds =
            Bounds { stream_items: Some(5), overflow: Overflow::DropOldest, ..Bounds::default() };
        let expected = if late.is_some() { 45 } else { 0 };
        pipeline.publish.late = late;
        let records = (0..50).map(|n| record(n, "a", 1)).collect();
        let running = Running::start_with(Arc::default(), records, pipeline);
        let world = running.world.clone();
        world.wait_for("the commit", |world| world.committed() == Some(45));
        assert_eq!(running.stop().unwrap(), PipelineEnd::InOrder);
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

/// Returns a world whose last commit marks the first ten records as published and none as ended.
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
fn restart_does_not_report_published_records_as_evicted() {
    let mut pipeline = pipeline(1, 1);
    pipeline.align.inputs[0].out_of_orderness = std::time::Duration::from_millis(10);
    pipeline.align.bounds =
        Bounds { stream_items: Some(5), overflow: Overflow::DropOldest, ..Bounds::default() };
    pipeline.publish.late = Some("late".to_owned());
    let records = (0..50).map(|n| record(n, "a", 1)).collect();
    let running = Running::start_with(ten_were_published(), records, pipeline);
    let world = running.world.clone();
    world.wait_for("the commit", |world| world.committed() == Some(45));
    assert_eq!(running.stop().unwrap(), PipelineEnd::InOrder);
    let mut told = numbers(&world.sent_to("late"), "a");
    told.sort_unstable();
    assert_eq!(told, (10..45).collect::<Vec<_>>());
}

#[test]
fn restart_does_not_report_published_records_as_late_or_dead() {
    let mut pipeline = pipeline(1, 1);
    pipeline.publish.late = Some("late".to_owned());
    let mut records: Vec<_> =
        (0..40).map(|n| record(n, "a", if n == 3 || n == 13 { ERROR } else { 1 })).collect();
    for (late, after) in [(9, 5), (19, 15)] {
        records[late].timestamp = records[after].timestamp;
    }
    // Records without a value are faulty by themselves.
    for empty in [7, 17] {
        records[empty].payload = bytes::Bytes::new();
    }
    let running = Running::start_with(ten_were_published(), records, pipeline);
    let world = running.world.clone();
    world.wait_for("the commit", |world| world.committed() == Some(40));
    assert_eq!(running.stop().unwrap(), PipelineEnd::InOrder);
    assert_eq!(numbers(&world.sent_to("late"), "a"), [15], "as its timestamp says");
    let mut dead = numbers(&world.sent_to("dead"), "a");
    // The test's sink acknowledges in any order.
    dead.sort_unstable();
    assert_eq!(dead, [13, 17]);
}

#[test]
fn refused_records_are_sent_again() {
    let world = Arc::new(World::default());
    world.failing_deliveries.store(5, Ordering::SeqCst);
    let running = Running::start(world.clone(), (0..20).map(|n| record(n, "a", 1)).collect(), 1, 4);
    world.wait_for("the commit", |world| world.committed() == Some(20));
    assert_eq!(running.stop().unwrap(), PipelineEnd::InOrder);
    assert_eq!(world.sent_to("results").len(), 20);
}

#[test]
fn failed_producer_ends_the_pipeline_without_a_commit() {
    let world = Arc::new(World::default());
    world.producer_failed.store(true, Ordering::SeqCst);
    let running = Running::start(world.clone(), (0..20).map(|n| record(n, "a", 1)).collect(), 1, 4);
    match running.end() {
        Err(PipelineError::Failed(PipelineFailure::Restart(why))) => {
            assert!(why.contains("failed for good: fenced"), "{why}")
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(world.committed().unwrap_or(0), 0, "no further than where reading began");
}

#[test]
fn stop_finishes_and_commits_exactly_the_consumed_records() {
    let running = Running::start(Arc::default(), (0..100_000).map(|n| record(n, "a", 1)).collect(), 1, 4);
    let world = running.world.clone();
    world.wait_for("some results", |world| world.sent_to("results").len() > 50);
    assert_eq!(running.stop().unwrap(), PipelineEnd::InOrder);
    let results = world.sent_to("results").len() as i64;
    assert_eq!(
        world.committed(),
        Some(results),
        "one stream, nothing in buffers: all that was taken has ended"
    );
}

#[test]
fn failure_during_a_stop_ends_it_with_the_reason() {
    let world = Arc::new(World::default());
    world.model_held.store(true, Ordering::SeqCst);
    let running = Running::start(world.clone(), (0..20).map(|n| record(n, "a", 1)).collect(), 1, 4);
    world.wait_for("bundles under way", |world| world.status.bundles_in_flight() > 0);
    running.ask_to_stop();
    // The pipeline is unready from the begin of the stop.
    world.wait_for("the stop", |world| !world.status.is_ready());
    world.producer_failed.store(true, Ordering::SeqCst);
    world.model_held.store(false, Ordering::SeqCst);
    match running.end() {
        Ok(PipelineEnd::CutShort(why)) => assert!(why.contains("failed for good: fenced"), "{why}"),
        other => panic!("{other:?}"),
    }
}
