//! Dynamic batches in virtual time: random arrivals, instances with a known cost, and the queue between them, driven
//! just as its actor drives it.

use std::time::Duration;

use super::{BatchCosts, BatchMode, BatchOrder, BatchPolicy, Batchable, Batcher};
use crate::sample::StreamKey;
use crate::time::Timestamp;

struct Item {
    stream: StreamKey,
    arrived: Timestamp,
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

/// A model; costs are in seconds.
#[derive(Clone, Copy)]
struct SimulatedModel {
    fixed: f64,
    per_item: f64,
    instances: usize,
}

impl SimulatedModel {
    fn takes(&self, size: usize) -> f64 {
        self.fixed + self.per_item * size as f64
    }

    /// Bundles per second with batches of a size.
    fn rate(&self, size: usize) -> f64 {
        self.instances as f64 * size as f64 / self.takes(size)
    }
}

const MODEL: SimulatedModel = SimulatedModel { fixed: 8e-3, per_item: 1e-3, instances: 1 };
/// Batches that an instance may hold, as in the actor.
const SLOTS: usize = 2;

struct SimulatedLatencies {
    /// Latencies in seconds, ascending.
    latencies: Vec<f64>,
    /// Bundles per second, from the first arrival to the last end.
    rate: f64,
}

impl SimulatedLatencies {
    fn mean(&self) -> f64 {
        self.latencies.iter().sum::<f64>() / self.latencies.len() as f64
    }

    fn quantile(&self, part: f64) -> f64 {
        self.latencies[((self.latencies.len() - 1) as f64 * part) as usize]
    }
}

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// Runs `bundles` bundles that arrive at a rate with exponential gaps; `age` is the age of their events at arrival.
fn simulate(
    policy: &BatchPolicy,
    model: SimulatedModel,
    rate: f64,
    bundles: usize,
    age: Duration,
) -> SimulatedLatencies {
    let mut random = 0x9E37_79B9_7F4A_7C15_u64;
    let mut gap = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        -(((random >> 11) as f64 + 1.0) / (1u64 << 53) as f64).ln() / rate
    };
    let mut batcher = Batcher::new(policy.clone(), model.instances, BatchOrder::Arrival);
    let mut costs = BatchCosts::default();
    let mut free = vec![Timestamp::default(); model.instances];
    let mut running: Vec<(Timestamp, f64, Vec<Item>)> = Vec::new();
    let mut next_arrival = Timestamp::default();
    let (mut now, mut arrived, mut done) = (Timestamp::default(), 0, Vec::new());
    while done.len() < bundles {
        if arrived < bundles && next_arrival <= now {
            let item = Item { stream: StreamKey::from("s"), arrived: now, event_time: now.before(age) };
            batcher.push(item, now);
            arrived += 1;
            next_arrival = now.after(seconds(gap()));
            continue;
        }
        running.sort_by_key(|(end, ..)| *end);
        if running.first().is_some_and(|(end, ..)| *end <= now) {
            let (end, took, items) = running.remove(0);
            costs.model.observe(items.len(), seconds(took));
            done.extend(items.iter().map(|item| end.since(item.arrived).as_secs_f64()));
            continue;
        }
        batcher.learn(costs);
        let has_slot = running.len() < model.instances * SLOTS;
        let go_at = if has_slot { batcher.go_at(now, running.len()) } else { None };
        if go_at.is_some_and(|at| at <= now) {
            let items = batcher.cut(now);
            let instance = free.iter_mut().min().expect("there is one");
            let took = model.takes(items.len());
            *instance = now.max(*instance).after(seconds(took));
            running.push((*instance, took, items));
            continue;
        }
        let next = running.iter().map(|(end, ..)| *end).chain(go_at);
        now = next
            .chain((arrived < bundles).then_some(next_arrival))
            .min()
            .expect("an arrival or an end is still to come");
    }
    let rate = done.len() as f64 / now.since(Timestamp::default()).as_secs_f64();
    done.sort_by(f64::total_cmp);
    SimulatedLatencies { latencies: done, rate }
}

const LIVE: Duration = Duration::ZERO;
const OLD: Duration = Duration::from_secs(3_600);

fn policy(max_size: usize) -> BatchPolicy {
    BatchPolicy { mode: BatchMode::Dynamic, max_size, ..BatchPolicy::default() }
}

#[test]
fn idle_latency_is_that_of_a_single_bundle() {
    let outcome = simulate(&policy(8), MODEL, 2.0, 500, LIVE);
    let alone = MODEL.takes(1);
    assert!(outcome.mean() < alone * 1.05, "{} s for {alone} s", outcome.mean());
    let waiting = simulate(&policy(8), MODEL, 2.0, 500, OLD);
    assert!(waiting.mean() > alone + 4e-3, "a delay of 5 ms costs that each time: {}", waiting.mean());
}

#[test]
fn overload_reaches_the_throughput_of_full_batches() {
    for (max_size, instances) in [(8, 1), (8, 3), (64, 1)] {
        let model = SimulatedModel { instances, ..MODEL };
        let most = model.rate(max_size);
        for age in [LIVE, OLD] {
            let outcome = simulate(&policy(max_size), model, 2.0 * most, 20_000, age);
            assert!(outcome.rate >= 0.95 * most, "{max_size} x {instances}: {} of {most}", outcome.rate);
        }
    }
}

#[test]
fn dynamic_latency_is_never_worse_than_with_a_fixed_delay() {
    for instances in [1, 2] {
        let model = SimulatedModel { instances, ..MODEL };
        for part in [0.05, 0.2, 0.4, 0.6, 0.8, 0.9] {
            let rate = part * model.rate(8);
            let ours = simulate(&policy(8), model, rate, 20_000, LIVE).mean();
            let fixed = simulate(&policy(8), model, rate, 20_000, OLD).mean();
            assert!(ours <= fixed * 1.02, "{instances} at {part}: {ours} s, {fixed} s with a fixed delay");
        }
    }
}

#[test]
fn target_latency_is_met_at_medium_load() {
    // Batches of 64 take 72 ms: waiting for one and being in the next is beyond the target.
    let target = Some(Duration::from_millis(60));
    let aimed = BatchPolicy { target_latency: target, max_delay: Duration::from_millis(30), ..policy(64) };
    for part in [0.1, 0.3, 0.5] {
        let rate = part * MODEL.rate(64);
        let outcome = simulate(&aimed, MODEL, rate, 20_000, LIVE);
        assert!(outcome.quantile(0.99) <= 0.060, "at {part}: {} s", outcome.quantile(0.99));
    }
}

#[test]
fn unreachable_target_does_not_cost_throughput() {
    let aimed = BatchPolicy { target_latency: Some(Duration::from_millis(1)), ..policy(64) };
    let most = MODEL.rate(64);
    let outcome = simulate(&aimed, MODEL, 2.0 * most, 20_000, LIVE);
    assert!(outcome.rate >= 0.95 * most, "{} of {most}", outcome.rate);
}

#[test]
fn static_batches_have_the_highest_throughput() {
    let full = BatchPolicy { mode: BatchMode::Static, ..policy(8) };
    let outcome = simulate(&full, MODEL, 0.5 * MODEL.rate(8), 8_000, LIVE);
    let dynamic = simulate(&policy(8), MODEL, 0.5 * MODEL.rate(8), 8_000, LIVE);
    assert!(outcome.mean() > dynamic.mean(), "they wait for it");
    let loaded = simulate(&full, MODEL, 2.0 * MODEL.rate(8), 8_000, LIVE);
    assert!(loaded.rate >= 0.99 * MODEL.rate(8), "{}", loaded.rate);
}
