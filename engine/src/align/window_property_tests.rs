//! The closing of a window over samples that last: at the first moment at which no future sample changes it, found by
//! trying them all.

use std::sync::Arc;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::position::InputId;
use crate::sample::StreamKey;
use crate::time::Timestamp;

const LONG: Duration = Duration::from_secs(3_600);
/// The time of the one pivot, and the greatest length of a future sample.
const T: i64 = 30;
const LONGEST: i64 = 26;

/// The beginning and the end of a sample.
type Span = (i64, i64);

fn short(span: i64) -> Duration {
    Duration::from_nanos(span.unsigned_abs())
}

/// The cells of the window `[from, to)` that are covered, gaps within the slack included: no longer than the sample before
/// them, less one. With this few samples every window is tried.
fn covered(samples: &[Span], from: i64, to: i64) -> Vec<i64> {
    let inside: Vec<&Span> = samples.iter().filter(|(time, end)| *time < to && *end > from).collect();
    let is_in = |cell: i64| inside.iter().any(|(time, end)| (*time..*end).contains(&cell));
    let bridges =
        |a: &Span, b: &Span, cell: i64| (a.1..b.0).contains(&cell) && b.0 - a.1 < (a.1 - a.0).min(1_000_001);
    let is_bridged = |cell: i64| inside.iter().any(|a| inside.iter().any(|b| bridges(a, b, cell)));
    (from..to).filter(|cell| is_in(*cell) || is_bridged(*cell)).collect()
}

/// Returns true if no sample that begins at the watermark or later changes the coverage of the window. Sound is one signal:
/// no future sample lies wholly within the covered part.
fn is_settled(samples: &[Span], watermark: i64, from: i64, to: i64) -> bool {
    let now = covered(samples, from, to);
    let all = covered(samples, from - 60, to + 60);
    (watermark.max(from - LONGEST)..to).all(|time| {
        (1..=LONGEST).all(|lasts| {
            let repeats = (time..time + lasts).all(|cell| all.contains(&cell));
            let more: Vec<Span> = samples.iter().copied().chain([(time, time + lasts)]).collect();
            repeats || covered(&more, from, to) == now
        })
    })
}

fn policy(before: i64, after: i64, out_of_orderness: i64) -> AlignPolicy {
    let input = |join, out_of_orderness| InputPolicy {
        out_of_orderness,
        idle_timeout: LONG,
        ..InputPolicy::new("an input", join)
    };
    let window = Join::Window { before: short(before), after: short(after) };
    AlignPolicy {
        max_wait: LONG,
        forget_after: LONG,
        ..AlignPolicy::new(
            Method::Pivot(InputId(0)),
            vec![input(Join::Pivot, Duration::ZERO), input(window, short(out_of_orderness))],
        )
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_window_closes_when_no_future_sample_can_change_it(
        (before, after, out_of_orderness) in (1..14_i64, 0..14_i64, 0..9_i64),
        gaps in vec((-2..9_i64, 3..12_i64), 1..9),
        first in 0..20_i64,
    ) {
        let mut aligner = Aligner::<usize>::new(Arc::new(policy(before, after, out_of_orderness)));
        let (stream, now, mut out) = (StreamKey::from("s"), Timestamp::from_nanos(0), Vec::new());
        let mut push = |aligner: &mut Aligner<usize>, input, (time, end): Span| {
            let stamp = Stamp::new(Timestamp::from_nanos(time), short(end - time));
            aligner.push(&stream, InputId(input), stamp, 0, now, &mut out);
            out.drain(..).any(|event| matches!(event, Event::Bundle(_)))
        };
        let (from, to) = (T - before, T + after);
        let (mut samples, mut cursor) = (Vec::<Span>::new(), first);
        let mut closed = push(&mut aligner, 0, (T, T));
        prop_assert!(!closed);
        for (gap, lasts) in gaps {
            let sample = (cursor + gap, cursor + gap + lasts);
            if covered(&samples, sample.0, sample.1).len() as i64 == lasts {
                continue;
            }
            cursor = sample.1;
            samples.push(sample);
            closed = push(&mut aligner, 1, sample);
            let latest = samples.iter().map(|(time, _)| *time).max().unwrap_or(0);
            let expected = is_settled(&samples, latest - out_of_orderness, from, to);
            prop_assert_eq!(closed, expected, "{:?} of [{}, {})", samples, from, to);
            if closed {
                break;
            }
        }
    }
}

#[test]
fn a_window_does_not_wait_for_a_gap_before_the_watermark() {
    const MS: i64 = 1_000_000;
    let mut aligner = Aligner::<usize>::new(Arc::new(policy(100 * MS, 0, 0)));
    let (stream, now, mut out) = (StreamKey::from("s"), Timestamp::from_nanos(0), Vec::new());
    // The window is [-70, 30) ms; from 0 to 10 there is nothing.
    for (input, time, lasts) in [(1, -80, 80), (0, 30, 0), (1, 10, 20)] {
        let stamp = Stamp::new(Timestamp::from_millis(time), short(lasts * MS));
        assert!(!out.iter().any(|event| matches!(event, Event::Bundle(_))), "before {time}");
        aligner.push(&stream, InputId(input), stamp, 0, now, &mut out);
    }
    let bundle = out.iter().find_map(|event| match event {
        Event::Bundle(bundle) => Some(bundle),
        _ => None,
    });
    assert_eq!(bundle.expect("it closes").parts[1].coverage, Some(0.9));
}
