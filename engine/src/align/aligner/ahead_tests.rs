//! Samples pushed in bulk, against a push of each.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::super::super::policy::{AlignPolicy, ApproximateTime, InputPolicy, Join, Method};
use super::super::super::{Bounds, Overflow};
use super::*;
use crate::align::Stamp;
use crate::position::InputId;
use crate::sample::StreamKey;

fn policy(method: Method, bounds: Bounds) -> Arc<AlignPolicy> {
    let ms = Duration::from_millis;
    let joins = [
        Join::Pivot,
        Join::Nearest { tolerance: ms(20), reuse: true },
        Join::Window { before: ms(30), after: ms(5) },
    ];
    let input = |join| InputPolicy {
        out_of_orderness: ms(10),
        idle_timeout: ms(500),
        ..InputPolicy::new("input", join)
    };
    Arc::new(AlignPolicy {
        max_wait: ms(200),
        forget_after: ms(1_000),
        bounds,
        ..AlignPolicy::new(method, joins.map(input).to_vec())
    })
}

/// A message: the time since the one before it, and the stream, input and event time of each of its samples, both times
/// in milliseconds.
type Message = (u64, Vec<(u8, u16, u64)>);

fn messages() -> impl Strategy<Value = Vec<Message>> {
    // More streams than are looked up at a time, more samples too, and an input that the policy does not have.
    let sample = (0_u8..48, 0_u16..4, 0_u64..60);
    let lasts = prop_oneof![4 => 0_u64..40, 1 => 1_000_u64..3_000];
    prop::collection::vec((lasts, prop::collection::vec(sample, 0..100)), 1..12)
}

fn methods() -> impl Strategy<Value = Method> {
    let ms = Duration::from_millis;
    prop_oneof![
        Just(Method::Pivot(InputId(0))),
        Just(Method::Exact),
        Just(Method::ApproximateTime(ApproximateTime::default())),
        Just(Method::Tumbling { size: ms(30) }),
        Just(Method::Session { gap: ms(10), max: ms(100) }),
    ]
}

fn bounds() -> impl Strategy<Value = Bounds> {
    let overflow = prop_oneof![Just(Overflow::DropOldest), Just(Overflow::DropNewest), Just(Overflow::Close)];
    let bounded = (1_usize..60, overflow).prop_map(|(items, overflow)| Bounds {
        items: Some(items),
        overflow,
        ..Bounds::default()
    });
    prop_oneof![Just(Bounds::default()), bounded]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn push_all_equals_a_push_of_each_sample(
        messages in messages(),
        method in methods(),
        bounds in bounds(),
    ) {
        let keys: Vec<StreamKey> = (0..48).map(|i| StreamKey::from(format!("camera-{i}").as_str())).collect();
        let policy = policy(method, bounds);
        let (mut one_by_one, mut together) = (Aligner::new(Arc::clone(&policy)), Aligner::new(policy));
        let (mut emitted_one_by_one, mut emitted_together) = (Vec::new(), Vec::new());
        let (mut now, mut number) = (Timestamp::from_millis(0), 0_u32);
        for (later, samples) in messages {
            now = now.after(Duration::from_millis(later));
            one_by_one.tick(now, &mut emitted_one_by_one);
            together.tick(now, &mut emitted_together);
            let mut message = Vec::new();
            for (stream, input, ahead) in samples {
                number += 1;
                let stamp = Stamp::new(now.after(Duration::from_millis(ahead)), Duration::ZERO);
                message.push((&keys[usize::from(stream)], InputId(input), stamp, number));
                one_by_one.push(&keys[usize::from(stream)], InputId(input), stamp, number, now, &mut emitted_one_by_one);
            }
            together.push_all(message, now, &mut emitted_together);
            prop_assert_eq!(together.buffered(), one_by_one.buffered());
            prop_assert_eq!(together.streams(), one_by_one.streams());
            prop_assert_eq!(together.next_deadline(), one_by_one.next_deadline());
        }
        one_by_one.finish(now, &mut emitted_one_by_one);
        together.finish(now, &mut emitted_together);
        prop_assert_eq!(format!("{emitted_together:?}"), format!("{emitted_one_by_one:?}"));
    }
}
