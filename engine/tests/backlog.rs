//! The memory of a replay: ten hours of two inputs wait in Kafka, and one input is read much faster than the other.
//! It is measured with and without a bound on the drift, over the real gate, budget and aligner.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says what went wrong")]

use std::sync::Arc;
use std::time::Duration;

use lockstep_engine::align::{AlignPolicy, Aligner, Event, Held, InputPolicy, Join, Method, Stamp};
use lockstep_engine::budget::{Budget, Reservation};
use lockstep_engine::ingest::gate::{DriftLimit, Gate};
use lockstep_engine::position::{InputId, PartitionId};
use lockstep_engine::sample::StreamKey;
use lockstep_engine::time::Timestamp;

const VIDEO: usize = 0;
const SOUND: usize = 1;
/// The period of each input, in milliseconds of event time.
const PERIODS: [i64; 2] = [1_000, 500];
const HOURS: i64 = 10 * 3_600 * 1_000;
/// The size of each input's records, in bytes.
const WEIGHTS: [usize; 2] = [50_000, 16_000];
const LIMIT: u64 = 256 << 20;

struct Item {
    reservation: Reservation,
}

impl Held for Item {
    fn weight(&self) -> u64 {
        self.reservation.bytes()
    }
}

fn partition(input: usize) -> PartitionId {
    PartitionId { input: InputId(input as u16), partition: 0 }
}

fn policy() -> Arc<AlignPolicy> {
    let window = Join::Window { before: Duration::from_secs(2), after: Duration::ZERO };
    Arc::new(AlignPolicy {
        max_wait: Duration::from_secs(3_600),
        forget_after: Duration::from_secs(7_200),
        ..AlignPolicy::new(
            Method::Pivot(InputId(VIDEO as u16)),
            vec![InputPolicy::new("video", Join::Pivot), InputPolicy::new("sound", window)],
        )
    })
}

struct Outcome {
    peak: u64,
    bundles: usize,
    complete: usize,
    paused: bool,
}

/// Replays all records. In each millisecond of wall time it reads `read` records of each input that is not paused.
fn replay(most: Option<Duration>, read: [usize; 2]) -> Outcome {
    let budget = Budget::new(LIMIT);
    let mut gate = Gate::new(LIMIT, DriftLimit { most, idle: vec![Duration::from_secs(2); 2] });
    let mut aligner: Aligner<Arc<Item>> = Aligner::new(policy());
    let stream = StreamKey::from("cam-1");
    let mut now = Timestamp::from_millis(1_800_000_000_000);
    let first = now.before(Duration::from_secs(11 * 3_600));
    let counts = PERIODS.map(|period| HOURS / period);
    let mut next = [0i64; 2];
    (0..2).for_each(|input| gate.assign(partition(input), now));
    let (mut events, mut reported) = (Vec::new(), 0i64);
    let mut outcome = Outcome { peak: 0, bundles: 0, complete: 0, paused: false };
    let mut rounds = 0;
    while next != counts {
        rounds += 1;
        assert!(rounds < 10_000_000, "the replay is stalled at {next:?} of {counts:?}");
        now = now.after(Duration::from_millis(1));
        // The source reports the lag once a second.
        if now.as_millis() / 1_000 != reported {
            reported = now.as_millis() / 1_000;
            (0..2).for_each(|input| gate.lag(partition(input), counts[input] - next[input]));
        }
        aligner.tick(now, &mut events);
        for input in 0..2 {
            if gate.paused().contains(&partition(input)) {
                outcome.paused = true;
                continue;
            }
            for _ in 0..read[input] {
                if next[input] == counts[input] {
                    break;
                }
                let event_time = first.after(Duration::from_millis((next[input] * PERIODS[input]) as u64));
                next[input] += 1;
                gate.seen(partition(input), event_time, now);
                let item = Arc::new(Item { reservation: budget.reserve(WEIGHTS[input]) });
                let stamp = Stamp::new(event_time, Duration::ZERO);
                aligner.push(&stream, InputId(input as u16), stamp, item, now, &mut events);
            }
        }
        for event in events.drain(..) {
            if let Event::Bundle(bundle) = event {
                outcome.bundles += 1;
                outcome.complete += usize::from(bundle.is_complete());
            }
        }
        outcome.peak = outcome.peak.max(budget.used());
        gate.decide(budget.used(), false, now);
    }
    outcome
}

#[test]
fn drift_bound_keeps_a_skewed_backlog_far_below_the_budget() {
    // With the bound: at most sixty seconds of the input ahead, whichever it is, and one chunk of a read.
    for (read, ahead) in [([1, 64], SOUND), ([64, 1], VIDEO)] {
        let free = replay(None, read);
        let bound = replay(Some(Duration::from_secs(60)), read);
        for outcome in [&free, &bound] {
            assert!(outcome.peak <= LIMIT, "{} of {LIMIT} bytes", outcome.peak);
            assert_eq!(outcome.bundles as i64, HOURS / PERIODS[VIDEO]);
            assert!(outcome.paused);
        }
        assert!(
            free.peak > LIMIT / 5 * 4,
            "without the bound the gate's whole budget is used: {}",
            free.peak
        );
        // The rest is read before the source first reports the lag, and before it reports the end of the other input.
        let held = 60_000 / PERIODS[ahead] + 64;
        let most = held as u64 * WEIGHTS[ahead] as u64 + (4 << 20);
        assert!(bound.peak <= most, "{} of {most} bytes", bound.peak);
        assert_eq!(bound.complete, free.complete);
    }
}
