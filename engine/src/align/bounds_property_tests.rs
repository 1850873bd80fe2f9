//! Rules that hold with any bounds, for every method. Streams are random, and times so small that ties and edges
//! come up all the time.

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

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Item {
    pub(super) number: usize,
    pub(super) stream: usize,
    pub(super) input: usize,
    pub(super) time: i64,
    pub(super) lasts: u64,
    pub(super) weight: u64,
    /// Delivered twice if two have the same.
    pub(super) id: u8,
}

impl Held for Item {
    fn weight(&self) -> u64 {
        self.weight
    }

    fn repeats(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

/// Samples, each with the time since the arrival of the one before.
pub(super) type Arrivals = Vec<(Item, i64)>;

fn ns(span: u64) -> Duration {
    Duration::from_nanos(span)
}

fn joins() -> impl Strategy<Value = Join> {
    let span = || (0..15_u64).prop_map(ns);
    prop_oneof![
        (span(), span()).prop_map(|(before, after)| Join::Window { before, after }),
        (span(), any::<bool>()).prop_map(|(tolerance, reuse)| Join::Nearest { tolerance, reuse }),
        span().prop_map(|max_age| Join::AllBetweenPivots { max_age }),
        span().prop_map(|max_age| Join::Latest { max_age }),
    ]
}

fn inputs() -> impl Strategy<Value = Vec<InputPolicy>> {
    let missing = prop_oneof![
        3 => Just(Missing::Emit),
        1 => Just(Missing::Drop),
        1 => Just(Missing::DeadLetter),
        1 => (0..20_u64).prop_map(|age| Missing::Hold { max_age: ns(age) }),
    ];
    let input =
        (joins(), missing, 0..10_u64, 5..40_u64).prop_map(|(join, missing, late, idle)| InputPolicy {
            out_of_orderness: ns(late),
            idle_timeout: ns(idle),
            missing,
            ..InputPolicy::new("an input", join)
        });
    vec(input, 1..4)
}

pub(super) fn policies() -> impl Strategy<Value = AlignPolicy> {
    let method = prop_oneof![
        5 => (0..3_u16).prop_map(|pivot| Method::Pivot(InputId(pivot))),
        1 => Just(Method::Exact),
        2 => (0..40_u64, 0..2_u8).prop_map(|(widest, penalty)| Method::ApproximateTime(ApproximateTime {
            max_interval: Some(ns(widest)),
            age_penalty: f64::from(penalty) / 2.0,
            ..ApproximateTime::default()
        })),
        1 => (1..30_u64).prop_map(|size| Method::Tumbling { size: ns(size) }),
        2 => (1..10_u64, 10..50_u64).prop_map(|(gap, max)| Method::Session { gap: ns(gap), max: ns(max) }),
    ];
    let revise = (prop_oneof![Just(0), 0..10_u64], any::<bool>());
    (method, inputs(), 20..80_u64, revise).prop_map(|(method, mut inputs, max_wait, (late, early))| {
        let mut method = method;
        if let Method::Pivot(InputId(pivot)) = &mut method {
            *pivot %= u16::try_from(inputs.len()).expect("few");
            inputs[usize::from(*pivot)].join = Join::Pivot;
        }
        AlignPolicy {
            revise: Revise { allowed_lateness: ns(late), early },
            max_wait: ns(max_wait),
            forget_after: ns(200),
            ..AlignPolicy::new(method, inputs)
        }
    })
}

pub(super) fn bounds() -> impl Strategy<Value = Bounds> {
    let overflow = prop_oneof![Just(Overflow::Close), Just(Overflow::DropOldest), Just(Overflow::DropNewest)];
    let of_stream = (option::of(1..8_usize), option::of(1..60_u64), option::of(1..50_u64));
    (of_stream, option::of(1..12_usize), option::of(1..100_u64), overflow).prop_map(
        |((stream_items, stream_bytes, span), items, bytes, overflow)| Bounds {
            stream_items,
            stream_bytes,
            stream_span: span.map(ns),
            items,
            bytes,
            overflow,
        },
    )
}

pub(super) fn arrivals() -> impl Strategy<Value = Arrivals> {
    let sample = (0..3_usize, 0..3_usize, -12..12_i64, 0..20_u64, 0..4_u8, 0..6_i64);
    vec(sample, 1..70).prop_map(|samples| {
        let mut base = 0;
        let place = |(number, (stream, input, jitter, weight, id, after))| {
            base += after;
            let time: i64 = base * 2 + jitter;
            // Both deliveries of a record are the same in all fields.
            let lasts = if id % 2 == 0 { 0 } else { time.unsigned_abs() % 23 };
            (Item { number, stream, input, time, lasts, weight, id }, after)
        };
        samples.into_iter().enumerate().map(place).collect()
    })
}

/// The last result of a bundle: its number, its samples, and true if it is final.
type LastResult = (u32, Vec<Vec<usize>>, bool);

/// The observations of a run so far.
#[derive(Default)]
pub(super) struct Emitted {
    /// The held samples by number.
    pub(super) held: BTreeMap<usize, Item>,
    uses: BTreeMap<usize, u32>,
    /// The bundles by stream and event time.
    bundles: BTreeMap<(String, i64), LastResult>,
    pub(super) ended: usize,
}

impl Emitted {
    /// Takes the events after `pushed` has come, and checks the rules that always hold.
    pub(super) fn observe(
        &mut self,
        policy: &AlignPolicy,
        events: &mut Vec<Event<Item>>,
        pushed: Option<Item>,
    ) -> Result<(), TestCaseError> {
        self.held.extend(pushed.map(|item| (item.number, item)));
        for event in events.drain(..) {
            if let Some(item) = event.ended() {
                prop_assert!(self.held.contains_key(&item.number), "{item:?} ended twice");
                let used = self.uses.get(&item.number).copied().unwrap_or(0);
                match &event {
                    Event::Released { used: said, .. } => prop_assert_eq!(*said, used),
                    Event::Evicted { used: said, bound, .. } => {
                        prop_assert_eq!(*said, used);
                        self.evicted(policy, *item, *bound, pushed)?;
                    }
                    _ => prop_assert_eq!(used, 0),
                }
                self.held.remove(&item.number);
                self.ended += 1;
            }
            if let Event::Bundle(bundle) | Event::Dropped { bundle, .. } | Event::DeadLetter { bundle, .. } =
                event
            {
                self.bundle(*bundle)?;
            }
        }
        Ok(())
    }

    fn bundle(&mut self, bundle: Bundle<Item>) -> Result<(), TestCaseError> {
        let key = (bundle.stream.to_string(), bundle.event_time.as_nanos());
        for item in bundle.parts.iter().flat_map(|part| &part.samples) {
            prop_assert!(self.held.contains_key(&item.number), "{item:?} is used after its end");
            *self.uses.entry(item.number).or_default() += 1;
        }
        let parts = bundle.parts.iter().map(|part| part.samples.iter().map(|item| item.number).collect());
        let parts: Vec<Vec<usize>> = parts.collect();
        let closed =
            self.bundles.iter().filter(|((stream, _), (_, _, is_final))| *stream == key.0 && *is_final);
        let last = closed.map(|((_, time), _)| *time).max();
        prop_assert!(last.is_none_or(|last| last < key.1), "{} after {last:?}", key.1);
        let (times, before, is_final) = self.bundles.entry(key).or_default();
        prop_assert!(!bundle.is_repeated || *before == parts);
        prop_assert_eq!(bundle.revision, *times - u32::from(bundle.is_repeated));
        (*before, *is_final) = (parts, bundle.is_final);
        *times += u32::from(!bundle.is_repeated);
        Ok(())
    }

    /// Checks that the policy selects the evicted sample.
    fn evicted(
        &self,
        policy: &AlignPolicy,
        item: Item,
        bound: Bound,
        pushed: Option<Item>,
    ) -> Result<(), TestCaseError> {
        let bounds = policy.bounds;
        let is_set = match bound {
            Bound::Queue => true,
            Bound::StreamItems => bounds.stream_items.is_some(),
            Bound::StreamBytes => bounds.stream_bytes.is_some(),
            Bound::StreamSpan => bounds.stream_span.is_some(),
            Bound::Items => bounds.items.is_some(),
            Bound::Bytes => bounds.bytes.is_some(),
        };
        prop_assert!(is_set, "{bound:?} is no bound");
        let of_stream = self.held.values().filter(|other| other.stream == item.stream);
        match bounds.overflow {
            Overflow::DropNewest => prop_assert_eq!(Some(item), pushed),
            Overflow::DropOldest | Overflow::Close => {
                prop_assert_eq!(of_stream.map(|other| other.time).min(), Some(item.time));
            }
        }
        let pivot = policy.pivot().map(InputId::index);
        prop_assert!(bounds.overflow != Overflow::Close || Some(item.input) != pivot, "it could have closed");
        Ok(())
    }

    /// Checks that no bound is exceeded.
    fn check_bounds(&self, bounds: Bounds) -> Result<(), TestCaseError> {
        let amount = |items: &[&Item]| (items.len(), items.iter().map(|item| item.weight).sum::<u64>());
        for stream in 0..3 {
            let held: Vec<_> = self.held.values().filter(|item| item.stream == stream).collect();
            let (items, bytes) = amount(&held);
            prop_assert!(bounds.stream_items.is_none_or(|most| items <= most));
            prop_assert!(bounds.stream_bytes.is_none_or(|most| bytes <= most));
            let times = || held.iter().map(|item| item.time);
            let span = times().max().unwrap_or(0) - times().min().unwrap_or(0);
            prop_assert!(
                bounds.stream_span.is_none_or(|most| Duration::from_nanos(span.unsigned_abs()) <= most)
            );
        }
        let (items, bytes) = amount(&self.held.values().collect::<Vec<_>>());
        prop_assert!(bounds.items.is_none_or(|most| items <= most));
        prop_assert!(bounds.bytes.is_none_or(|most| bytes <= most));
        Ok(())
    }
}

pub(super) struct Run {
    pub(super) aligner: Aligner<Item>,
    pub(super) out: Vec<Event<Item>>,
    now: i64,
}

impl Run {
    pub(super) fn new(policy: &AlignPolicy) -> Self {
        Self { aligner: Aligner::new(Arc::new(policy.clone())), out: Vec::new(), now: 0 }
    }

    pub(super) fn tick(&mut self, now: i64) {
        while let Some(due) = self.aligner.next_deadline().filter(|due| due.as_nanos() <= now) {
            self.aligner.tick(due, &mut self.out);
        }
        self.now = now;
    }

    pub(super) fn push(&mut self, item: Item) {
        let key = key(item.stream);
        let stamp = Stamp::new(Timestamp::from_nanos(item.time), Duration::from_nanos(item.lasts));
        let input = InputId(u16::try_from(item.input).expect("few"));
        self.aligner.push(&key, input, stamp, item, Timestamp::from_nanos(self.now), &mut self.out);
    }
}

/// The name of a stream.
pub(super) fn key(stream: usize) -> StreamKey {
    StreamKey::from(["a", "b", "c"][stream])
}

fn run(policy: &AlignPolicy, arrivals: &Arrivals) -> Result<(), TestCaseError> {
    let (mut run, mut emitted) = (Run::new(policy), Emitted::default());
    for (item, after) in arrivals {
        let mut item = *item;
        item.input %= policy.inputs.len();
        run.tick(run.now + after);
        emitted.observe(policy, &mut run.out, None)?;
        let same = |other: &Item| {
            (other.stream, other.input, other.time, other.id) == (item.stream, item.input, item.time, item.id)
        };
        let repeats = emitted.held.values().any(same);
        run.push(item);
        let is_duplicate =
            run.out.iter().any(|event| matches!(event, Event::Duplicate(it) if it.number == item.number));
        let is_evicted = run
            .out
            .iter()
            .any(|event| matches!(event, Event::Evicted { item: it, .. } if it.number == item.number));
        prop_assert!(!repeats || is_duplicate || is_evicted, "{item:?} was delivered twice: {:?}", run.out);
        emitted.observe(policy, &mut run.out, Some(item))?;
        emitted.check_bounds(policy.bounds)?;
        prop_assert_eq!(run.aligner.buffered(), emitted.held.len());
    }
    // Every deadline that matters is known: time alone ends the run.
    run.tick(run.now + 2_000);
    emitted.observe(policy, &mut run.out, None)?;
    prop_assert_eq!((emitted.held.len(), run.aligner.buffered(), run.aligner.streams()), (0, 0, 0));
    prop_assert_eq!(emitted.ended, arrivals.len());
    prop_assert!(emitted.bundles.values().all(|(_, _, is_final)| *is_final), "a bundle is left open");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bounds_hold_after_each_push_and_every_sample_ends_once(
        policy in policies(),
        bounds in bounds(),
        arrivals in arrivals(),
    ) {
        run(&AlignPolicy { bounds, ..policy }, &arrivals)?;
    }

    #[test]
    fn bounds_that_are_not_reached_change_nothing(
        policy in policies(),
        overflow in 0..3_usize,
        arrivals in arrivals(),
    ) {
        let overflow = [Overflow::Close, Overflow::DropOldest, Overflow::DropNewest][overflow];
        let bounds = Bounds {
            stream_items: Some(70),
            stream_bytes: Some(1_400),
            stream_span: Some(ns(1_000)),
            items: Some(70),
            bytes: Some(1_400),
            overflow,
        };
        let mut free = Run::new(&policy);
        let mut bound = Run::new(&AlignPolicy { bounds, ..policy.clone() });
        for (item, after) in arrivals {
            let item = Item { input: item.input % policy.inputs.len(), ..item };
            for run in [&mut free, &mut bound] {
                run.tick(run.now + after);
                run.push(item);
            }
            prop_assert_eq!(free.aligner.next_deadline(), bound.aligner.next_deadline());
        }
        for run in [&mut free, &mut bound] {
            run.tick(run.now + 50);
            run.aligner.finish(Timestamp::from_nanos(run.now), &mut run.out);
        }
        prop_assert_eq!(format!("{:?}", free.out), format!("{:?}", bound.out));
    }
}
