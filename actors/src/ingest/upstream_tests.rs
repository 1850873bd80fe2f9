use lockstep_engine::ingest::OnDrift;
use lockstep_engine::media::{Media, Modality};
use lockstep_engine::position::{InputId, NextOffset};

use super::*;

fn input(name: &str) -> InputSpec {
    InputSpec {
        name: name.into(),
        topic: format!("t.{name}"),
        modality: Modality::Binary,
        default_media: Media::Binary,
        max_bytes: 1 << 20,
        max_past: Duration::MAX,
        max_future: Duration::MAX,
        clock_offset: 0,
        drift: OnDrift::Ignore,
        on_data_loss: Default::default(),
        shed: None,
        pictures: Default::default(),
        same_time: Default::default(),
    }
}

fn upstream() -> (Upstream, Arc<Status>) {
    let status = Arc::new(Status::default());
    (Upstream::new([input("cam"), input("sensor")].into(), status.clone()), status)
}

fn of(input: u16, partition: i32) -> PartitionId {
    PartitionId { input: InputId(input), partition }
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

#[test]
fn upstream_refuses_inputs_with_different_partition_counts() {
    let (mut upstream, _) = upstream();
    assert_eq!(upstream.partitions(vec![4, 4]), Ok(()));
    assert_eq!(upstream.partitions(vec![8, 8]), Ok(()), "both have grown");
    let PipelineFailure::Final(why) = upstream.partitions(vec![12, 8]).expect_err("one has") else {
        panic!("a new pipeline cannot help")
    };
    assert!(why.contains("t.cam has 12, t.sensor has 8") && why.contains("--partitions 12"), "{why}");
}

#[test]
fn upstream_waits_for_partner_partitions_and_then_refuses() {
    let (mut upstream, _) = upstream();
    let whole = [of(0, 0), of(0, 1), of(1, 0), of(1, 1)];
    assert_eq!(upstream.check(whole.into_iter(), at(0)), Ok(()));
    assert!(!upstream.is_apart());
    assert_eq!(upstream.check([of(0, 1), of(1, 0), of(1, 1)].into_iter(), at(100)), Ok(()));
    assert!(upstream.is_apart());
    assert_eq!(upstream.check(whole.into_iter(), at(900)), Ok(()), "its partner has come");
    assert!(!upstream.is_apart());
    assert_eq!(upstream.check([of(0, 0)].into_iter(), at(1_000)), Ok(()));
    let PipelineFailure::Final(why) =
        upstream.check([of(0, 0)].into_iter(), at(2_000)).expect_err("it does not come")
    else {
        panic!("a new pipeline cannot help")
    };
    assert!(why.contains("(cam 0)") && why.contains("kafka.group"), "{why}");
}

#[test]
fn upstream_reports_an_open_transaction_until_its_end() {
    let (mut upstream, status) = upstream();
    let held = PartitionEnd { lag: 0, stable: NextOffset(26), high: NextOffset(140) };
    for second in 0..=10 {
        assert_eq!(status.upstream(), BTreeMap::new());
        upstream.end(of(0, 3), &held, at(second * 1_000));
        assert_eq!(upstream.check(std::iter::empty(), at(second * 1_000)), Ok(()));
    }
    let report = status.upstream().get("open_transactions").cloned().expect("a report");
    assert!(report.contains("partition 3 of input cam can be read up to offset 26 only"), "{report}");
    upstream.revoke(of(0, 3));
    assert_eq!(upstream.check(std::iter::empty(), at(11_000)), Ok(()));
    assert_eq!(status.upstream(), BTreeMap::new());
}
