//! Records that are delivered twice: their ids are found among the held samples. A number from a million on is an id.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::testing::{Rig, quick};
use super::*;
use crate::budget::Budget;
use crate::media::Media;
use crate::position::{InputId, Position};
use crate::sample::{Header, Record, Sample};
use crate::testing::ms;
use crate::time::Timestamp;

const ID: u32 = 1_000_000;

fn rig(method: Method, join: Join) -> Rig {
    let mut policy = quick(method, [Join::Pivot, join]);
    for input in &mut policy.inputs {
        input.out_of_orderness = ms(50);
        input.clock.epoch_after = Some(ms(10_000));
    }
    Rig::new(policy)
}

#[test]
fn a_repeated_record_is_a_duplicate_with_every_method() {
    let pivot = Method::Pivot(InputId(0));
    let window = Join::Window { before: ms(100), after: ms(100) };
    let nearest = |reuse| Join::Nearest { tolerance: ms(100), reuse };
    let latest = Join::Latest { max_age: ms(100) };
    let between = Join::AllBetweenPivots { max_age: ms(100) };
    let approximate = Method::ApproximateTime(ApproximateTime::default());
    for (method, join) in [
        (pivot.clone(), window),
        (pivot.clone(), nearest(true)),
        (pivot.clone(), nearest(false)),
        (pivot.clone(), latest),
        (pivot, between),
        (Method::Exact, Join::Pivot),
        (approximate, Join::Pivot),
        (Method::Tumbling { size: ms(1_000) }, Join::Pivot),
        (Method::Session { gap: ms(1_000), max: ms(2_000) }, Join::Pivot),
    ] {
        let mut rig = rig(method, join);
        assert_eq!(rig.push_as(1, 100, 0, ID, 0), "");
        assert_eq!(rig.push_as(1, 110, 0, ID + 1, 0), "");
        assert_eq!(rig.push_as(1, 100, 0, ID, 0), format!("duplicate {ID}"));
        assert_eq!(rig.aligner.buffered(), 2);
    }
}

#[test]
fn records_of_one_time_with_different_ids_are_both_kept() {
    let window = Join::Window { before: ms(100), after: Duration::ZERO };
    let mut rig = rig(Method::Pivot(InputId(0)), window);
    for id in [1, 2, 2, ID, ID + 1, ID, 1] {
        rig.push_as(1, 100, 0, id, 0);
    }
    let emitted = rig.push_as(0, 150, 0, 9, 0);
    assert_eq!(emitted, "");
    let emitted = rig.finish(0);
    assert!(emitted.starts_with(&format!("150:[9][1, 2, 2, {ID}, {}, 1]", ID + 1)), "{emitted}");
}

#[test]
fn a_repeated_record_is_a_duplicate_not_late_while_held() {
    let window = Join::Window { before: ms(100), after: Duration::ZERO };
    let mut rig = rig(Method::Pivot(InputId(0)), window);
    rig.push_as(1, 0, 400, ID, 0);
    rig.push_as(1, 10, 0, ID + 1, 0);
    rig.push_as(0, 300, 0, ID + 2, 0);
    assert_eq!(rig.push_as(1, 10, 0, ID + 1, 0), format!("duplicate {}", ID + 1));
    assert_eq!(rig.push_as(1, 10, 0, ID + 3, 0), format!("late {} by 140000000", ID + 3));
}

#[test]
fn one_absurd_record_three_times_is_no_clock_step() {
    let mut rig = rig(Method::Exact, Join::Pivot);
    rig.push(0, 1_000, 0);
    assert_eq!(rig.push_as(0, 900_000, 0, ID, 0), "");
    for _ in 0..3 {
        assert_eq!(rig.push_as(0, 900_000, 0, ID, 0), format!("duplicate {ID}"));
    }
    assert_eq!(rig.push(0, 1_040, 0), format!("outliers {ID}"));
}

fn sample(headers: &[(&'static str, &'static str)]) -> Arc<Sample> {
    let record = Record {
        position: Position::new(InputId(0), 0, 1),
        key: None,
        payload: Bytes::from_static(b"frame"),
        headers: headers.iter().map(|(name, value)| Header::new(*name, *value)).collect(),
        timestamp: None,
        polled_at: Timestamp::MIN,
        read_at: Timestamp::MIN,
    };
    let reservation = Budget::new(1_000).reserve(record.weight());
    Arc::new(Sample {
        record,
        stream: "s".into(),
        event_time: Timestamp::MIN,
        duration: Duration::ZERO,
        media: Media::Binary,
        reservation,
        same_time: Default::default(),
        assignment: 0,
        damage: Default::default(),
    })
}

#[test]
fn a_record_repeats_by_source_and_id_and_weighs_its_budget() {
    let plain = sample(&[]);
    let one = sample(&[("ce_id", "7")]);
    let other = sample(&[("ce_id", "7"), ("ce_source", "/camera")]);
    assert!(one.repeats(&sample(&[("ce_id", "7"), ("more", "x")])));
    assert!(other.repeats(&sample(&[("ce_source", "/camera"), ("ce_id", "7")])));
    for (first, second) in
        [(&plain, &sample(&[])), (&one, &plain), (&one, &other), (&one, &sample(&[("ce_id", "8")]))]
    {
        assert!(!first.repeats(second) && !second.repeats(first));
    }
    assert_eq!(one.weight(), one.record.weight() as u64);
}

#[test]
fn a_used_up_record_that_repeats_is_a_duplicate_for_a_while() {
    let nearest = Join::Nearest { tolerance: ms(100), reuse: false };
    let mut rig = rig(Method::Pivot(InputId(0)), nearest);
    rig.push_as(0, 80, 0, 1, 0);
    rig.push_as(1, 100, 0, ID, 0);
    rig.push_as(1, 150, 0, ID + 1, 0);
    assert_eq!(rig.push_as(0, 130, 0, 2, 0), format!("80:[1][{ID}] 1x1 {ID}x1"), "it is gone");
    assert_eq!(
        rig.push_as(1, 100, 0, ID, 0),
        format!("duplicate {ID}"),
        "the pivot to come might have it again"
    );
    assert_eq!(rig.push_as(1, 100, 0, ID + 9, 0), "", "another of that time");
    assert_eq!(rig.push_as(1, 101, 0, ID, 0), "", "another time");
    assert_eq!(rig.aligner.buffered(), 4);
}

#[test]
fn a_used_up_record_that_repeats_late_is_a_duplicate_too() {
    let nearest = Join::Nearest { tolerance: ms(100), reuse: false };
    let mut rig = rig(Method::Pivot(InputId(0)), nearest);
    rig.push_as(0, 80, 0, 1, 0);
    rig.push_as(1, 100, 0, ID, 0);
    rig.push_as(1, 260, 0, 5, 0);
    let emitted = rig.push_as(0, 400, 0, 2, 0);
    assert!(emitted.starts_with(&format!("80:[1][{ID}] 1x1 {ID}x1")), "{emitted}");
    assert_eq!(rig.push_as(1, 100, 0, ID, 0), format!("duplicate {ID}"));
    let emitted = rig.push_as(1, 100, 0, ID + 1, 0);
    assert!(emitted.starts_with(&format!("late {}", ID + 1)), "{emitted}");
}

#[test]
fn the_fingerprint_of_a_record_is_that_of_its_source_and_id() {
    let one = sample(&[("ce_id", "7")]);
    let other = sample(&[("ce_id", "7"), ("ce_source", "/camera")]);
    assert_eq!(sample(&[]).fingerprint(), None);
    assert!(one.fingerprint().is_some());
    assert_eq!(one.fingerprint(), sample(&[("ce_id", "7"), ("more", "x")]).fingerprint());
    assert_ne!(one.fingerprint(), other.fingerprint());
    assert_ne!(one.fingerprint(), sample(&[("ce_id", "8")]).fingerprint());
}

#[test]
fn an_empty_id_makes_no_duplicates() {
    let empty = sample(&[("ce_id", ""), ("ce_source", "/camera")]);
    assert!(!empty.repeats(&empty));
    assert_eq!(empty.fingerprint(), None);
}
