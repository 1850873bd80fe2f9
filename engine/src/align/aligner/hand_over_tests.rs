//! Hand-over leaves no trace in the events of a stream: they are the same whether it moved between shards or not.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::super::super::bounds::Overflow;
use super::super::super::bounds_property_tests::{Emitted, Item, Run, arrivals, bounds, key, policies};
use super::super::super::event::Event;
use super::*;
use crate::position::InputId;
use crate::sharding::{Awaiting, Router, ShardResize};

/// The events of each stream, in their order.
type ByStream = BTreeMap<String, Vec<String>>;

fn note(by_stream: &mut ByStream, events: &mut Vec<Event<Item>>) {
    for event in events.drain(..) {
        let stream = match (&event, event.ended()) {
            (_, Some(item)) => key(item.stream),
            (Event::Epoch { stream, .. }, _) => stream.clone(),
            (Event::Bundle(bundle) | Event::Dropped { bundle, .. } | Event::DeadLetter { bundle, .. }, _) => {
                bundle.stream.clone()
            }
            _ => panic!("{event:?} is of no stream"),
        };
        by_stream.entry(stream.to_string()).or_default().push(format!("{event:?}"));
    }
}

/// A stream that goes to an aligner before a sample comes.
type Move = Option<(usize, usize)>;

/// Several aligners, and the streams that each has.
struct Several {
    runs: Vec<Run>,
    owners: [usize; 3],
}

impl Several {
    fn new(policy: &AlignPolicy) -> Self {
        Self { runs: (0..3).map(|_| Run::new(policy)).collect(), owners: [0; 3] }
    }

    fn go(&mut self, (stream, to): (usize, usize)) {
        let from = std::mem::replace(&mut self.owners[stream], to);
        if let Some(handover) = self.runs[from].aligner.hand_over(&key(stream)) {
            assert_eq!(handover.stream(), &key(stream));
            self.runs[to].aligner.adopt(handover).expect("no other aligner has it");
        }
    }

    fn tick(&mut self, now: i64) {
        self.runs.iter_mut().for_each(|run| run.tick(now));
    }

    fn sum(&self, of: impl Fn(&Aligner<Item>) -> usize) -> usize {
        self.runs.iter().map(|run| of(&run.aligner)).sum()
    }

    fn check_totals(&self, emitted: &Emitted) -> Result<(), TestCaseError> {
        prop_assert_eq!(self.sum(Aligner::buffered), emitted.held.len());
        let mut sum = (0, 0);
        for account in self.runs.iter().filter_map(|run| run.aligner.account.as_ref()) {
            let (total, of_streams) = account.totals();
            prop_assert_eq!(total, of_streams);
            sum = (sum.0 + total.0, sum.1 + total.1);
        }
        if self.runs[0].aligner.account.is_some() {
            let bytes = emitted.held.values().map(|item| item.weight).sum::<u64>();
            prop_assert_eq!(sum, (emitted.held.len() as u64, bytes));
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_moved_stream_emits_the_events_of_one_that_stays(
        policy in policies(),
        bounds in bounds(),
        arrivals in arrivals(),
        moves in vec(option::of((0..3_usize, 0..3_usize)), 70),
    ) {
        // Bounds over all streams are shared out, so evictions would depend on the other streams of an aligner.
        let bounds = Bounds { items: None, bytes: None, ..bounds };
        let policy = AlignPolicy { bounds, ..policy };
        let (mut one, mut several) = (Run::new(&policy), Several::new(&policy));
        let (mut by_one, mut by_several) = (ByStream::new(), ByStream::new());
        let mut now = 0;
        for ((item, after), moves) in arrivals.into_iter().zip(moves) {
            now += after;
            one.tick(now);
            several.tick(now);
            // The events of the giver come before those of the taker.
            several.runs.iter_mut().for_each(|run| note(&mut by_several, &mut run.out));
            let moves: Move = moves;
            moves.into_iter().for_each(|it| several.go(it));
            let item = Item { input: item.input % policy.inputs.len(), ..item };
            one.push(item);
            several.runs[several.owners[item.stream]].push(item);
            note(&mut by_one, &mut one.out);
            several.runs.iter_mut().for_each(|run| note(&mut by_several, &mut run.out));
            prop_assert_eq!(&by_several, &by_one);
            prop_assert_eq!(several.sum(Aligner::buffered), one.aligner.buffered());
            prop_assert_eq!(several.sum(Aligner::streams), one.aligner.streams());
            let latest = |run: &Run| (0..3).map(|i| run.aligner.latest(InputId(i))).collect::<Vec<_>>();
            let of_several = several.runs.iter().map(latest).reduce(|a, b| a.into_iter().zip(b).map(|(a, b)| a.max(b)).collect());
            prop_assert_eq!(of_several, Some(latest(&one)));
        }
        // Every deadline was handed over too.
        one.tick(now + 2_000);
        several.tick(now + 2_000);
        note(&mut by_one, &mut one.out);
        several.runs.iter_mut().for_each(|run| note(&mut by_several, &mut run.out));
        prop_assert_eq!(by_several, by_one);
        prop_assert_eq!((several.sum(Aligner::buffered), several.sum(Aligner::streams)), (0, 0));
    }

    #[test]
    fn held_samples_add_up_and_end_once_wherever_streams_move(
        policy in policies(),
        bounds in bounds(),
        arrivals in arrivals(),
        moves in vec(option::of((0..3_usize, 0..3_usize)), 70),
    ) {
        // Once a stream has arrived, the sample that exceeds a bound is no longer the next one.
        let refuses = bounds.overflow == Overflow::DropNewest;
        let bounds = if refuses { Bounds { items: None, bytes: None, ..bounds } } else { bounds };
        let policy = AlignPolicy { bounds, ..policy };
        let (mut several, mut emitted, mut now) = (Several::new(&policy), Emitted::default(), 0);
        let count = arrivals.len();
        for ((item, after), moves) in arrivals.into_iter().zip(moves) {
            now += after;
            several.tick(now);
            for run in &mut several.runs {
                emitted.observe(&policy, &mut run.out, None)?;
            }
            let moves: Move = moves;
            moves.into_iter().for_each(|it| several.go(it));
            several.check_totals(&emitted)?;
            let item = Item { input: item.input % policy.inputs.len(), ..item };
            let run = &mut several.runs[several.owners[item.stream]];
            run.push(item);
            emitted.observe(&policy, &mut run.out, Some(item))?;
            several.check_totals(&emitted)?;
        }
        several.tick(now + 2_000);
        for run in &mut several.runs {
            emitted.observe(&policy, &mut run.out, None)?;
        }
        several.check_totals(&emitted)?;
        prop_assert_eq!((emitted.held.len(), emitted.ended), (0, count));
    }
}

/// A message to a shard's mailbox.
enum Message {
    Sample(Item),
    Expect(ShardResize),
    HandOver(ShardResize),
    /// One stream, or none when all have been handed over.
    Adopt {
        giver: usize,
        stream: Option<Handover<Item>>,
    },
}

struct Shard {
    run: Run,
    link: VecDeque<Message>,
    awaiting: Option<Awaiting<Item>>,
    /// The streams that it still has to hand over.
    giving: Option<(ShardResize, Vec<StreamKey>)>,
}

impl Shard {
    fn new(policy: &AlignPolicy) -> Self {
        Self { run: Run::new(policy), link: VecDeque::new(), awaiting: None, giving: None }
    }
}

/// Shards behind a router, each with a mailbox. The test decides which shard goes on.
struct Sharded {
    policy: AlignPolicy,
    router: Router,
    shards: Vec<Shard>,
}

impl Sharded {
    fn push(&mut self, item: Item) {
        let owner = self.router.owner(&key(item.stream));
        self.shards[owner].link.push_back(Message::Sample(item));
    }

    fn resize(&mut self, to: usize) {
        let Ok(resize) = self.router.resize(to) else { return };
        while self.shards.len() < to {
            self.shards.push(Shard::new(&self.policy));
        }
        resize.takers().for_each(|it| self.shards[it].link.push_back(Message::Expect(resize)));
        resize.givers().for_each(|it| self.shards[it].link.push_back(Message::HandOver(resize)));
    }

    /// A shard hands over one stream of those that it still has to.
    fn give(&mut self, which: usize) -> bool {
        let Some(shard) = self.shards.get_mut(which) else { return false };
        let Some((resize, streams)) = &mut shard.giving else { return false };
        let resize = *resize;
        match streams.pop() {
            Some(stream) => {
                let (giver, taker) = resize.moves(&stream).expect("the stream was to move");
                assert_eq!(giver, which);
                if let Some(handover) = shard.run.aligner.hand_over(&stream) {
                    self.shards[taker].link.push_back(Message::Adopt { giver, stream: Some(handover) });
                }
            }
            None => {
                shard.giving = None;
                for taker in resize.takers() {
                    self.shards[taker].link.push_back(Message::Adopt { giver: which, stream: None });
                }
            }
        }
        true
    }

    /// Ends the resize of a taker that has all its own streams.
    fn adopted(&mut self, which: usize) {
        if self.router.adopted(which).is_some() {
            for gone in self.shards.drain(self.router.shards()..) {
                assert!(gone.link.is_empty() && gone.run.out.is_empty());
                assert_eq!((gone.run.aligner.streams(), gone.run.aligner.buffered()), (0, 0));
            }
        }
    }

    /// Handles a shard's next message. Returns true if there was one.
    fn step(&mut self, which: usize) -> bool {
        let Some(message) = self.shards.get_mut(which).and_then(|shard| shard.link.pop_front()) else {
            return false;
        };
        let shard = &mut self.shards[which];
        match message {
            Message::Sample(item) => {
                let Shard { run, awaiting, .. } = shard;
                let stream = key(item.stream);
                let now = match awaiting {
                    Some(awaiting) => awaiting.keep(&stream, item, || run.aligner.knows(&stream)),
                    None => Some(item),
                };
                now.into_iter().for_each(|item| run.push(item));
            }
            Message::Expect(resize) => {
                assert!(shard.awaiting.replace(Awaiting::new(resize)).is_none(), "one at a time");
            }
            Message::HandOver(resize) => {
                let moving = |stream: &&StreamKey| resize.moves(stream).is_some();
                let streams: Vec<_> = shard.run.aligner.keys().filter(moving).cloned().collect();
                shard.giving = Some((resize, streams));
            }
            Message::Adopt { giver, stream } => {
                let Shard { run, awaiting, .. } = shard;
                let awaiting = awaiting.as_mut().expect("the resize came before");
                let go_on = match stream {
                    Some(handover) => {
                        let stream = handover.stream().clone();
                        run.aligner.adopt(handover).expect("no other aligner has it");
                        awaiting.adopted(&stream)
                    }
                    None => awaiting.handed_over(giver),
                };
                go_on.into_iter().for_each(|item| run.push(item));
                if awaiting.is_over() {
                    shard.awaiting = None;
                    self.adopted(which);
                }
            }
        }
        true
    }
}

#[derive(Clone, Copy, Debug)]
enum Turn {
    Push,
    Resize(usize),
    Step(usize),
    Give(usize),
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let turn = prop_oneof![
        4 => Just(Turn::Push),
        1 => (1..6_usize).prop_map(Turn::Resize),
        6 => (0..6_usize).prop_map(Turn::Step),
        4 => (0..6_usize).prop_map(Turn::Give),
    ];
    vec(turn, 0..400)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn resizing_gives_each_stream_the_events_of_one_shard(
        policy in policies(),
        arrivals in arrivals(),
        turns in turns(),
        shards in 1..5_usize,
    ) {
        // No timers: this test ignores the waits of samples in mailboxes and for their streams.
        let long = Duration::from_secs(3_600);
        let mut policy = AlignPolicy { max_wait: long, forget_after: long, ..policy };
        policy.inputs.iter_mut().for_each(|input| input.idle_timeout = long);
        let mut sharded = Sharded {
            router: Router::new(shards),
            shards: (0..shards).map(|_| Shard::new(&policy)).collect(),
            policy: policy.clone(),
        };
        let (mut one, mut by_one, mut by_shards) = (Run::new(&policy), ByStream::new(), ByStream::new());
        let mut items = arrivals.into_iter().map(|(item, _)| Item { input: item.input % policy.inputs.len(), ..item });
        for turn in turns {
            match turn {
                Turn::Push => {
                    if let Some(item) = items.next() {
                        one.push(item);
                        sharded.push(item);
                    }
                }
                Turn::Resize(to) => sharded.resize(to),
                Turn::Step(shard) => {
                    sharded.step(shard);
                }
                Turn::Give(shard) => {
                    sharded.give(shard);
                }
            }
            // The events of all shards go the same way, one after the other.
            sharded.shards.iter_mut().for_each(|shard| note(&mut by_shards, &mut shard.run.out));
        }
        for item in items {
            one.push(item);
            sharded.push(item);
        }
        while (0..sharded.shards.len()).any(|shard| sharded.step(shard) || sharded.give(shard)) {
            sharded.shards.iter_mut().for_each(|shard| note(&mut by_shards, &mut shard.run.out));
        }
        note(&mut by_one, &mut one.out);
        prop_assert!(sharded.router.moving().is_none(), "it comes to an end");
        prop_assert_eq!(&by_shards, &by_one);
        let sum = |of: fn(&Aligner<Item>) -> usize| sharded.shards.iter().map(|it| of(&it.run.aligner)).sum::<usize>();
        prop_assert_eq!(sum(Aligner::buffered), one.aligner.buffered());
        prop_assert_eq!(sum(Aligner::streams), one.aligner.streams());
        let now = Timestamp::from_nanos(0);
        one.aligner.finish(now, &mut one.out);
        note(&mut by_one, &mut one.out);
        for shard in &mut sharded.shards {
            shard.run.aligner.finish(now, &mut shard.run.out);
            note(&mut by_shards, &mut shard.run.out);
        }
        prop_assert_eq!(by_shards, by_one);
    }
}
