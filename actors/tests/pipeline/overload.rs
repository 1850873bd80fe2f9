//! Promises about what is put aside, and about runs that end by themselves.

use std::sync::Arc;
use std::time::Duration;

use lockstep_actors::Ended;
use lockstep_engine::batch::BatchMode;
use lockstep_engine::ingest::shed::{ShedPolicy, ShedRule};
use lockstep_engine::ingest::until::Ends;
use lockstep_engine::pipeline::Pipeline;
use lockstep_engine::position::NextOffset;
use lockstep_engine::sample::Record;
use lockstep_engine::time::Timestamp;

use crate::world::{PARTITION, Running, World, pipeline, record};

const HOUR: Duration = Duration::from_secs(3600);

/// Of two streams by turns: what the one tells of is an hour ago, and what the other tells of in an hour.
fn old_and_new(count: i64) -> Vec<Record> {
    let now = Timestamp::now();
    let of = |offset: i64| {
        let is_old = offset % 2 == 0;
        let time = if is_old { now.before(HOUR) } else { now.after(HOUR) };
        let time = time.after(Duration::from_millis(offset.unsigned_abs()));
        Record { timestamp: Some(time), ..record(offset, if is_old { "old" } else { "new" }, 1) }
    };
    (0..count).map(of).collect()
}

fn shedding(report: bool) -> Pipeline {
    let mut pipeline = pipeline(1, 4);
    let rule = ShedRule::KeepLatest(HOUR / 2);
    pipeline.inputs[0].shed = Some(ShedPolicy { rule, report });
    pipeline.publish.late = Some("late".into());
    pipeline
}

#[test]
fn what_is_shed_ends_without_a_result_and_holds_nothing_up() {
    for report in [false, true] {
        let running = Running::start_with(Arc::default(), old_and_new(40), shedding(report));
        let world = running.world.clone();
        world.wait_for("the commit", |world| world.committed() == Some(40));
        assert_eq!(running.stop().unwrap(), Ended::InOrder);
        let results = world.sent_to("results");
        assert_eq!(results.len(), 20);
        assert!(results.iter().all(|result| result.key.as_deref() == Some(b"new")));
        let late = world.sent_to("late");
        assert_eq!(late.len(), if report { 20 } else { 0 });
        assert!(late.iter().all(|late| late.key.as_deref() == Some(b"old")));
    }
}

/// A pipeline whose bundles stay open, and whose batches wait until they are full.
fn open_ended() -> Pipeline {
    let mut pipeline = pipeline(1, 8);
    pipeline.align.inputs[0].out_of_orderness = HOUR;
    pipeline.steps[0].batch.mode = BatchMode::Static;
    pipeline.steps[0].batch.static_max_delay = HOUR;
    pipeline
}

#[test]
fn a_run_until_the_end_closes_what_is_open_commits_and_ends_by_itself() {
    let world = Arc::new(World::default());
    *world.until.lock().unwrap() = Some(Ends::from([(PARTITION, NextOffset(30))]));
    let streams = ["a", "b", "c"];
    let records = (0..40).map(|n| record(n, streams[n as usize % 3], 1)).collect();
    let running = Running::start_with(world.clone(), records, open_ended());
    assert_eq!(running.end().unwrap(), Ended::InOrder);
    assert_eq!(world.sent_to("results").len(), 30);
    assert_eq!(world.committed(), Some(30), "what came after is left to the next run");
    assert_eq!(world.status.progress(), Some((30, 30)));
}

#[test]
fn a_run_until_the_end_of_nothing_ends() {
    let world = Arc::new(World::default());
    *world.until.lock().unwrap() = Some(Ends::new());
    let running = Running::start_with(world.clone(), Vec::new(), open_ended());
    assert_eq!(running.end().unwrap(), Ended::InOrder);
}

#[test]
fn a_stop_sends_static_batches_on_as_they_are() {
    let mut pipeline = open_ended();
    pipeline.align.inputs[0].out_of_orderness = Duration::ZERO;
    let running = Running::start_with(Arc::default(), (0..5).map(|n| record(n, "a", 1)).collect(), pipeline);
    let world = running.world.clone();
    world.wait_for("the records", |world| world.accepted.load(std::sync::atomic::Ordering::SeqCst) >= 7);
    assert_eq!(running.stop().unwrap(), Ended::InOrder);
    assert_eq!(world.sent_to("results").len(), 5);
}
