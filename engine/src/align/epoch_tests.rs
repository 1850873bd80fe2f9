//! Clock steps and outliers: new epochs, and samples put aside. Times are milliseconds; a sample is a number.

use std::time::Duration;

use proptest::prelude::*;

use super::testing::Rig;
use super::*;
use crate::position::InputId;
use crate::time::Timestamp;

/// Video every 40 ms is the pivot; sound is the nearest within 20 ms. A step is more than a second.
fn policy() -> AlignPolicy {
    let input = |name: &str, join| InputPolicy {
        idle_timeout: Duration::from_secs(60),
        clock: ClockPolicy { epoch_after: Some(Duration::from_secs(1)), ..ClockPolicy::default() },
        ..InputPolicy::new(name, join)
    };
    AlignPolicy::new(
        Method::Pivot(InputId(0)),
        vec![
            input("video", Join::Pivot),
            input("sound", Join::Nearest { tolerance: Duration::from_millis(20), reuse: true }),
        ],
    )
}

fn only_video() -> AlignPolicy {
    let mut policy = policy();
    policy.inputs.truncate(1);
    policy
}

#[test]
fn one_absurd_event_time_makes_nothing_late() {
    let mut rig = Rig::new(only_video());
    assert_eq!(rig.push(0, 1_000, 0), "1000:[1000] 1000x1");
    assert_eq!(rig.push(0, 900_000, 1), "", "put aside");
    assert_eq!(rig.push(0, 1_040, 2), "outliers 900000 1040:[1040] 1040x1");
    assert_eq!(rig.push(0, 10_000_000, 3), "");
    assert_eq!(rig.push(0, 500_000, 4), "outliers 10000000", "nor do two that disagree make a step");
    assert_eq!(rig.push(0, 1_080, 5), "outliers 500000 1080:[1080] 1080x1");
}

#[test]
fn a_clock_set_back_begins_an_epoch_without_late_samples() {
    let mut rig = Rig::new(policy());
    rig.push(0, 100_000, 0);
    rig.push(1, 99_995, 0);
    assert_eq!(rig.push(0, 40, 1), "");
    assert_eq!(rig.push(0, 80, 2), "");
    let emitted = rig.push(0, 120, 3);
    assert_eq!(emitted, "epoch 100000 to 40 of 0 100000:[100000][99995] 100000x1 99995x1");
    assert_eq!(rig.push(1, 50, 4), "40:[40][50] 40x1 50x1", "the other input goes by its own clock");
}

#[test]
fn the_first_bundle_of_an_epoch_is_a_first() {
    let mut rig = Rig::new(only_video());
    rig.push(0, 1_000, 0);
    rig.push(0, 90_000, 1);
    rig.push(0, 90_040, 2);
    rig.give(0, 90_080, 0, 3, 3);
    let firsts: Vec<bool> = rig
        .out
        .iter()
        .filter_map(|event| if let Event::Bundle(bundle) = event { Some(bundle.first) } else { None })
        .collect();
    assert_eq!(firsts, [true, false, false]);
}

#[test]
fn a_single_outlier_is_believed_after_max_wait_without_others() {
    let mut rig = Rig::new(only_video());
    rig.push(0, 1_000, 0);
    assert_eq!(rig.push(0, 700_000, 10), "");
    assert_eq!(rig.due(), Some(5_010));
    assert_eq!(rig.tick(5_009), "");
    assert_eq!(rig.tick(5_010), "epoch 1000 to 700000 of 0 700000:[700000] 700000x1");
}

#[test]
fn a_sparse_input_goes_on_where_the_others_stand() {
    let mut rig = Rig::new(policy());
    rig.push(0, 1_000, 0);
    rig.push(1, 1_010, 0);
    for time in 2..=90 {
        rig.push(0, time * 900, 0);
    }
    let emitted = rig.push(1, 81_010, 0);
    assert!(!emitted.contains("epoch") && emitted.contains("81000:[81000][81010]"), "{emitted}");
}

#[test]
fn a_clock_that_ran_on_during_a_silence_has_not_stepped() {
    let mut rig = Rig::new(only_video());
    rig.push(0, 1_000, 0);
    assert_eq!(rig.push(0, 601_500, 600_000), "601500:[601500] 601500x1");
    assert_eq!(rig.push(0, 1_500, 600_000), "", "but it does not run back");
}

#[test]
fn samples_put_aside_are_not_lost_at_the_end() {
    let mut rig = Rig::new(only_video());
    rig.push(0, 1_000, 0);
    rig.push(0, 700_000, 1);
    assert_eq!(rig.aligner.buffered(), 1);
    assert_eq!(rig.finish(2), "epoch 1000 to 700000 of 0 700000:[700000] 700000x1");
    assert_eq!(rig.aligner.buffered(), 0);
}

proptest! {
    #[test]
    fn every_sample_ends_once_for_any_clock_steps(
        samples in prop::collection::vec((0u16..2, prop_oneof![0i64..500, 5_000i64..5_500, 90_000i64..90_200]), 1..80),
        ticks in 0i64..4,
    ) {
        let mut rig = Rig::new(policy());
        let mut ended = Vec::new();
        let mut now = 0;
        for (number, (input, time)) in samples.iter().enumerate() {
            rig.give(*input, *time, 0, u32::try_from(number).expect("few"), now);
            if ticks > 0 && number % 7 == 0 {
                now += ticks * 2_000;
                rig.aligner.tick(Timestamp::from_millis(now), &mut rig.out);
            }
        }
        rig.aligner.finish(Timestamp::from_millis(now + 1), &mut rig.out);
        prop_assert_eq!(rig.aligner.buffered(), 0);
        for event in rig.out.drain(..) {
            match event {
                Event::Late { item, .. }
                | Event::Duplicate(item)
                | Event::Evicted { item, .. }
                | Event::TimestampOutlier(item)
                | Event::Released { item, .. } => ended.push(item),
                Event::Bundle(_) | Event::Dropped { .. } | Event::DeadLetter { .. } | Event::Epoch { .. } => {}
            }
        }
        ended.sort_unstable();
        let all: Vec<u32> = (0..u32::try_from(samples.len()).expect("few")).collect();
        prop_assert_eq!(ended, all);
    }
}
