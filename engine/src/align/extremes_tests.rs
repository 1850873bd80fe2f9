//! Extreme numbers: event times, spans and amounts at the ends of their ranges, clocks that step, and streams that are
//! forgotten while they hold as much as they may.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::position::InputId;
use crate::sample::StreamKey;
use crate::time::Timestamp;

#[derive(Clone, Copy, Debug)]
struct Item {
    number: usize,
    stream: usize,
    input: usize,
    time: i64,
    lasts: Duration,
    weight: u64,
    id: u8,
}

impl Held for Item {
    fn weight(&self) -> u64 {
        self.weight
    }

    fn repeats(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

#[derive(Clone, Debug)]
enum Step {
    Push(Item),
    Tick(i64),
    Forget(usize),
}

fn spans() -> impl Strategy<Value = Duration> {
    prop_oneof![
        4 => (0..20_u64).prop_map(Duration::from_nanos),
        1 => Just(Duration::ZERO),
        1 => Just(Duration::from_nanos(i64::MAX.unsigned_abs())),
        1 => Just(Duration::MAX),
    ]
}

fn times() -> impl Strategy<Value = i64> {
    prop_oneof![
        8 => -20..20_i64,
        1 => (0..20_i64).prop_map(|more| i64::MIN + more),
        1 => (0..20_i64).prop_map(|less| i64::MAX - less),
    ]
}

fn inputs() -> impl Strategy<Value = Vec<InputPolicy>> {
    let join = prop_oneof![
        (spans(), spans()).prop_map(|(before, after)| Join::Window { before, after }),
        (spans(), any::<bool>()).prop_map(|(tolerance, reuse)| Join::Nearest { tolerance, reuse }),
        spans().prop_map(|max_age| Join::AllBetweenPivots { max_age }),
        spans().prop_map(|max_age| Join::Latest { max_age }),
    ];
    let missing = prop_oneof![
        Just(Missing::Emit),
        Just(Missing::Drop),
        Just(Missing::DeadLetter),
        spans().prop_map(|max_age| Missing::Hold { max_age }),
    ];
    let clock = (option::of(spans()), option::of(spans()));
    let input = (join, missing, spans(), spans(), clock).prop_map(
        |(join, missing, out_of_orderness, idle_timeout, (epoch_after, learn_up_to))| InputPolicy {
            out_of_orderness,
            idle_timeout,
            missing,
            clock: ClockPolicy { epoch_after, learn_up_to, ..ClockPolicy::default() },
            ..InputPolicy::new("an input", join)
        },
    );
    vec(input, 1..4)
}

fn policies() -> impl Strategy<Value = AlignPolicy> {
    let approximate = (option::of(spans()), 0..3_u8, 0..4_usize, vec(spans(), 0..3)).prop_map(
        |(max_interval, penalty, queue, min_periods)| {
            Method::ApproximateTime(ApproximateTime {
                max_interval,
                age_penalty: [0.0, 0.5, f64::MAX][usize::from(penalty)],
                queue,
                min_periods,
            })
        },
    );
    let method = prop_oneof![
        6 => (0..3_u16).prop_map(|pivot| Method::Pivot(InputId(pivot))),
        1 => Just(Method::Exact),
        2 => approximate,
        1 => spans().prop_map(|size| Method::Tumbling { size }),
        1 => (spans(), spans()).prop_map(|(gap, max)| Method::Session { gap, max }),
    ];
    let revise =
        (spans(), any::<bool>()).prop_map(|(allowed_lateness, early)| Revise { allowed_lateness, early });
    let none = Just(Revise::default());
    let overflow = prop_oneof![Just(Overflow::Close), Just(Overflow::DropOldest), Just(Overflow::DropNewest)];
    let items = || option::of(prop_oneof![4 => 0..6_usize, 1 => Just(usize::MAX)]);
    let bytes = || option::of(prop_oneof![4 => 0..40_u64, 1 => Just(u64::MAX)]);
    let bounds = (items(), bytes(), option::of(spans()), items(), bytes(), overflow).prop_map(
        |(stream_items, stream_bytes, stream_span, items, bytes, overflow)| Bounds {
            stream_items,
            stream_bytes,
            stream_span,
            items,
            bytes,
            overflow,
        },
    );
    (method, inputs(), spans(), spans(), prop_oneof![none.boxed(), revise.boxed()], bounds).prop_map(
        |(mut method, mut inputs, max_wait, forget_after, revise, bounds)| {
            if let Method::Pivot(InputId(pivot)) = &mut method {
                *pivot %= u16::try_from(inputs.len()).expect("few");
                inputs[usize::from(*pivot)].join = Join::Pivot;
            }
            AlignPolicy { max_wait, forget_after, revise, bounds, ..AlignPolicy::new(method, inputs) }
        },
    )
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let weight = prop_oneof![8 => 0..20_u64, 1 => Just(1 << 50)];
    let push = (0..3_usize, 0..3_usize, times(), spans(), weight, 0..4_u8).prop_map(
        |(stream, input, time, lasts, weight, id)| {
            Step::Push(Item { number: 0, stream, input, time, lasts, weight, id })
        },
    );
    let step = prop_oneof![
        20 => push,
        2 => times().prop_map(Step::Tick),
        1 => (0..3_usize).prop_map(Step::Forget),
    ];
    vec(step, 1..60)
}

fn take(held: &mut BTreeMap<usize, Item>, out: &mut Vec<Event<Item>>) -> Result<(), TestCaseError> {
    for event in out.drain(..) {
        if let Some(item) = event.ended() {
            prop_assert!(held.remove(&item.number).is_some(), "{item:?} ended twice");
        }
        if let Event::Bundle(bundle) | Event::Dropped { bundle, .. } | Event::DeadLetter { bundle, .. } =
            event
        {
            for item in bundle.parts.iter().flat_map(|part| &part.samples) {
                prop_assert!(held.contains_key(&item.number), "{item:?} is used after its end");
            }
        }
    }
    Ok(())
}

fn run(policy: &AlignPolicy, steps: &[Step]) -> Result<(), TestCaseError> {
    let bounds = policy.bounds;
    let mut aligner = Aligner::new(Arc::new(policy.clone()));
    let (mut held, mut out, mut now) = (BTreeMap::new(), Vec::new(), i64::MIN);
    let names = ["a", "b", "c"];
    for (number, step) in steps.iter().enumerate() {
        match step {
            Step::Push(item) => {
                let item = Item { number, input: item.input % policy.inputs.len(), ..*item };
                held.insert(number, item);
                let stamp = Stamp::new(Timestamp::from_nanos(item.time), item.lasts);
                let input = InputId(u16::try_from(item.input).expect("few"));
                let at = Timestamp::from_nanos(now);
                aligner.push(&StreamKey::from(names[item.stream]), input, stamp, item, at, &mut out);
                take(&mut held, &mut out)?;
                let of = |stream: Option<usize>| {
                    let of =
                        held.values().filter(move |item| stream.is_none_or(|stream| item.stream == stream));
                    (of.clone().count(), of.map(|item| item.weight).sum::<u64>())
                };
                for stream in 0..3 {
                    let (items, bytes) = of(Some(stream));
                    prop_assert!(bounds.stream_items.is_none_or(|most| items <= most));
                    prop_assert!(bounds.stream_bytes.is_none_or(|most| bytes <= most));
                }
                let (items, bytes) = of(None);
                prop_assert!(bounds.items.is_none_or(|most| items <= most));
                prop_assert!(bounds.bytes.is_none_or(|most| bytes <= most));
            }
            Step::Tick(at) => {
                now = now.max(*at);
                aligner.tick(Timestamp::from_nanos(now), &mut out);
                take(&mut held, &mut out)?;
            }
            Step::Forget(stream) => {
                aligner.forget(|key| *key == StreamKey::from(names[*stream]));
                held.retain(|_, item| item.stream != *stream);
            }
        }
        prop_assert_eq!(aligner.buffered(), held.len());
    }
    aligner.finish(Timestamp::from_nanos(now), &mut out);
    take(&mut held, &mut out)?;
    prop_assert_eq!(held.len(), 0, "{:?} never ended", held);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bounds_hold_and_samples_end_once_for_extreme_numbers(
        policy in policies(),
        steps in steps(),
    ) {
        run(&policy, &steps)?;
    }
}
