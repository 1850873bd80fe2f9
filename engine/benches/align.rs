//! The aligner: samples a second on one core, for three inputs and 1 to 100 000 streams.
//!
//! Each stream has a pivot every 40 ms and for each pivot one sample of each other input, in between, or for `exact` at
//! the same time. Spans are 200 ms long, sessions end after each pivot's samples. The streams
//! take turns, so that with many of them every sample meets a cold one. The clock runs with the event times.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use lockstep_engine::align::{
    AlignPolicy, Aligner, ApproximateTime, Event, Held, InputPolicy, Join, Method, Missing, Needs, Revise,
    Stamp,
};
use lockstep_engine::position::InputId;
use lockstep_engine::sample::StreamKey;
use lockstep_engine::time::Timestamp;

/// Samples pushed in one iteration.
const SAMPLES: usize = 300_000;
const MS: i64 = 1_000_000;

fn policy(joins: [Join; 2]) -> Arc<AlignPolicy> {
    let input = |name: &str, join| InputPolicy {
        name: name.into(),
        out_of_orderness: Duration::from_millis(20),
        idle_timeout: Duration::from_secs(1),
        join,
        missing: Missing::Emit,
        clock: Default::default(),
        needs: Needs::default(),
    };
    Arc::new(AlignPolicy {
        method: Method::Pivot(InputId(0)),
        inputs: vec![input("video", Join::Pivot), input("sound", joins[0]), input("text", joins[1])],
        max_wait: Duration::from_secs(2),
        forget_after: Duration::from_secs(60),
        revise: Revise::default(),
        bounds: Default::default(),
    })
}

/// Another method over the same inputs.
fn without_pivot(method: Method) -> Arc<AlignPolicy> {
    Arc::new(AlignPolicy { method, ..(*policy([Join::Pivot, Join::Pivot])).clone() })
}

/// What is aligned: nobody looks into it.
struct Item;

impl Held for Item {
    fn weight(&self) -> u64 {
        1_000
    }
}

/// A run that goes on and on: `step` pushes the next samples.
struct Load {
    aligner: Aligner<Arc<Item>>,
    streams: Vec<StreamKey>,
    item: Arc<Item>,
    lasts: Duration,
    /// When each input's sample comes after the pivot's, in milliseconds.
    offsets: [i64; 3],
    round: i64,
    turn: usize,
    out: Vec<Event<Arc<Item>>>,
}

impl Load {
    fn new(policy: Arc<AlignPolicy>, streams: usize, lasts: Duration) -> Self {
        let offsets = if policy.method == Method::Exact { [0; 3] } else { [0, 7, -11] };
        let streams = (0..streams).map(|i| StreamKey::from(format!("camera-{i:06}").as_str())).collect();
        Self {
            aligner: Aligner::new(policy),
            streams,
            item: Arc::new(Item),
            lasts,
            offsets,
            round: 0,
            turn: 0,
            out: Vec::new(),
        }
    }

    /// One sample of each input for each stream in turn; every few streams the events are taken away.
    fn step(&mut self, samples: usize) -> usize {
        let mut bundles = 0;
        for _ in 0..samples / 3 {
            let Some(stream) = self.streams.get(self.turn) else { return bundles };
            let at = self.round * 40 * MS;
            let now = Timestamp::from_nanos(at);
            let lasts = [Duration::ZERO, self.lasts, Duration::ZERO];
            for (input, (offset, lasts)) in (0..).zip(self.offsets.into_iter().zip(lasts)) {
                let stamp = Stamp::new(Timestamp::from_nanos(at + offset * MS), lasts);
                self.aligner.push(stream, InputId(input), stamp, Arc::clone(&self.item), now, &mut self.out);
            }
            self.turn += 1;
            if self.turn == self.streams.len() {
                (self.turn, self.round) = (0, self.round + 1);
            }
            if self.turn.is_multiple_of(64) {
                self.aligner.tick(now, &mut self.out);
                bundles += self.out.drain(..).filter(|event| matches!(event, Event::Bundle(_))).count();
            }
        }
        bundles
    }
}

fn align(criterion: &mut Criterion) {
    let ms = Duration::from_millis;
    let point = [Join::Nearest { tolerance: ms(40), reuse: true }, Join::Latest { max_age: ms(1_000) }];
    let windows = [
        Join::Window { before: ms(100), after: ms(20) },
        Join::Window { before: ms(80), after: Duration::ZERO },
    ];
    let mut group = criterion.benchmark_group("align");
    group.throughput(Throughput::Elements(SAMPLES as u64)).sample_size(10);
    group.warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    for (name, policy, lasts) in [
        ("nearest+latest", policy(point), Duration::ZERO),
        ("window+window", policy(windows), Duration::from_millis(40)),
        ("exact", without_pivot(Method::Exact), Duration::ZERO),
        (
            "approximate-time",
            without_pivot(Method::ApproximateTime(ApproximateTime::default())),
            Duration::ZERO,
        ),
        ("tumbling", without_pivot(Method::Tumbling { size: ms(200) }), Duration::from_millis(40)),
        ("session", without_pivot(Method::Session { gap: ms(20), max: ms(1_000) }), Duration::ZERO),
    ] {
        for streams in [1, 1_000, 100_000] {
            let mut load = Load::new(Arc::clone(&policy), streams, lasts);
            // Past the first second of event time, when buffers have found their size.
            load.step(streams * 3 * 10);
            group.bench_function(BenchmarkId::new(name, streams), |bencher| {
                bencher.iter(|| black_box(load.step(SAMPLES)));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, align);
criterion_main!(benches);
