//! How many bytes of a transaction may be under way, so that the brokers acknowledge them long before it times out.
//!
//! Before a transaction ends, all that is under way has to be acknowledged. A broker with a produce quota makes that
//! take as long as it likes, so the window follows what the brokers take. It widens with what they have taken in the
//! last ten seconds, which is how quotas are measured: a client that was idle may produce ten seconds' worth at once,
//! and a shorter measure would take that for the rate. It narrows when an acknowledgement is late. While nothing is sent
//! it stays as it is.

use std::time::Duration;

use crate::time::Timestamp;

/// The widest: a wider one is no faster.
pub const WIDEST: usize = 8 << 20;
/// The first.
const FIRST: usize = 64 << 10;
/// The narrowest.
pub const NARROWEST: usize = 16 << 10;

/// How many seconds are remembered.
const SECONDS: usize = 10;
/// What is under way is what the brokers took in this time, or longer where acknowledgements always take long…
const SPAN: Duration = Duration::from_millis(500);
/// …as of so many times the quickest acknowledgement…
const LATENCIES: u32 = 8;
/// …but never longer than this part of the transaction's timeout.
const PART_OF_TIMEOUT: u32 = 10;

/// The window of a producer of transactions.
#[derive(Clone, Debug)]
pub struct TransactionWindow {
    longest: Duration,
    width: usize,
    /// By number modulo their count.
    seconds: [Second; SECONDS],
    sent: u64,
    acknowledged: u64,
    /// When so much had been sent in all, to see when that is acknowledged.
    probe: Option<Probe>,
}

#[derive(Clone, Copy, Debug)]
struct Probe {
    sent: u64,
    since: Timestamp,
    /// When it is late, or late again.
    late: Timestamp,
}

#[derive(Clone, Copy, Debug, Default)]
struct Second {
    number: i64,
    bytes: u64,
    quickest: Option<Duration>,
}

impl TransactionWindow {
    /// The first window, of a producer whose transactions time out after this.
    pub fn new(timeout: Duration) -> Self {
        Self {
            longest: timeout / PART_OF_TIMEOUT,
            width: FIRST,
            seconds: [Second::default(); SECONDS],
            sent: 0,
            acknowledged: 0,
            probe: None,
        }
    }

    /// Nothing is under way: the producer is another. What was learned stays.
    pub fn restart(&mut self) {
        (self.sent, self.acknowledged, self.probe) = (0, 0, None);
    }

    /// How wide it is.
    pub fn width(&mut self, now: Timestamp) -> usize {
        let late = self.longest.min(SPAN * 2);
        if let Some(probe) = self.probe.as_mut().filter(|probe| now >= probe.late) {
            probe.late = now.after(late);
            self.width = (self.width / 2).max(NARROWEST);
        }
        self.width
    }

    /// So many bytes have been sent.
    pub fn sent(&mut self, bytes: usize, now: Timestamp) {
        self.sent += bytes as u64;
        if self.probe.is_none() {
            let (_, span) = self.recent(now);
            self.probe = Some(Probe { sent: self.sent, since: now, late: now.after(2 * span) });
        }
    }

    /// So many were not sent after all, or not taken.
    pub fn withdrawn(&mut self, bytes: usize) {
        self.sent = self.sent.saturating_sub(bytes as u64);
        self.probe = None;
    }

    /// The brokers have taken so many.
    pub fn acknowledged(&mut self, bytes: usize, now: Timestamp) {
        self.width(now);
        self.acknowledged += bytes as u64;
        let number = second(now);
        let place = number.rem_euclid(SECONDS as i64) as usize;
        let Some(second) = self.seconds.get_mut(place) else { return };
        if second.number != number {
            *second = Second { number, ..Second::default() };
        }
        second.bytes += bytes as u64;
        let acknowledged = self.acknowledged;
        let Some(probe) = self.probe.take_if(|probe| probe.sent <= acknowledged) else { return };
        let took = now.since(probe.since);
        second.quickest = Some(second.quickest.map_or(took, |quickest| quickest.min(took)));
        let (bytes, span) = self.recent(now);
        if took <= 2 * span {
            let millis = u128::from(bytes) * span.as_millis() / (SECONDS as u128 * 1000);
            self.width = self.width.max(usize::try_from(millis).unwrap_or(WIDEST).min(WIDEST));
        }
    }

    /// How many bytes the brokers have taken of late, and in what time they are to take what is under way.
    fn recent(&self, now: Timestamp) -> (u64, Duration) {
        let number = second(now);
        let last = self.seconds.iter().filter(|second| number - second.number < SECONDS as i64);
        let (bytes, quickest) = last.fold((0, None::<Duration>), |(bytes, quickest), second| {
            let both = [quickest, second.quickest];
            (bytes + second.bytes, both.into_iter().flatten().min())
        });
        (bytes, SPAN.max(quickest.unwrap_or_default() * LATENCIES).min(self.longest))
    }
}

fn second(now: Timestamp) -> i64 {
    now.as_millis().div_euclid(1000)
}

#[cfg(test)]
#[path = "transaction_window_tests.rs"]
mod tests;
