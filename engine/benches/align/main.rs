//! Benchmark of the aligner. It measures samples a second on one core, by method and number of streams, by number of
//! inputs, and by number of held samples. It also prints the bytes of a held sample and of an idle stream.
//!
//! Each stream has a pivot every 40 ms. For each pivot it has one sample of each other input, in between, or for
//! `exact` at the same time. Spans are 200 ms long; sessions end after each pivot's samples. Samples arrive as at a
//! align actor, one poll of a partition at a time: of one input, and one sample each of up to 256 streams. Then come
//! the next streams, so that with many of them every poll meets cold ones. The clock runs with the event times.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use lockstep_engine::align::{AlignPolicy, ApproximateTime, Join, Method};

use load::{Load, PERIOD, policy, without_pivot};

mod load;
mod memory;

/// Samples pushed in one iteration.
const SAMPLES: usize = 240_000;

const NEAREST: Join = Join::Nearest { tolerance: Duration::from_millis(40), reuse: true };
const ONCE: Join = Join::Nearest { tolerance: Duration::from_millis(40), reuse: false };
const BETWEEN: Join = Join::AllBetweenPivots { max_age: Duration::from_millis(1_000) };
const LATEST: Join = Join::Latest { max_age: Duration::from_millis(1_000) };

/// Each method over three inputs, and the duration of the samples of the second.
fn methods(out_of_orderness: Duration) -> [(&'static str, Arc<AlignPolicy>, Duration); 7] {
    let ms = Duration::from_millis;
    let windows = [
        Join::Window { before: ms(100), after: ms(20) },
        Join::Window { before: ms(80), after: Duration::ZERO },
    ];
    let other = |method| without_pivot(method, 3, out_of_orderness);
    let queue = 1_000.max(2 * (out_of_orderness.as_millis() / PERIOD.as_millis()) as usize);
    let approximate = ApproximateTime { queue, ..ApproximateTime::default() };
    [
        ("nearest+latest", policy(&[NEAREST, LATEST], out_of_orderness), Duration::ZERO),
        ("once+between", policy(&[ONCE, BETWEEN], out_of_orderness), Duration::ZERO),
        ("window+window", policy(&windows, out_of_orderness), ms(40)),
        ("exact", other(Method::Exact), Duration::ZERO),
        ("approximate-time", other(Method::ApproximateTime(approximate)), Duration::ZERO),
        ("tumbling", other(Method::Tumbling { size: ms(200) }), ms(40)),
        ("session", other(Method::Session { gap: ms(20), max: ms(1_000) }), Duration::ZERO),
    ]
}

fn measure(criterion: &mut Criterion, group: &str, id: BenchmarkId, mut load: Load) {
    let mut group = criterion.benchmark_group(group);
    group.throughput(Throughput::Elements(SAMPLES as u64)).sample_size(10);
    group.warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    group.bench_function(id, |bencher| bencher.iter(|| black_box(load.step(SAMPLES))));
    group.finish();
}

fn by_streams(criterion: &mut Criterion) {
    for (name, policy, lasts) in methods(Duration::from_millis(20)) {
        for streams in [1, 1_000, 100_000] {
            let mut load = Load::new(Arc::clone(&policy), streams, lasts);
            // By then the buffers have reached their size.
            load.rounds(10);
            measure(criterion, "align", BenchmarkId::new(name, streams), load);
        }
    }
}

/// A pivot; the other inputs join their nearest and their latest sample by turns.
fn by_inputs(criterion: &mut Criterion) {
    for inputs in [2, 3, 4, 8, 16] {
        let joins: Vec<Join> = [NEAREST, LATEST].into_iter().cycle().take(inputs - 1).collect();
        let mut load = Load::new(policy(&joins, Duration::from_millis(20)), 1_000, Duration::ZERO);
        load.rounds(10);
        measure(criterion, "align-inputs", BenchmarkId::new("nearest+latest", inputs), load);
    }
}

/// Measures by the number of held samples of each input, set by the out-of-orderness.
fn by_depth(criterion: &mut Criterion) {
    for depth in [1, 10, 100, 1_000] {
        for (name, policy, lasts) in methods(PERIOD * depth) {
            let mut load = Load::new(policy, 10, lasts);
            load.rounds(2 * depth as usize + 10);
            measure(criterion, "align-depth", BenchmarkId::new(name, depth), load);
        }
    }
}

fn bytes(_: &mut Criterion) {
    memory::print(100);
    memory::print_idle(100_000);
}

criterion_group!(benches, bytes, by_streams, by_inputs, by_depth);
criterion_main!(benches);
