//! Deadlines make progress: a caller that ticks at each deadline never ticks without end, and at last all bundles are
//! emitted and all streams forgotten. With clocks that step, and timers of all lengths.

use std::sync::Arc;
use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::position::InputId;
use crate::sample::StreamKey;
use crate::time::Timestamp;

/// A sample of an input, with the time since the one before, and a shift of the wall time.
#[derive(Clone, Copy, Debug)]
struct Push {
    input: usize,
    pause: i64,
    off: i64,
    lasts: u64,
}

fn span(range: std::ops::Range<u64>) -> impl Strategy<Value = Duration> {
    range.prop_map(Duration::from_nanos)
}

fn inputs() -> impl Strategy<Value = Vec<InputPolicy>> {
    let join = prop_oneof![
        (span(0..20), span(0..20)).prop_map(|(before, after)| Join::Window { before, after }),
        (span(0..20), any::<bool>()).prop_map(|(tolerance, reuse)| Join::Nearest { tolerance, reuse }),
        span(0..20).prop_map(|max_age| Join::AllBetweenPivots { max_age }),
        span(0..20).prop_map(|max_age| Join::Latest { max_age }),
    ];
    let missing = prop_oneof![
        Just(Missing::Emit),
        Just(Missing::Drop),
        span(0..20).prop_map(|max_age| Missing::Hold { max_age }),
    ];
    let clock = (option::weighted(0.8, span(30..60)), option::weighted(0.3, span(1..60)));
    let input = (join, missing, span(0..10), span(1..60), clock).prop_map(
        |(join, missing, out_of_orderness, idle_timeout, (epoch_after, idle_behind))| InputPolicy {
            out_of_orderness,
            idle_timeout,
            missing,
            clock: ClockPolicy { epoch_after, idle_behind, ..ClockPolicy::default() },
            ..InputPolicy::new("an input", join)
        },
    );
    vec(input, 1..4)
}

fn policies() -> impl Strategy<Value = AlignPolicy> {
    let method = prop_oneof![
        4 => Just(Method::Pivot(InputId(0))),
        1 => Just(Method::Exact),
        1 => Just(Method::ApproximateTime(ApproximateTime::default())),
        1 => span(1..30).prop_map(|size| Method::Tumbling { size }),
        1 => (span(1..30), span(30..60)).prop_map(|(gap, max)| Method::Session { gap, max }),
    ];
    let revise = prop_oneof![
        2 => Just(Revise::default()),
        1 => (span(0..20), any::<bool>()).prop_map(|(allowed_lateness, early)| Revise { allowed_lateness, early }),
    ];
    (method, inputs(), span(1..200), span(1..200), revise).prop_map(
        |(method, mut inputs, max_wait, forget_after, revise)| {
            if let Method::Pivot(_) = method {
                inputs[0].join = Join::Pivot;
            }
            AlignPolicy { max_wait, forget_after, revise, ..AlignPolicy::new(method, inputs) }
        },
    )
}

fn pushes() -> impl Strategy<Value = Vec<Push>> {
    let off = prop_oneof![6 => -10..10_i64, 1 => -1_000..1_000_i64, 1 => Just(-500_i64)];
    let pause = prop_oneof![6 => 0..15_i64, 1 => 0..400_i64];
    let push = (0..3_usize, pause, off, 0..15_u64).prop_map(|(input, pause, off, lasts)| Push {
        input,
        pause,
        off,
        lasts,
    });
    vec(push, 1..40)
}

/// Ticks whenever the aligner asks for it, up to `until`.
///
/// A deadline may be early, where the bundle has to wait for another input then: a few times for each
/// input and open bundle. Without progress the caller would tick once a nanosecond, far more often.
fn run_until(aligner: &mut Aligner<usize>, until: i64, now: &mut i64) -> Result<(), TestCaseError> {
    let mut out = Vec::new();
    let mut idle = 0;
    while let Some(due) = aligner.next_deadline().map(Timestamp::as_nanos).filter(|due| *due <= until) {
        let ticked_before = idle > 0;
        prop_assert!(!ticked_before || due > *now, "asked for {} again at {}", due, now);
        *now = due.max(*now);
        let before = (aligner.streams(), aligner.buffered());
        aligner.tick(Timestamp::from_nanos(*now), &mut out);
        let happened = !out.is_empty() || before != (aligner.streams(), aligner.buffered());
        out.clear();
        idle = if happened { 0 } else { idle + 1 };
        let inputs = aligner.policy().inputs.len();
        prop_assert!(idle <= 2 * inputs + before.1 + 12, "ticked {} times for nothing by {}", idle, now);
    }
    *now = until.max(*now);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn deadlines_make_progress_until_all_is_emitted_and_forgotten(
        policy in policies(),
        pushes in pushes(),
    ) {
        let inputs = policy.inputs.len();
        let mut aligner = Aligner::new(Arc::new(policy));
        let (mut now, mut out) = (10_000, Vec::new());
        for (number, push) in pushes.iter().enumerate() {
            let then = now + push.pause;
            run_until(&mut aligner, then, &mut now)?;
            let stamp = Stamp::new(Timestamp::from_nanos(now + push.off), Duration::from_nanos(push.lasts));
            let input = InputId(u16::try_from(push.input % inputs).expect("few"));
            aligner.push(&StreamKey::from("s"), input, stamp, number, Timestamp::from_nanos(now), &mut out);
            out.clear();
        }
        run_until(&mut aligner, now + 1_000_000, &mut now)?;
        prop_assert_eq!((aligner.streams(), aligner.buffered(), aligner.next_deadline()), (0, 0, None));
    }
}
