//! The promises of spans and sessions, by hand; times in milliseconds.

use std::time::Duration;

use crate::align::testing::Rig;
use crate::align::{AlignPolicy, Bundle, Event, InputPolicy, Join, Method, Missing, Stamp};
use crate::position::InputId;
use crate::testing::ms;
use crate::time::Timestamp;

/// Inputs in order, idle after 2 s, waiting 500 ms.
fn policy(method: Method, inputs: usize) -> AlignPolicy {
    let input = InputPolicy::new("an input", Join::Pivot);
    AlignPolicy {
        max_wait: ms(500),
        forget_after: ms(10_000),
        ..AlignPolicy::new(method, vec![input; inputs])
    }
}

fn tumbling(inputs: usize) -> Rig {
    Rig::new(policy(Method::Tumbling { size: ms(100) }, inputs))
}

fn session(inputs: usize) -> Rig {
    Rig::new(policy(Method::Session { gap: ms(20), max: ms(100) }, inputs))
}

fn bundles(out: &[Event<u32>]) -> Vec<&Bundle<u32>> {
    out.iter()
        .filter_map(|event| match event {
            Event::Bundle(bundle) => Some(&**bundle),
            _ => None,
        })
        .collect()
}

#[test]
fn a_span_closes_at_its_end_with_all_samples_in_it() {
    let mut rig = tumbling(2);
    assert_eq!(rig.push(0, 100, 0), "");
    assert_eq!(rig.push(1, 130, 0), "");
    assert_eq!(rig.push(0, 199, 0), "");
    assert_eq!(rig.push(0, 200, 0), "");
    assert_eq!(rig.push(1, 199, 0), "");
    assert_eq!(rig.push(1, 230, 0), "100:[100, 199][130, 199] 100x1 199x1 130x1 199x1");
}

#[test]
fn spans_count_from_the_epoch_and_empty_ones_make_no_bundle() {
    let mut rig = tumbling(1);
    rig.push_as(0, -1, 0, 1, 0);
    assert_eq!(rig.push_as(0, 0, 0, 2, 0), "-100:[1] 1x1");
    assert_eq!(rig.push_as(0, 1_000_000, 0, 3, 0), "0:[2] 2x1");
    assert_eq!(rig.finish(0), "1000000:[3] 3x1");
}

#[test]
fn a_part_has_its_span_and_a_bundle_its_first_arrival() {
    let mut rig = tumbling(2);
    rig.push(0, 150, 40);
    rig.push(0, 110, 50);
    rig.push(0, 200, 60);
    rig.give(1, 270, 0, 0, 70);
    let found = bundles(&rig.out);
    let [bundle] = found.as_slice() else { panic!("{found:?}") };
    let times = [bundle.opened_at, bundle.closed_at, bundle.parts[0].from, bundle.parts[1].to];
    assert_eq!(times.map(Timestamp::as_millis), [40, 70, 100, 200]);
    assert_eq!((bundle.parts[0].skew_ns, bundle.parts[1].skew_ns), (Some(0), None));
    assert!(bundle.first && !bundle.is_complete());
}

#[test]
fn a_sample_that_lasts_is_in_every_span_that_it_overlaps() {
    let mut rig = tumbling(1);
    rig.give(0, 150, 160, 1, 0);
    rig.give(0, 400, 20, 2, 0);
    let shares: Vec<_> = bundles(&rig.out).iter().map(|bundle| bundle.parts[0].coverage).collect();
    assert_eq!(shares, [Some(0.5), Some(1.0), Some(0.1)]);
    assert_eq!(rig.emitted(), "100:[1] 200:[1] 300:[1] 1x3");
}

#[test]
fn a_span_that_sound_covers_to_its_end_closes_at_once() {
    let mut rig = tumbling(1);
    assert_eq!(rig.push_as(0, 100, 60, 1, 0), "");
    assert_eq!(rig.push_as(0, 160, 60, 2, 0), "100:[1, 2] 1x1");
    assert_eq!(rig.push_as(0, 250, 50, 3, 0), "200:[2, 3] 2x2 3x1", "a gap before the watermark stays a gap");
}

#[test]
fn no_span_closes_before_an_earlier_one_that_may_still_grow() {
    let mut policy = policy(Method::Tumbling { size: ms(100) }, 1);
    policy.inputs[0].out_of_orderness = ms(50);
    let mut rig = Rig::new(policy);
    assert_eq!(rig.push_as(0, 200, 100, 1, 0), "", "150 may still come");
    assert_eq!(rig.push_as(0, 150, 10, 2, 0), "");
    assert_eq!(rig.push_as(0, 300, 100, 3, 0), "100:[2] 2x1 200:[1] 1x1 300:[3] 3x1");
}

#[test]
fn a_span_does_not_wait_for_an_idle_input() {
    let mut rig = tumbling(2);
    rig.push(0, 100, 0);
    rig.push(0, 200, 1_900);
    assert_eq!(rig.tick(1_999), "100:[100][] 100x1", "waited for long enough");
    let mut patient = policy(Method::Tumbling { size: ms(100) }, 2);
    patient.max_wait = ms(60_000);
    let mut rig = Rig::new(patient);
    rig.push(0, 100, 0);
    rig.push(0, 200, 1_900);
    assert_eq!((rig.due(), rig.tick(1_999)), (Some(2_000), String::new()));
    assert_eq!(rig.tick(2_000), "100:[100][] 100x1");
    assert_eq!(rig.tick(3_900), "200:[200][] 200x1");
}

#[test]
fn the_wait_of_a_span_counts_from_its_end() {
    let mut rig = Rig::new(policy(Method::Tumbling { size: ms(60_000) }, 2));
    for time in (10_000..=55_000).step_by(1_000) {
        assert_eq!(rig.push(0, time, time + 30) + &rig.push(1, 1, time + 31) + &rig.tick(time + 31), "");
    }
    for now in (56_000..60_531).step_by(500) {
        assert_eq!(rig.push(1, 1, now) + &rig.tick(now), "");
    }
    assert_eq!(rig.tick(60_529), "");
    assert!(rig.tick(60_530).starts_with("0:[10000, "));
}

#[test]
fn a_span_that_has_waited_long_enough_closes_earlier_ones() {
    let mut patient = policy(Method::Tumbling { size: ms(100) }, 2);
    patient.inputs.iter_mut().for_each(|input| input.idle_timeout = ms(60_000));
    let mut rig = Rig::new(patient);
    rig.push(0, 250, 0);
    rig.push(1, 110, 1_000);
    assert_eq!(rig.due(), Some(550));
    assert_eq!(rig.tick(1_000), "100:[][110] 110x1 200:[250][] 250x1");
}

#[test]
fn only_samples_wholly_before_the_last_closed_end_are_late() {
    let mut rig = tumbling(1);
    rig.push(0, 100, 0);
    rig.push(0, 230, 0);
    assert_eq!(rig.push(0, 199, 0), "late 199 by 1000000");
    assert_eq!(rig.push_as(0, 150, 50, 1, 0), "late 1 by 1");
    assert_eq!(rig.push_as(0, 150, 51, 2, 0), "");
    assert_eq!(rig.push(0, 200, 0), "", "behind the watermark, but not late");
    assert_eq!(rig.push(0, 300, 0), "200:[2, 200, 230] 2x1 200x1 230x1");
}

#[test]
fn spans_follow_the_policy_for_missing_samples() {
    let mut strict = policy(Method::Tumbling { size: ms(100) }, 2);
    strict.inputs[0].missing = Missing::DeadLetter;
    strict.inputs[1].missing = Missing::Drop;
    let mut rig = Rig::new(strict);
    rig.push(0, 100, 0);
    rig.push(1, 200, 0);
    assert_eq!(rig.push(0, 300, 0), "dropped 100:[100][] by 1 100x1");
    assert_eq!(rig.finish(0), "dead 200:[][200] by 0 200x1 dropped 300:[300][] by 1 300x1");
}

#[test]
fn a_session_ends_with_a_silence_longer_than_the_gap() {
    let mut rig = Rig::new(policy(Method::Session { gap: ms(20), max: ms(1_000) }, 2));
    rig.push(0, 100, 0);
    rig.push(1, 120, 0);
    rig.push(0, 140, 0);
    rig.push(1, 160, 0);
    assert_eq!(rig.push(0, 180, 0), "");
    assert_eq!(rig.push(1, 202, 0), "", "180 may still come");
    assert_eq!(rig.push(0, 181, 0), "", "it goes on");
    assert_eq!(rig.push(0, 201, 0), "", "up to 202, which joins it to the open session");
    assert_eq!(rig.push(1, 223, 0), "");
    let first = "100:[100, 140, 180, 181, 201][120, 160, 202] ";
    let ends = "100x1 140x1 180x1 181x1 201x1 120x1 160x1 202x1";
    assert_eq!(rig.push(0, 223, 0), format!("{first}{ends}"));
}

#[test]
fn a_late_sample_joins_two_sessions() {
    let mut open = policy(Method::Session { gap: ms(20), max: ms(1_000) }, 1);
    open.inputs[0].out_of_orderness = ms(100);
    let mut rig = Rig::new(open);
    for time in [100, 200, 130, 165] {
        assert_eq!(rig.push(0, time, 0), "");
    }
    assert_eq!(rig.push_as(0, 110, 15, 1, 0), "");
    assert_eq!(rig.push_as(0, 150, 40, 2, 0), "", "with this they are one");
    rig.give(0, 400, 0, 400, 0);
    let found = bundles(&rig.out);
    let part = &found[0].parts[0];
    assert_eq!((found.len(), part.from.as_millis(), part.to.as_nanos()), (1, 100, 200_000_001));
    assert_eq!(rig.emitted(), "100:[100, 1, 130, 2, 165, 200] 100x1 1x1 130x1 2x1 165x1 200x1");
}

#[test]
fn a_long_session_is_cut_and_samples_across_begin_the_next() {
    let mut rig = session(1);
    for time in [10, 30, 50, 70, 90, 109] {
        assert_eq!(rig.push(0, time, 0), "");
    }
    assert_eq!(rig.push(0, 110, 0), "10:[10, 30, 50, 70, 90, 109] 10x1 30x1 50x1 70x1 90x1 109x1");
    assert_eq!(rig.push_as(0, 125, 250, 1, 0), "110:[110, 1] 110x1 210:[1]", "it covers both to the cut");
    rig.give(0, 400, 0, 400, 0);
    let spans =
        bundles(&rig.out).into_iter().map(|b| (b.parts[0].from.as_millis(), b.parts[0].to.as_millis()));
    assert_eq!(spans.collect::<Vec<_>>(), [(310, 375)]);
    assert_eq!(rig.emitted(), "310:[1] 1x3");
}

#[test]
fn a_session_closes_when_inputs_are_idle_without_loss() {
    let mut rig = session(1);
    rig.push(0, 100, 100);
    rig.push(0, 110, 110);
    assert_eq!(rig.tick(630), "");
    assert_eq!(rig.tick(631), "100:[100, 110] 100x1 110x1", "its gap and the longest wait after its end");
    assert_eq!(rig.push(0, 110, 700), "late 110 by 1");
    assert_eq!(rig.push(0, 111, 700), "");
    assert_eq!(rig.tick(2_700), "111:[111] 111x1");
}

#[test]
fn an_endless_sample_is_in_a_limited_number_of_spans() {
    for mut rig in [tumbling(1), session(1)] {
        rig.give(0, 100, 1 << 40, 1, 0);
        rig.aligner.finish(Timestamp::from_millis(0), &mut rig.out);
        assert_eq!(bundles(&rig.out).len(), 10_000);
        assert!(matches!(rig.out.last(), Some(Event::Released { item: 1, used: 10_000 })));
    }
}

#[test]
fn times_at_the_ends_of_the_range_do_no_harm() {
    for method in [
        Method::Tumbling { size: ms(1_000_000_000) },
        Method::Tumbling { size: Duration::MAX },
        Method::Tumbling { size: Duration::ZERO },
        Method::Session { gap: Duration::MAX, max: Duration::MAX },
        Method::Session { gap: Duration::ZERO, max: Duration::ZERO },
    ] {
        let mut rig = Rig::new(policy(method, 2));
        for input in [1, 0, 1, 0] {
            for time in [Timestamp::MIN, Timestamp::from_nanos(0), Timestamp::MAX, Timestamp::MIN] {
                for lasts in [Duration::ZERO, Duration::from_nanos(3), Duration::MAX] {
                    let stamp = Stamp::new(time, lasts);
                    rig.aligner.push(&"s".into(), InputId(input), stamp, 0, Timestamp::MAX, &mut rig.out);
                }
            }
        }
        rig.aligner.tick(Timestamp::MAX, &mut rig.out);
        rig.aligner.finish(Timestamp::MAX, &mut rig.out);
        assert_eq!(rig.out.iter().filter(|event| event.ended().is_some()).count(), 48);
        assert_eq!(rig.aligner.buffered(), 0);
    }
}
