//! Promises of the status document: it shows the metrics and the health, and docs/status.md describes all of it.

use std::collections::BTreeSet;
use std::time::Duration;

use lockstep_engine::align::Bound;
use lockstep_engine::condition::{Cause, Conditions, Work};
use lockstep_engine::fault::{Reason, StageKind};
use lockstep_engine::infer::unit::UnitId;
use lockstep_engine::ingest::shed::Shed;
use lockstep_engine::position::{InputId, PartitionId};
use lockstep_engine::scaling::{Measures, Scaled, StageLoad};
use lockstep_engine::supervision::breaker::BreakerState;
use lockstep_engine::telemetry;
use lockstep_engine::telemetry::models::Unload;
use lockstep_http::{
    ActorStatus, AssignedPartitions, BatchStatus, LoadStatus, MailboxStatus, MemoryStatus, ModelStatus,
    PartitionStatus, ResultStatus, ShardStatus,
};
use lockstep_telemetry::{Bucket, HistogramSnapshot, install_recorder};
use serde_json::{Value, to_value};

use super::*;

/// Each metric that the document shows is reported once, by the function that the pipeline calls.
#[test]
fn status_shows_what_the_pipeline_reports() {
    let metrics = install_recorder().expect("the only recorder of this process");
    let (input, step, second) = ("camera", "gestures", Duration::from_secs(1));
    let unit = UnitId::new(step, "1");
    let partition = |partition| PartitionId { input: InputId(0), partition };
    telemetry::consumed(input, 3, 100);
    telemetry::late(input);
    telemetry::epoch(input);
    telemetry::data_lost(input, 7);
    telemetry::evicted(input, Bound::Items);
    telemetry::shed(input, Shed::TooOld);
    telemetry::pictures::damaged(input);
    telemetry::pictures::decoding_blocked(second);
    telemetry::samples::Drops::new(vec![input.into()]).add(0, telemetry::samples::DropReason::Unused);
    telemetry::samples::Skews::new([input].into_iter()).record(0, 2_000_000_000);
    telemetry::upstream::lag(input, partition(0), Some(30));
    telemetry::upstream::lag(input, partition(1), Some(12));
    telemetry::upstream::held_back(input, partition(1), Some(5));
    telemetry::oldest_event(input, partition(0), Some(second));
    telemetry::oldest_event(input, partition(1), None);
    telemetry::memory(10, 20, 2, 1);
    telemetry::metadata_pressure(4, 3);
    telemetry::batch_run(&unit, 0, 6, second, true);
    telemetry::batch_run(&unit, 1, 2, second, false);
    telemetry::batch_split(&unit, "memory");
    telemetry::batch_limit(&unit, 4);
    telemetry::abandoned(&unit);
    telemetry::state_refused(&unit);
    telemetry::models::loaded(&unit, "cpu", 300, second);
    telemetry::models::loaded(&unit, "cuda:0", 200, second);
    telemetry::models::unloaded(&unit, "cpu", 300, Unload::Evicted);
    telemetry::models::load_failed(&unit);
    telemetry::dead_lettered(StageKind::Ingest, Reason::MissingKey);
    telemetry::delivery_failed();
    telemetry::delivery::undeliverable("results");
    telemetry::bundle_abandoned();
    telemetry::bundles_closed("emitted", 9);
    telemetry::mailbox_blocked("ingest", second);
    telemetry::restarted("ingest");
    telemetry::panicked("ingest");
    telemetry::alignment(0, 5, 50);
    telemetry::alignment(1, 6, 60);
    telemetry::shards::moved(2, second);
    telemetry::desired_replicas(1.5);
    telemetry::scaling_wanted("shards", 3);
    let stage = StageLoad {
        what: Scaled::Instances(0),
        name: format!("instances of {step}").into(),
        count: 1,
        busy: 0.5,
        cost: None,
        full_cost: None,
        cores: 1.0,
        bytes: None,
    };
    telemetry::measured(&Measures {
        arrival: Some(120.0),
        served: Some(110.0),
        stages: vec![stage],
        ..Measures::default()
    });

    let status = Arc::<Status>::default();
    status.running("ingest");
    status.shards.override_with(4);
    status.instances_of(step).override_with(2);
    status.set_breaker(step, BreakerState::HalfOpen, true);
    status.report(Work::Read, "frames", Cause::lasting("no such topic", "create it"));
    let subjects = Subjects { inputs: vec![input.into(), "idle".into()], ..Subjects::nameless("faces") };
    let document = check(subjects, status, metrics)();

    assert_eq!(
        (document.version, document.pipeline.as_str(), document.ready, document.live),
        (1, "faces", false, true)
    );
    let shown = to_value(&document).expect("JSON");
    let expected = [
        ("/inputs/camera/records", Value::from(3)),
        ("/inputs/camera/record_bytes", 100.into()),
        ("/inputs/camera/lag_records", 42.into()),
        ("/inputs/camera/oldest_event_age_seconds", 1.0.into()),
        ("/inputs/camera/partitions/1/lag_records", 12.into()),
        ("/inputs/camera/partitions/1/oldest_event_age_seconds", Value::Null),
        ("/inputs/camera/partitions/1/held_back_offsets", 5.into()),
        ("/inputs/camera/late_samples", 1.into()),
        ("/inputs/camera/epochs", 1.into()),
        ("/inputs/camera/lost_records", 7.into()),
        ("/inputs/camera/evicted_samples/items", 1.into()),
        ("/inputs/camera/shed_samples/too-old", 1.into()),
        ("/inputs/camera/dropped_samples/unused", 1.into()),
        ("/inputs/camera/damaged_samples", 1.into()),
        ("/inputs/camera/skew_seconds/sum", 2.0.into()),
        ("/inputs/idle/lag_records", Value::Null),
        ("/memory/in_flight_bytes", 10.into()),
        ("/memory/budget_bytes", 20.into()),
        ("/memory/decoding_blocked_seconds", 1.0.into()),
        ("/partitions/paused", 2.into()),
        ("/partitions/ahead", 1.into()),
        ("/partitions/metadata_slow", 4.into()),
        ("/partitions/metadata_paused", 3.into()),
        ("/steps/gestures/batches/succeeded", 1.into()),
        ("/steps/gestures/batches/failed", 1.into()),
        ("/steps/gestures/batches/split/memory", 1.into()),
        ("/steps/gestures/batches/limit_bundles", 4.into()),
        ("/steps/gestures/batches/size_bundles/sum", 8.0.into()),
        ("/steps/gestures/model_busy_seconds", 2.0.into()),
        ("/steps/gestures/abandoned_calls", 1.into()),
        ("/steps/gestures/refused_states", 1.into()),
        ("/steps/gestures/versions/1/resident_bytes", 200.into()),
        ("/steps/gestures/versions/1/loads", 2.into()),
        ("/steps/gestures/versions/1/load_failures", 1.into()),
        ("/steps/gestures/versions/1/unloads/evicted", 1.into()),
        ("/steps/gestures/breaker", "half-open".into()),
        ("/steps/gestures/scaling/busy_ratio", 0.5.into()),
        ("/steps/gestures/scaling/desired", 2.into()),
        ("/steps/gestures/scaling/manual_override", true.into()),
        ("/shards/scaling/wanted", 3.into()),
        ("/shards/scaling/desired", 4.into()),
        ("/shards/streams", 11.into()),
        ("/shards/buffered_samples", 110.into()),
        ("/shards/moved_streams", 2.into()),
        ("/shards/moved_stream_pause_seconds/count", 2.into()),
        ("/load/arrival_records_per_second", 120.0.into()),
        ("/load/served_records_per_second", 110.0.into()),
        ("/load/desired_replicas", 1.5.into()),
        ("/results/dead_letters/ingest/missing-key", 1.into()),
        ("/results/delivery_failures", 1.into()),
        ("/results/undeliverable_records/results", 1.into()),
        ("/results/abandoned_bundles", 1.into()),
        ("/results/closed_bundles/emitted", 9.into()),
        ("/mailboxes/ingest/blocked_seconds", 1.0.into()),
        ("/actors/ingest/state", "running".into()),
        ("/actors/ingest/restarts", 1.into()),
        ("/actors/ingest/panics", 1.into()),
        ("/conditions/0/work", "read".into()),
        ("/conditions/0/remedy", "create it".into()),
    ];
    for (place, value) in expected {
        assert_eq!(shown.pointer(place), Some(&value), "{place} in {shown:#}");
    }
}

/// The names of the fields of an object.
fn fields(value: serde_json::Result<Value>) -> BTreeSet<String> {
    value.expect("JSON").as_object().expect("an object").keys().cloned().collect()
}

#[test]
fn status_page_describes_every_field_and_no_other() {
    let page = include_str!("../../docs/status.md");
    let (_, rest) = page.split_once("```json\n").expect("an example");
    let (example, _) = rest.split_once("```").expect("its end");
    let example: Value = serde_json::from_str(example).expect("JSON");
    let document: StatusDocument = serde_json::from_value(example.clone()).expect("a status");
    assert_eq!(to_value(&document).expect("JSON"), example, "the example has all fields and no other");

    let sections = [
        ("The document", fields(to_value(StatusDocument::default()))),
        ("`conditions`", fields(to_value(ConditionStatus::default()))),
        ("`progress`", fields(to_value(RunProgress::default()))),
        ("`partitions`", fields(to_value(AssignedPartitions::default()))),
        ("`memory`", fields(to_value(MemoryStatus::default()))),
        ("`load`", fields(to_value(LoadStatus::default()))),
        ("`inputs`", fields(to_value(InputStatus::default()))),
        ("`inputs.partitions`", fields(to_value(PartitionStatus::default()))),
        ("`shards`", fields(to_value(ShardStatus::default()))),
        ("`steps`", fields(to_value(StepStatus::default()))),
        ("`steps.loading`", fields(to_value(InstanceLoading::default()))),
        ("`steps.versions`", fields(to_value(ModelStatus::default()))),
        ("`steps.batches`", fields(to_value(BatchStatus::default()))),
        ("`scaling`", fields(to_value(StageScaling::default()))),
        ("`scaling.last_decision`", fields(to_value(ScalingDecision::default()))),
        ("`results`", fields(to_value(ResultStatus::default()))),
        ("`actors`", fields(to_value(ActorStatus::default()))),
        ("`mailboxes`", fields(to_value(MailboxStatus::default()))),
        ("Histograms", fields(to_value(HistogramSnapshot::default()))),
        ("`buckets`", fields(to_value(Bucket::default()))),
    ];
    for (title, expected) in sections {
        let (_, section) = page.split_once(&format!("# {title}\n")).expect(title);
        let section = section.split_once("\n#").map_or(section, |(section, _)| section);
        let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
        let described: BTreeSet<String> = rows.map(|(name, _)| name.to_owned()).collect();
        assert_eq!(described, expected, "{title}");
    }
}
