//! Inputs that are idle because others are ahead in event time. Times are milliseconds; no wall time passes.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::testing::Rig;
use super::*;
use crate::position::InputId;
use crate::testing::ms;

/// Two inputs, of which the second is idle when it is more than 200 behind.
fn policy(method: Method, join: Join) -> AlignPolicy {
    let input = |join, behind: Option<u64>| InputPolicy {
        idle_timeout: ms(50_000),
        clock: ClockPolicy { idle_behind: behind.map(ms), ..ClockPolicy::default() },
        ..InputPolicy::new("an input", join)
    };
    AlignPolicy {
        max_wait: ms(50_000),
        forget_after: ms(100_000),
        ..AlignPolicy::new(method, vec![input(Join::Pivot, None), input(join, Some(200))])
    }
}

fn pivot(join: Join) -> AlignPolicy {
    policy(Method::Pivot(InputId(0)), join)
}

fn all() -> Vec<AlignPolicy> {
    let join = Join::Window { before: ms(5), after: ms(5) };
    let mut all = vec![
        pivot(join),
        pivot(Join::Nearest { tolerance: ms(5), reuse: true }),
        pivot(Join::Latest { max_age: ms(5) }),
        pivot(Join::AllBetweenPivots { max_age: ms(5) }),
    ];
    let methods =
        [Method::Exact, Method::Tumbling { size: ms(10) }, Method::Session { gap: ms(5), max: ms(1_000) }];
    all.extend(methods.into_iter().map(|method| policy(method, Join::Pivot)));
    all
}

/// The times of the emitted bundles, each with true if it says that the second input was idle.
fn emitted(rig: &mut Rig) -> Vec<(i64, bool)> {
    let emitted = rig.out.iter().filter_map(|event| match event {
        Event::Bundle(bundle) => {
            let idle = bundle.incomplete.iter().any(|it| it.input == InputId(1) && it.lack == Lack::Idle);
            Some((bundle.event_time.as_millis(), idle))
        }
        _ => None,
    });
    let emitted = emitted.collect();
    rig.out.clear();
    emitted
}

#[test]
fn an_input_too_far_behind_another_is_idle_until_it_brings_more() {
    for policy in all() {
        let mut rig = Rig::new(policy.clone());
        rig.give(1, 1_000, 0, 1, 0);
        for time in [1_000, 1_100, 1_200] {
            rig.give(0, time, 0, 2, 0);
        }
        rig.out.clear();
        rig.give(0, 1_210, 0, 3, 0);
        let emitted_of = emitted(&mut rig);
        assert!(emitted_of.contains(&(1_100, true)), "{:?}: {emitted_of:?}", policy.method);
        rig.give(1, 1_190, 0, 4, 0);
        emitted(&mut rig);
        rig.give(0, 1_300, 0, 5, 0);
        assert_eq!(emitted(&mut rig), [], "{:?}: it is waited for again", policy.method);
    }
}

#[test]
fn an_input_without_samples_is_behind_the_streams_first() {
    for policy in all() {
        let mut rig = Rig::new(policy.clone());
        for time in [1_000, 1_050, 1_150] {
            rig.give(0, time, 0, 1, 0);
        }
        assert_eq!(emitted(&mut rig), [], "{:?}", policy.method);
        rig.give(0, 1_201, 0, 2, 0);
        assert!(emitted(&mut rig).contains(&(1_000, true)), "{:?}", policy.method);
    }
}

#[test]
fn without_idle_behind_others_may_be_ahead_by_any_time() {
    for mut policy in all() {
        policy.inputs[1].clock.idle_behind = None;
        let mut rig = Rig::new(policy);
        for time in [1_000, 2_000, 9_000, 90_000] {
            rig.give(0, time, 0, 1, 0);
        }
        assert_eq!(emitted(&mut rig), []);
    }
}

proptest! {
    /// With nothing out of order only the other input can keep a pivot waiting.
    #[test]
    fn pivots_never_wait_for_an_input_behind_and_close_once(
        which in 0..4_usize,
        given in prop::collection::vec((any::<bool>(), 0..120_i64), 1..60),
    ) {
        let mut rig = Rig::new(all().swap_remove(which));
        let (mut times, mut latest, mut first) = ([1_000, 1_000], [None, None], None);
        let (mut pivots, mut bundles) = (BTreeSet::new(), Vec::new());
        for (second, step) in given {
            let input = usize::from(second);
            times[input] += step;
            latest[input] = Some(times[input]);
            first.get_or_insert(times[input]);
            if !second {
                pivots.insert(times[input]);
            }
            rig.give(u16::from(second), times[input], 0, 1, 0);
            bundles.extend(emitted(&mut rig).into_iter().map(|(time, _)| time));
            prop_assert!(bundles.is_sorted_by(|a, b| a < b), "{:?}", bundles);
            let reached = latest[1].max(first).unwrap_or_default();
            if latest[0].is_some_and(|ahead| ahead > reached + 200) {
                prop_assert_eq!(&bundles, &pivots.iter().copied().collect::<Vec<_>>());
            }
        }
    }
}
