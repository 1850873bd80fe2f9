//! Tests of the queue: it loses and reorders nothing, and no bundle waits longer than allowed.

use proptest::prelude::*;
use rustc_hash::FxHashSet;

use super::*;
use crate::sample::StreamKey;
use crate::testing::{at, ms};

#[derive(Clone, Debug, PartialEq)]
struct Item {
    stream: StreamKey,
    number: usize,
    event_time: Timestamp,
}

impl Batchable for Item {
    fn stream(&self) -> &StreamKey {
        &self.stream
    }

    fn event_time(&self) -> Timestamp {
        self.event_time
    }
}

fn item(stream: usize, number: usize) -> Item {
    Item { stream: StreamKey::from(stream.to_string().as_str()), number, event_time: Timestamp::MAX }
}

/// An item of an event long ago.
fn old(number: usize) -> Item {
    Item { event_time: Timestamp::MIN, ..item(0, number) }
}

fn policy(max_size: usize, preferred: &[usize]) -> BatchPolicy {
    let mode = BatchMode::Dynamic;
    BatchPolicy { mode, max_size, preferred: preferred.to_vec(), ..BatchPolicy::default() }
}

fn batcher(policy: BatchPolicy) -> Batcher<Item> {
    Batcher::new(policy, 1, BatchOrder::Arrival)
}

fn is_ready(batcher: &mut Batcher<Item>, now: Timestamp) -> bool {
    batcher.go_at(now, 0).is_some_and(|at| at <= now)
}

/// Sets the cost of a batch to `fixed`, whatever its size.
fn costly(batcher: &mut Batcher<Item>, fixed: Duration) {
    let mut costs = BatchCosts::default();
    for size in 1..50 {
        costs.model.observe(size, fixed);
    }
    batcher.learn(costs);
}

#[test]
fn backlog_batch_goes_when_full_or_after_the_delay() {
    let mut batcher = batcher(policy(3, &[]));
    batcher.push(old(0), at(0));
    batcher.push(old(1), at(4));
    assert_eq!(batcher.go_at(at(4), 0), Some(at(5)));
    batcher.push(old(2), at(4));
    assert!(is_ready(&mut batcher, at(4)));
    assert_eq!(batcher.cut(at(4)).len(), 3);
    assert_eq!(batcher.chosen(), BatchDecision { size: 3, waited: ms(4) });
    assert_eq!(batcher.go_at(at(99), 0), None);
}

#[test]
fn fixed_delay_is_the_same_with_and_without_a_backlog() {
    for age in [0, 99_000] {
        let mut batcher = batcher(BatchPolicy { mode: BatchMode::default(), ..policy(2, &[]) });
        batcher.push(Item { event_time: at(4).before(ms(age)), ..item(0, 0) }, at(4));
        assert_eq!(batcher.go_at(at(4), 0), Some(at(9)));
        batcher.push(item(0, 1), at(6));
        assert!(is_ready(&mut batcher, at(6)));
    }
}

#[test]
fn bundle_goes_at_once_to_an_idle_instance() {
    let mut batcher = batcher(policy(8, &[]));
    batcher.push(item(0, 0), at(0));
    assert!(is_ready(&mut batcher, at(0)));
    assert_eq!(batcher.cut(at(0)).len(), 1);
}

#[test]
fn batch_waits_only_while_the_next_arrival_pays() {
    let mut batcher = batcher(policy(8, &[]));
    costly(&mut batcher, ms(9));
    for number in 0..3 {
        batcher.push(item(0, number), at(number as i64));
    }
    let is_about = |found: Option<Timestamp>, micros: i64| {
        found.is_some_and(|found| (found.as_nanos() / 1_000 - micros).abs() < 20)
    };
    // (9 ms - 3 * 0) / 4, from the last arrival on; but the oldest waits for 5 ms at most.
    assert!(is_about(batcher.go_at(at(2), 0), 4_250));
    batcher.push(item(0, 3), at(3));
    assert!(is_about(batcher.go_at(at(3), 0), 4_800));
    batcher.push(item(0, 4), at(4));
    assert_eq!(batcher.go_at(at(4), 0), Some(at(5)));
}

#[test]
fn batch_grows_until_the_busy_instance_is_nearly_free() {
    let mut batcher = batcher(BatchPolicy { max_delay: ms(50), ..policy(8, &[]) });
    costly(&mut batcher, ms(20));
    batcher.push(item(0, 0), at(0));
    batcher.cut(at(0));
    batcher.push(item(0, 1), at(3));
    let go_at = batcher.go_at(at(3), 1).expect("something waits");
    assert!((go_at.as_nanos() - 20_000_000).abs() < 500_000, "{go_at}");
    assert!(batcher.go_at(at(4), 0) < Some(go_at), "the batch has ended sooner than expected");
}

#[test]
fn batch_waits_the_full_delay_for_an_instance_of_unknown_cost() {
    let mut batcher = batcher(policy(8, &[]));
    batcher.push(item(0, 0), at(0));
    batcher.cut(at(0));
    batcher.push(item(0, 1), at(3));
    assert_eq!(batcher.go_at(at(3), 1), Some(at(8)));
}

#[test]
fn target_latency_makes_batches_small_if_instances_keep_up() {
    let sized = |gap_us: i64| {
        let mut batcher = batcher(BatchPolicy { target_latency: Some(ms(20)), ..policy(64, &[]) });
        let mut costs = BatchCosts::default();
        for size in 1..100 {
            costs.model.observe(size, Duration::from_micros(2_000 + 500 * size as u64));
        }
        batcher.learn(costs);
        for number in 0..200_i64 {
            batcher.push(item(0, 0), Timestamp::from_nanos(number * gap_us * 1_000));
        }
        batcher.cut(at(0)).len()
    };
    // Half of the target less 2 ms, in parts of half a millisecond.
    assert_eq!(sized(5_000), 16);
    // At 1 500 a second that would be too little to keep up with.
    assert_eq!(sized(667), 60);
    assert_eq!(sized(100), 64);
}

#[test]
fn static_batches_are_full_unless_the_input_ends() {
    let mode = BatchMode::Static;
    let mut batcher = batcher(BatchPolicy { mode, static_max_delay: ms(700), ..policy(4, &[2]) });
    for number in 0..3 {
        batcher.push(old(number), at(0));
    }
    assert_eq!(batcher.go_at(at(0), 0), Some(at(700)));
    batcher.push(old(3), at(9));
    assert!(is_ready(&mut batcher, at(9)));
    assert_eq!(batcher.cut(at(9)).len(), 4);
    batcher.push(old(4), at(10));
    assert!(!is_ready(&mut batcher, at(10)));
    batcher.flush();
    assert!(is_ready(&mut batcher, at(10)));
}

#[test]
fn hybrid_batches_are_static_under_backlog_and_at_their_hours() {
    let mode = BatchMode::Hybrid;
    let night = Some("22:00-06:00".parse().expect("hours"));
    let policy = BatchPolicy { mode, behind: ms(10_000), static_between: night, ..policy(8, &[]) };
    let is_static = |batcher: &mut Batcher<Item>, now: Timestamp, age: u64| {
        batcher.cut(now);
        batcher.push(Item { event_time: now.before(ms(age)), ..item(0, 0) }, now);
        !is_ready(batcher, now)
    };
    let noon = Timestamp::parse_rfc3339("2026-03-01T12:00:00Z").expect("a time");
    let mut batcher = batcher(policy);
    for (age, expected) in [(10_000, false), (10_001, true), (5_001, true), (5_000, false), (9_000, false)] {
        assert_eq!(is_static(&mut batcher, noon, age), expected, "{age} ms behind");
    }
    assert!(is_static(&mut batcher, noon.after(ms(11 * 3_600_000)), 0));
}

#[test]
fn preferred_size_goes_at_once() {
    let mut batcher = batcher(policy(8, &[2, 4]));
    for number in 0..5 {
        batcher.push(old(number), at(0));
    }
    assert!(is_ready(&mut batcher, at(0)));
    assert_eq!(batcher.cut(at(0)).len(), 4);
    assert!(!is_ready(&mut batcher, at(0)));
    assert_eq!(batcher.cut(at(5)).len(), 1, "after the delay a partial batch goes");
}

#[test]
fn batch_fills_up_beyond_its_preferred_sizes() {
    let mut batcher = batcher(policy(8, &[4]));
    for number in 0..9 {
        batcher.push(old(number), at(0));
    }
    assert_eq!(batcher.cut(at(0)).len(), 8);
}

#[test]
fn new_size_limit_applies_to_waiting_bundles() {
    let mut batcher = batcher(policy(8, &[4]));
    for number in 0..8 {
        batcher.push(old(number), at(0));
    }
    batcher.limit(3);
    assert_eq!(batcher.cut(at(0)).len(), 3);
    batcher.limit(5);
    assert_eq!(batcher.cut(at(0)).len(), 3, "it never grows");
}

#[test]
fn rows_that_arrive_together_share_the_gap() {
    // Waiting for a second row pays if it comes within half of the cost, 0.6 ms.
    let goes_at_once = |rows: usize| {
        let mut batcher = batcher(policy(64, &[]));
        costly(&mut batcher, Duration::from_micros(1_200));
        for bundle in 0..200 {
            batcher.push_all((0..rows).map(|row| item(0, row)), at(8 * bundle));
            batcher.cut(at(8 * bundle));
        }
        batcher.push(item(0, 0), at(1_600));
        is_ready(&mut batcher, at(1_600))
    };
    assert!(goes_at_once(1), "a row each 8 ms");
    assert!(goes_at_once(12), "a row each 0.67 ms");
    assert!(!goes_at_once(60), "a row each 0.13 ms");
}

fn modes() -> impl Strategy<Value = BatchMode> {
    let all = [BatchMode::Delay, BatchMode::Dynamic, BatchMode::Static, BatchMode::Hybrid];
    prop::sample::select(all.to_vec())
}

proptest! {
    #[test]
    fn batcher_neither_loses_nor_reorders_bundles(
        streams in prop::collection::vec((0usize..4, 0u64..2_000), 0..60),
        max_size in 0usize..9,
        order in prop::sample::select(vec![BatchOrder::Arrival, BatchOrder::OnePerStream, BatchOrder::Turns]),
        mode in modes(),
        preferred in prop::collection::btree_set(1usize..8, 0..3),
        target in prop::option::of(1u64..20),
        cost_us in 0u64..9_000,
    ) {
        let preferred: Vec<usize> = preferred.into_iter().filter(|size| *size <= max_size).collect();
        let policy = BatchPolicy { mode, target_latency: target.map(ms), ..policy(max_size, &preferred) };
        let mut batcher = Batcher::new(policy, 1, order);
        costly(&mut batcher, Duration::from_micros(cost_us));
        for (number, (stream, age)) in streams.iter().enumerate() {
            let now = at(number as i64);
            batcher.push(Item { event_time: now.before(ms(*age)), ..item(*stream, number) }, now);
        }
        let mut seen = Vec::new();
        while !batcher.is_empty() {
            let batch = batcher.cut(at(1_000));
            prop_assert!(!batch.is_empty() && batch.len() <= max_size.max(1));
            if order == BatchOrder::OnePerStream {
                let distinct: FxHashSet<_> = batch.iter().map(|item| item.stream.clone()).collect();
                prop_assert_eq!(distinct.len(), batch.len());
            }
            seen.extend(batch);
        }
        prop_assert_eq!(seen.len(), streams.len());
        for stream in 0..4 {
            let key = StreamKey::from(stream.to_string().as_str());
            let numbers: Vec<usize> = seen.iter().filter(|i| i.stream == key).map(|i| i.number).collect();
            prop_assert!(numbers.is_sorted());
        }
        if order == BatchOrder::Arrival {
            prop_assert!(seen.iter().map(|item| item.number).is_sorted());
        }
    }

    /// A caller that asks at the returned times finds a batch to cut by the time the oldest bundle has waited long
    /// enough.
    #[test]
    fn bundle_never_waits_beyond_its_delay_if_a_slot_is_free(
        arrivals in prop::collection::vec((0i64..4_000, 0u64..1_500), 1..80),
        mode in modes(),
        under_way in 0usize..4,
        target in prop::option::of(1u64..20),
        cost_us in prop::option::of(0u64..30_000),
    ) {
        let target_latency = target.map(ms);
        let mut batcher = batcher(BatchPolicy { mode, target_latency, static_max_delay: ms(40), ..policy(8, &[]) });
        if let Some(cost_us) = cost_us {
            costly(&mut batcher, Duration::from_micros(cost_us));
        }
        let longest = if matches!(mode, BatchMode::Delay | BatchMode::Dynamic) { ms(5) } else { ms(40) };
        let mut arrivals = arrivals.into_iter().scan(Timestamp::default(), |now, (gap_us, age)| {
            *now = now.after(Duration::from_micros(gap_us.unsigned_abs()));
            Some((*now, age))
        }).peekable();
        let mut now = Timestamp::default();
        let mut asked = 0;
        while arrivals.peek().is_some() || !batcher.is_empty() {
            asked += 1;
            prop_assert!(asked < 10_000, "it never ends");
            let go_at = batcher.go_at(now, under_way);
            if go_at.is_some_and(|at| at <= now) {
                batcher.cut(now);
                prop_assert!(batcher.chosen().waited <= longest, "{:?}", batcher.chosen());
                continue;
            }
            now = match (go_at, arrivals.peek()) {
                (Some(at), Some((next, _))) => at.min(*next),
                (Some(at), None) => at,
                (None, Some((next, _))) => *next,
                (None, None) => break,
            };
            while let Some((_, age)) = arrivals.next_if(|(next, _)| *next <= now) {
                batcher.push(Item { event_time: now.before(ms(age)), ..item(0, 0) }, now);
            }
        }
    }
}

proptest! {
    /// Bundles come to two queues by a rule that changes: waiting items then move from one queue to the other.
    #[test]
    fn bundles_that_change_queues_are_not_lost_or_reordered(
        streams in prop::collection::vec((0usize..4, any::<bool>()), 0..60),
    ) {
        let mut queues = [batcher(policy(4, &[])), batcher(policy(4, &[]))];
        let mut home = [0; 4];
        for (number, (stream, moves)) in streams.iter().enumerate() {
            if *moves {
                let (from, key) = (home[*stream], StreamKey::from(stream.to_string().as_str()));
                home[*stream] = 1 - from;
                let moved = queues[from].take_out(|item| item.stream == key);
                prop_assert!(moved.iter().all(|(since, item)| *since == at(item.number as i64)));
                queues[1 - from].put_in(moved);
            }
            queues[home[*stream]].push(item(*stream, number), at(number as i64));
        }
        let mut seen = Vec::new();
        for mut queue in queues {
            let mut of_queue = Vec::new();
            while !queue.is_empty() {
                of_queue.extend(queue.cut(at(1_000)));
            }
            prop_assert!(of_queue.iter().map(|item| item.number).is_sorted(), "in the order of arrival");
            seen.extend(of_queue.into_iter().map(|item| item.number));
        }
        seen.sort_unstable();
        prop_assert_eq!(seen, (0..streams.len()).collect::<Vec<_>>());
    }
}
