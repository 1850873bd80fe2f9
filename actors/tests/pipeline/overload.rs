//! Tests of shedding, and of runs that end by themselves.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use lockstep_actors::{PipelineEnd, Stop};
use lockstep_engine::align::{InputPolicy, Join};
use lockstep_engine::batch::BatchMode;
use lockstep_engine::ingest::InputSpec;
use lockstep_engine::ingest::shed::{Pattern, ShedPolicy, ShedRule};
use lockstep_engine::ingest::until::EndOffsets;
use lockstep_engine::ingest::wire;
use lockstep_engine::pipeline::Pipeline;
use lockstep_engine::position::{InputId, NextOffset};
use lockstep_engine::publish::sink::OutRecord;
use lockstep_engine::sample::Record;
use lockstep_engine::time::Timestamp;

use crate::world::{PARTITION, Running, World, pipeline, record};

const HOUR: Duration = Duration::from_secs(3600);

/// Returns records of two streams in turn: event times of one are an hour ago, those of the other an hour ahead.
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

fn shedding(rule: ShedRule, report: bool) -> Pipeline {
    let mut pipeline = pipeline(1, 4);
    pipeline.inputs[0].shed = Some(ShedPolicy { rule, report });
    pipeline.publish.late = Some("late".into());
    pipeline
}

#[test]
fn shed_samples_end_without_a_result_and_block_nothing() {
    for report in [false, true] {
        let rule = ShedRule::KeepLatest(HOUR / 2);
        let running = Running::start_with(Arc::default(), old_and_new(40), shedding(rule, report));
        let world = running.world.clone();
        world.wait_for("the commit", |world| world.committed() == Some(40));
        assert_eq!(running.stop().unwrap(), PipelineEnd::InOrder);
        let results = world.sent_to("results");
        assert_eq!(results.len(), 20);
        assert!(results.iter().all(|result| result.key.as_deref() == Some(b"new")));
        let late = world.sent_to("late");
        assert_eq!(late.len(), if report { 20 } else { 0 });
        assert!(late.iter().all(|late| late.key.as_deref() == Some(b"old")));
    }
}

/// Returns the text of a header.
fn header<'a>(record: &'a OutRecord, name: &str) -> &'a str {
    let header = record.headers.iter().find(|header| &*header.name == name).unwrap();
    std::str::from_utf8(header.value.as_deref().unwrap()).unwrap()
}

#[test]
fn shed_samples_end_once_and_report_rule_and_age() {
    let rules = [
        (ShedRule::KeepLatest(HOUR / 2), "too-old"),
        (ShedRule::Sample { one_of: u32::MAX, above: HOUR / 2 }, "sampled"),
        (ShedRule::Priority { patterns: vec![Pattern::new("o*d")], above: HOUR / 2 }, "priority"),
    ];
    for (rule, code) in rules {
        for report in [false, true] {
            let pipeline = shedding(rule.clone(), report);
            let running = Running::start_with(Arc::default(), old_and_new(40), pipeline);
            let world = running.world.clone();
            world.wait_for("the commit", |world| world.committed() == Some(40));
            assert_eq!(running.stop().unwrap(), PipelineEnd::InOrder);
            assert_eq!(*world.dropped.lock().unwrap(), [code; 20], "each ends once, and by its rule");
            assert_eq!(world.late.load(Ordering::SeqCst), 0, "a shed sample is not late");
            let reports = world.sent_to("late");
            assert_eq!(reports.len(), if report { 20 } else { 0 });
            for shed in &reports {
                assert_eq!((header(shed, wire::REASON), header(shed, wire::RULE)), (wire::SHED, code));
                let age: u64 = header(shed, wire::AGE_NS).parse().unwrap();
                assert!((1_800_000_000_000..7_200_000_000_000).contains(&age), "{age} ns, of about an hour");
            }
        }
    }
}

/// Returns pairs of two inputs. The second record of a pair comes `later` pairs later.
fn pairs(count: i64, later: i64) -> Vec<Record> {
    let of = |input: u16, offset: i64| {
        let mut of = record(offset, "a", 1);
        of.position.partition.input = InputId(input);
        of
    };
    let both = |n: i64| [(n < count).then(|| of(0, n)), (n >= later).then(|| of(1, n - later))];
    (0..count + later + 1).flat_map(both).flatten().collect()
}

#[test]
fn shards_do_not_take_waiting_for_a_model_for_silence() {
    let patience = Duration::from_secs(2);
    let mut pipeline = pipeline(1, 1);
    pipeline.shards = 1;
    pipeline.inputs.push(InputSpec {
        name: "other".into(),
        topic: "other".into(),
        ..pipeline.inputs[0].clone()
    });
    let other = InputPolicy {
        name: "other".into(),
        join: Join::Window { before: Duration::ZERO, after: Duration::from_millis(1) },
        ..pipeline.align.inputs[0].clone()
    };
    pipeline.align.inputs.push(other);
    pipeline.align.inputs.iter_mut().for_each(|input| input.idle_timeout = patience);
    pipeline.align.max_wait = patience;
    let world = Arc::new(World::default());
    world.model_held.store(true, Ordering::SeqCst);
    let running = Running::start_with(world.clone(), pairs(200, 20), pipeline);
    world.wait_for("all links to be full", |world| world.refusals.load(Ordering::SeqCst) > 100);
    Stop::default().wait(patience + patience / 2);
    world.model_held.store(false, Ordering::SeqCst);
    world.notify();
    world.wait_for("the results", |world| world.sent_to("results").len() == 200);
    running.stop().unwrap();
    for result in world.sent_to("results") {
        let text = String::from_utf8(result.payload.to_vec()).unwrap();
        assert!(text.contains("\"complete\":true"), "{text}");
    }
    assert_eq!(world.late.load(Ordering::SeqCst), 0);
}

/// Returns a pipeline whose bundles stay open and whose batches wait until they are full.
fn open_ended() -> Pipeline {
    let mut pipeline = pipeline(1, 8);
    pipeline.align.inputs[0].out_of_orderness = HOUR;
    pipeline.steps[0].batch.mode = BatchMode::Static;
    pipeline.steps[0].batch.static_max_delay = HOUR;
    pipeline
}

#[test]
fn run_until_the_end_closes_open_bundles_commits_and_ends() {
    let world = Arc::new(World::default());
    *world.until.lock().unwrap() = Some(EndOffsets::from([(PARTITION, NextOffset(30))]));
    let streams = ["a", "b", "c"];
    let records = (0..40).map(|n| record(n, streams[n as usize % 3], 1)).collect();
    let running = Running::start_with(world.clone(), records, open_ended());
    assert_eq!(running.end().unwrap(), PipelineEnd::InOrder);
    assert_eq!(world.sent_to("results").len(), 30);
    assert_eq!(world.committed(), Some(30), "what came after is left to the next run");
    assert_eq!(world.status.progress(), Some((30, 30)));
}

#[test]
fn run_until_the_end_of_empty_topics_ends() {
    let world = Arc::new(World::default());
    *world.until.lock().unwrap() = Some(EndOffsets::new());
    let running = Running::start_with(world.clone(), Vec::new(), open_ended());
    assert_eq!(running.end().unwrap(), PipelineEnd::InOrder);
}

#[test]
fn stop_sends_incomplete_static_batches() {
    let mut pipeline = open_ended();
    pipeline.align.inputs[0].out_of_orderness = Duration::ZERO;
    let running = Running::start_with(Arc::default(), (0..5).map(|n| record(n, "a", 1)).collect(), pipeline);
    let world = running.world.clone();
    world.wait_for("the records", |world| world.accepted.load(std::sync::atomic::Ordering::SeqCst) >= 7);
    assert_eq!(running.stop().unwrap(), PipelineEnd::InOrder);
    assert_eq!(world.sent_to("results").len(), 5);
}
