//! Benchmark of the ledger: ended records a second, with all steps before the end, over 12 partitions; and the
//! encoding of completion maps.

#![allow(missing_docs, reason = "criterion's macros make functions without any")]
#![allow(clippy::expect_used, reason = "a benchmark may stop")]

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use lockstep_engine::completion::Progress;
use lockstep_engine::position::{InputId, NextOffset, Offset, Position};
use lockstep_engine::publish::{Ledger, Settled};

const PARTITIONS: i32 = 12;
/// Endings in one iteration; a multiple of the partitions and of [`WINDOW`].
const RECORDS: i64 = 240_000;
/// The number of records of a partition that end out of order.
const WINDOW: i64 = 1_000;

fn mixed(i: i64) -> u64 {
    (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29).wrapping_mul(0x5851_f42d_4c95_7f2d)
}

/// The offsets of one partition in the order in which they end.
fn order(window: i64) -> Vec<i64> {
    let mut offsets: Vec<i64> = (0..RECORDS / i64::from(PARTITIONS)).collect();
    for window in offsets.chunks_mut(window as usize) {
        for i in (1..window.len()).rev() {
            window.swap(i, (mixed(window[i]) % (i as u64 + 1)) as usize);
        }
    }
    offsets
}

fn endings(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ledger");
    group.throughput(Throughput::Elements(RECORDS as u64)).sample_size(20);
    for (name, window) in [("in-order", 1), ("within-1000", WINDOW)] {
        let order = order(window);
        let mut ledger: Ledger<u64> = Ledger::new(4096);
        let mut base = 0;
        for partition in 0..PARTITIONS {
            let id = Position::new(InputId(0), partition, 0).partition;
            ledger.assign(id, NextOffset(base), &Progress::default(), 1);
        }
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter(|| {
                for (chunk, ends) in (0_i64..).zip(order.chunks(WINDOW as usize)) {
                    for partition in 0..PARTITIONS {
                        let at = |offset| Position::new(InputId(0), partition, base + offset);
                        for offset in chunk * WINDOW..(chunk + 1) * WINDOW {
                            ledger.open(at(offset), 1);
                        }
                        black_box(ledger.metadata_pressure());
                        for offset in ends {
                            ledger.settle(at(*offset), 1, Settled::Published);
                            black_box(ledger.release(at(*offset), 1, 1));
                        }
                    }
                    black_box(ledger.committable());
                }
                base += RECORDS / i64::from(PARTITIONS);
            });
        });
    }
    group.finish();
}

fn maps(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("map");
    let (mut random, mut stretches, mut published) = <(Progress, Progress, Progress)>::default();
    for offset in (1..20_000).map(Offset) {
        if mixed(offset.0) >> 63 == 0 {
            random.ended.insert(offset, offset.next());
        }
        if mixed(offset.0 / 50) >> 63 == 0 {
            stretches.ended.insert(offset, offset.next());
        }
        match mixed(offset.0) % 3 {
            0 => published.ended.insert(offset, offset.next()),
            1 => published.published.insert(offset, offset.next()),
            _ => {}
        }
    }
    let maps = [("random-20000", random), ("stretches-20000", stretches), ("published-20000", published)];
    for (name, map) in maps {
        let base = NextOffset(0);
        let text = map.encode(base, usize::MAX).expect("it fits");
        println!("{name}: {} runs, {} characters", map.ended.runs().len(), text.len());
        group.bench_function(BenchmarkId::new("encode", name), |bencher| {
            bencher.iter(|| black_box(&map).encode(base, usize::MAX));
        });
        group.bench_function(BenchmarkId::new("decode", name), |bencher| {
            bencher.iter(|| Progress::decode(base, black_box(&text)));
        });
    }
    // The map including the ledger's work: half of the records in flight have ended, and one more ends.
    let mut ledger: Ledger<u64> = Ledger::new(4096);
    let partition = Position::new(InputId(0), 0, 0).partition;
    group.bench_function("ledger-20000", |bencher| {
        bencher.iter_batched_ref(
            || {
                ledger.assign(partition, NextOffset(0), &Progress::default(), 1);
                for offset in 0..20_000 {
                    ledger.open(Position { partition, offset: Offset(offset) }, 1);
                }
                for offset in (1..20_000).filter(|offset| mixed(*offset) >> 63 == 0) {
                    ledger.end(Position { partition, offset: Offset(offset) }, 1);
                }
                std::mem::replace(&mut ledger, Ledger::new(4096))
            },
            |ledger| black_box(ledger.committable()),
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

criterion_group!(benches, endings, maps);
criterion_main!(benches);
