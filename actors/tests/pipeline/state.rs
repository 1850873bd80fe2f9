//! Tests of stream state over restarts.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use lockstep_actors::PipelineEnd;
use lockstep_engine::infer::changelog::StoredState;
use lockstep_engine::pipeline::{Guarantee, Pipeline};
use lockstep_engine::sample::Record;
use lockstep_engine::tensor::Tensor;

use crate::world::{PARTITION, Running, World, counting_pipeline, first_value, record};

const STREAMS: [&str; 3] = ["a", "b", "c"];
const COUNT: i64 = 120;

fn pipeline(guarantee: Guarantee) -> Pipeline {
    let mut pipeline = counting_pipeline(4);
    pipeline.publish.state = Some("state".into());
    pipeline.delivery.guarantee = guarantee;
    pipeline.delivery.transaction_every = Duration::from_millis(5);
    pipeline
}

fn records(numbers: std::ops::Range<i64>) -> Vec<Record> {
    numbers.map(|n| record(n, STREAMS[n as usize % 3], 1)).collect()
}

/// Asserts that the model counted each bundle of a stream once, in order.
fn assert_counted_through(world: &World) {
    for stream in STREAMS {
        let mut sent = world.sent_to("results");
        sent.sort_by_key(|record| record.timestamp);
        let of_stream = sent.iter().filter(|it| it.key.as_deref() == Some(stream.as_bytes()));
        let counts: Vec<i64> = of_stream.map(first_value).collect();
        assert_eq!(counts, (1..=COUNT / 3).collect::<Vec<_>>(), "{stream}");
    }
}

#[test]
fn stream_state_survives_a_restart() {
    for guarantee in [Guarantee::AtLeastOnce, Guarantee::ExactlyOnce] {
        let world = Arc::new(World::default());
        for part in [0..50, 50..51, 51..COUNT] {
            let end = part.end;
            let running = Running::start_with(world.clone(), records(part), pipeline(guarantee));
            world.wait_for("the commit", |world| world.committed() == Some(end));
            assert_eq!(running.stop().unwrap(), PipelineEnd::InOrder);
        }
        assert_counted_through(&world);
    }
}

#[test]
fn stream_state_survives_a_failure() {
    let mut pipeline = pipeline(Guarantee::ExactlyOnce);
    pipeline.supervision.restarts.backoff = Duration::from_millis(1);
    let world = Arc::new(World::default());
    world.panicking_results.store(1, Ordering::SeqCst);
    world.aborting.store(2, Ordering::SeqCst);
    let running = Running::supervised(world.clone(), records(0..COUNT), pipeline);
    world.wait_for("the commit", |world| world.committed() == Some(COUNT));
    assert_eq!(running.stop().unwrap(), PipelineEnd::InOrder);
    assert_eq!(world.panicking_results.load(Ordering::SeqCst), 0, "it has panicked");
    assert_counted_through(&world);
}

#[test]
fn changelog_holds_the_state_after_the_last_bundle() {
    let running = Running::start_with(Arc::default(), records(0..COUNT), pipeline(Guarantee::ExactlyOnce));
    let world = running.world.clone();
    world.wait_for("the commit", |world| world.committed() == Some(COUNT));
    assert_eq!(running.stop().unwrap(), PipelineEnd::InOrder);
    let carried = world.carried();
    let names: Vec<&[u8]> = carried.iter().map(|(key, _)| &**key).collect();
    assert_eq!(names, [b"echo/1:a", b"echo/1:b", b"echo/1:c"]);
    let last = Tensor::new(vec![1], &[(COUNT / 3) as u8]).unwrap();
    for (_, value) in carried {
        assert_eq!(StoredState::decode(&value).unwrap().rows, std::slice::from_ref(&last));
    }
    assert!(world.sent_to("state").iter().all(|record| record.partition == Some(PARTITION.partition)));
}

#[test]
fn stream_state_is_not_kept_without_a_topic() {
    let mut pipeline = pipeline(Guarantee::AtLeastOnce);
    pipeline.publish.state = None;
    let running = Running::start_with(Arc::default(), records(0..3), pipeline);
    let world = running.world.clone();
    world.wait_for("the commit", |world| world.committed() == Some(3));
    assert_eq!(running.stop().unwrap(), PipelineEnd::InOrder);
    assert!(world.carried().is_empty());
}
