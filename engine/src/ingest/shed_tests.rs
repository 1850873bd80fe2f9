//! Promises of shedding: nothing without a backlog, and under one just what the rule says.

use proptest::prelude::*;

use super::*;
use crate::testing::ms;

fn key(text: &str) -> StreamKey {
    StreamKey::from(text)
}

const NOW: Timestamp = Timestamp::from_millis(1_000_000);

fn shed(shedder: &mut Shedder, stream: &str, age: u64) -> Option<Shed> {
    shedder.decide(&key(stream), NOW.before(ms(age)), NOW)
}

#[test]
fn shedder_keeps_only_the_latest_while_records_wait() {
    let mut shedder = Shedder::new(ShedRule::KeepLatest(ms(500)));
    assert_eq!(shed(&mut shedder, "a", 500), None);
    assert_eq!(shed(&mut shedder, "a", 501), Some(Shed::TooOld));
    shedder.lag(0);
    assert_eq!(shed(&mut shedder, "a", 9_000), None, "nothing newer waits");
    shedder.lag(3);
    assert_eq!(shed(&mut shedder, "a", 9_000), Some(Shed::TooOld));
    assert_eq!(shedder.decide(&key("a"), NOW.after(ms(9_000)), NOW), None);
}

#[test]
fn sampling_lasts_until_half_of_the_backlog_is_gone() {
    let mut shedder = Shedder::new(ShedRule::Sample { one_of: 1_000_000, above: ms(1_000) });
    assert_eq!(shed(&mut shedder, "a", 1_000), None);
    assert_eq!(shed(&mut shedder, "a", 1_001), Some(Shed::Sampled));
    assert_eq!(shed(&mut shedder, "a", 501), Some(Shed::Sampled));
    assert_eq!(shed(&mut shedder, "a", 500), None);
    assert_eq!(shed(&mut shedder, "a", 900), None);
}

#[test]
fn sampling_keeps_its_share_for_any_period_of_samples() {
    for one_of in [2u32, 3, 10] {
        for period in [1, 33_366_667, 40_000_000, 1_000_000_000] {
            let mut shedder = Shedder::new(ShedRule::Sample { one_of, above: Duration::ZERO });
            let at = |n: i64| Timestamp::from_nanos(1_790_000_000_000_000_000 + n * period);
            let now = at(20_000).after(ms(1));
            let kept = (0..20_000).filter(|n| shedder.decide(&key("cam-1"), at(*n), now).is_none()).count();
            let expected = 20_000.0 / f64::from(one_of);
            assert!(
                (kept as f64 - expected).abs() < 0.1 * expected,
                "{kept} of 20 000, 1 in {one_of}, {period} ns"
            );
        }
    }
}

#[test]
fn shedder_drops_the_least_important_streams_first() {
    let patterns = vec![Pattern::new("cam-*"), Pattern::new("cam-gate-*")];
    let mut shedder = Shedder::new(ShedRule::Priority { patterns, above: ms(1_000) });
    let streams = ["cam-7", "cam-gate-1", "door"];
    let gone = |shedder: &mut Shedder, age| streams.map(|stream| shed(shedder, stream, age).is_some());
    assert_eq!(gone(&mut shedder, 1_000), [false, false, false]);
    assert_eq!(gone(&mut shedder, 1_001), [true, false, false]);
    assert_eq!(gone(&mut shedder, 2_001), [true, true, false]);
    assert_eq!(gone(&mut shedder, 99_000), [true, true, false]);
    assert_eq!(gone(&mut shedder, 1_000), [true, false, false]);
    assert_eq!(gone(&mut shedder, 500), [false, false, false]);
    assert_eq!(gone(&mut shedder, 3_000), [true, true, false]);
    shedder.lag(0);
    assert_eq!(gone(&mut shedder, 3_000), [false, false, false]);
}

#[test]
fn sampling_hash_never_changes() {
    assert_eq!(hash(&key("cam-1"), Timestamp::from_millis(1_790_000_000_000)), PINNED);
}

/// Computed once. A change would keep other samples after an update in the middle of a backlog.
const PINNED: u64 = 0x505258CA5816;

fn rules() -> impl Strategy<Value = ShedRule> {
    let patterns = prop::collection::vec("[ab*]{1,3}", 0..4);
    prop_oneof![
        (0u64..2_000).prop_map(|most| ShedRule::KeepLatest(ms(most))),
        (0u32..6, 1u64..2_000).prop_map(|(one_of, above)| ShedRule::Sample { one_of, above: ms(above) }),
        (patterns, 1u64..2_000).prop_map(|(patterns, above)| ShedRule::Priority {
            patterns: patterns.iter().map(|text| Pattern::new(text)).collect(),
            above: ms(above)
        }),
    ]
}

/// True if a text matches a pattern, found by trying every length for each star.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some((b'*', rest)) => (0..=text.len()).any(|from| matches(rest, &text[from..])),
        Some((byte, rest)) => text.first() == Some(byte) && matches(rest, &text[1..]),
    }
}

proptest! {
    #[test]
    fn shedder_keeps_all_without_lag_or_old_samples(
        rule in rules(),
        samples in prop::collection::vec(("[ab]{0,3}", 0u64..100_000), 1..50),
    ) {
        let mut shedder = Shedder::new(rule.clone());
        let youngest = match rule {
            ShedRule::KeepLatest(most) => most,
            ShedRule::Sample { above, .. } | ShedRule::Priority { above, .. } => above,
        };
        for (stream, age) in &samples {
            let event_time = NOW.before(ms(*age).min(youngest));
            prop_assert_eq!(shedder.decide(&key(stream), event_time, NOW), None);
        }
        shedder.lag(0);
        for (stream, age) in &samples {
            prop_assert_eq!(shed(&mut shedder, stream, *age), None);
        }
    }

    #[test]
    fn sampling_depends_on_stream_and_event_time_alone(
        samples in prop::collection::vec(("[ab]{0,3}", 2_000u64..100_000), 1..50),
        one_of in 0u32..6,
    ) {
        let rule = ShedRule::Sample { one_of, above: ms(1_000) };
        let mut whole = Shedder::new(rule.clone());
        for (stream, age) in &samples {
            let alone = shed(&mut Shedder::new(rule.clone()), stream, *age);
            prop_assert_eq!(shed(&mut whole, stream, *age), alone);
            prop_assert!(one_of > 1 || alone.is_none());
        }
    }

    #[test]
    fn pattern_agrees_with_an_exhaustive_match(pattern in "[ab*]{0,6}", text in "[ab]{0,7}") {
        let expected = matches(pattern.as_bytes(), text.as_bytes());
        prop_assert_eq!(Pattern::new(&pattern).matches(&text), expected);
    }
}
