use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

const TIMEOUT: Duration = Duration::from_secs(10);
/// The time for which a transaction stays open under a backlog, in milliseconds.
const GATHERS: i64 = 1_000;

/// A broker with a quota, as in Apache Kafka: the average over eleven seconds, including the running one. It answers at
/// once, and reads nothing more from the connection until the average would be within the quota.
struct Broker {
    /// Bytes per second.
    quota: f64,
    taken: VecDeque<(i64, f64)>,
    muted_until: i64,
}

impl Broker {
    fn takes(&mut self, bytes: f64, now: i64) {
        let second = now / 1000;
        self.taken.retain(|(number, _)| second - number <= 10);
        match self.taken.back_mut().filter(|(number, _)| *number == second) {
            Some((_, taken)) => *taken += bytes,
            None => self.taken.push_back((second, bytes)),
        }
        let total: f64 = self.taken.iter().map(|(_, taken)| taken).sum();
        let elapsed = 10.0 + (now % 1000) as f64 / 1000.0;
        let excess = (total - self.quota * elapsed) / self.quota;
        if excess > 0.0 {
            self.muted_until = now + (excess * 1000.0) as i64;
        }
    }
}

/// The throughput of a client whose records all have `record` bytes and go to `partitions` partitions.
struct Run {
    longest: i64,
    acknowledged: f64,
    widest: usize,
}

fn run(quota: f64, record: usize, partitions: usize, latency: i64, seconds: i64) -> Run {
    let mut window = TransactionWindow::new(TIMEOUT);
    let mut broker = Broker { quota, taken: VecDeque::new(), muted_until: 0 };
    let mut queues = vec![0_usize; partitions];
    // Records on the way to the broker, and acknowledgements on the way back.
    let (mut requests, mut answers) = (VecDeque::<(i64, usize)>::new(), VecDeque::<(i64, usize)>::new());
    let (mut under_way, mut turn, mut begun, mut commit_at) = (0, 0, 0, None);
    let mut run = Run { longest: 0, acknowledged: 0.0, widest: 0 };
    for now in 0..seconds * 1000 {
        let at = Timestamp::from_millis(now);
        while answers.front().is_some_and(|(when, _)| *when <= now) {
            let (_, bytes) = answers.pop_front().unwrap_or_default();
            under_way -= bytes;
            run.acknowledged += bytes as f64;
            window.acknowledged(bytes, at);
        }
        if commit_at.is_none() && now < begun + GATHERS {
            while under_way == 0 || under_way + record <= window.width(at) {
                window.sent(record, at);
                under_way += record;
                turn += 1;
                queues[turn % partitions] += record;
            }
        } else if commit_at.is_none() && under_way == 0 {
            // Positions use the same connection.
            commit_at = Some(now.max(broker.muted_until) + 2 * latency);
        }
        if commit_at.is_some_and(|at| at <= now) {
            run.longest = run.longest.max(now - begun);
            (begun, commit_at) = (now, None);
        }
        run.widest = run.widest.max(window.width(at));
        // One partition in a request, and five requests at a time.
        for queue in &mut queues {
            if *queue > 0 && requests.len() + answers.len() < 5 {
                let bytes = (*queue).min(1_000_000.max(record));
                *queue -= bytes;
                requests.push_back((now + latency, bytes));
            }
        }
        while now >= broker.muted_until && requests.front().is_some_and(|(when, _)| *when <= now) {
            let (_, bytes) = requests.pop_front().unwrap_or_default();
            broker.takes(bytes as f64, now);
            answers.push_back((now + latency, bytes));
        }
    }
    run
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Any quota, beginning with a burst at full speed. After a burst a broker answers about one request a second until
    /// the burst is eleven seconds ago, and each partition has requests of its own. Then no window helps: the
    /// transaction is aborted once, and the next begins after the burst has been forgotten.
    #[test]
    fn transactions_end_in_time_and_use_the_quota(
        quota in 100_000_f64..1_000_000.0,
        record in 300_usize..20_000,
        partitions in 1_usize..12,
        latency in 1_i64..60,
    ) {
        let run = run(quota, record, partitions, latency, 60);
        prop_assert!(run.longest < if partitions == 1 { 9_500 } else { 12_000 }, "{} ms", run.longest);
        let used = run.acknowledged / (quota * 60.0);
        prop_assert!(used > 0.6, "{used} of it");
    }
}

#[test]
fn window_of_a_fast_broker_is_wide_soon() {
    for (latency, seconds) in [(3, 2), (50, 10)] {
        let run = run(1e12, 32 << 10, 4, latency, seconds);
        assert_eq!(run.widest, WIDEST, "{latency} ms");
    }
}

#[test]
fn window_narrows_only_by_late_acknowledgements() {
    let mut window = TransactionWindow::new(TIMEOUT);
    let at = Timestamp::from_millis;
    window.sent(1 << 30, at(500));
    window.acknowledged(1 << 30, at(510));
    assert_eq!(window.width(at(90_000)), WIDEST);
    window.sent(1000, at(90_000));
    assert_eq!(window.width(at(90_999)), WIDEST);
    assert_eq!(window.width(at(91_000)), WIDEST / 2);
    assert_eq!(window.width(at(91_001)), WIDEST / 2);
    window.acknowledged(1000, at(200_000));
    assert_eq!(window.width(at(300_000)), WIDEST / 4);
}
