//! The send window of transactions: bounds the bytes under way so that brokers acknowledge them long before the
//! transaction times out.
//!
//! Before a transaction ends, all records under way must be acknowledged. A broker with a produce quota delays that
//! without bound, so the window follows the rate that the brokers accept. It widens with the bytes that the brokers
//! accepted in the last ten seconds. Quotas are measured over that time too: a client that was idle may produce ten
//! seconds' worth at once, and a shorter measure would take that burst for the rate. The window narrows if an
//! acknowledgement is late. While nothing is sent, it stays as it is.

use std::time::Duration;

use crate::time::Timestamp;

/// The largest width: a wider window is no faster.
pub const WIDEST: usize = 8 << 20;
/// The initial width.
const FIRST: usize = 64 << 10;
/// The smallest width.
pub const NARROWEST: usize = 16 << 10;

/// The number of seconds remembered.
const SECONDS: usize = 10;
/// The window holds what the brokers accepted in this time. If acknowledgements always take long, the time is longer…
const SPAN: Duration = Duration::from_millis(500);
/// …namely this multiple of the quickest acknowledgement…
const LATENCIES: u32 = 8;
/// …but never longer than this part of the transaction's timeout.
const PART_OF_TIMEOUT: u32 = 10;

/// The window of a producer of transactions.
#[derive(Clone, Debug)]
pub struct TransactionWindow {
    longest: Duration,
    width: usize,
    /// Seconds by number modulo their count.
    seconds: [Second; SECONDS],
    sent: u64,
    acknowledged: u64,
    /// The bytes sent so far at some moment, to see when they are acknowledged.
    probe: Option<Probe>,
}

#[derive(Clone, Copy, Debug)]
struct Probe {
    sent: u64,
    since: Timestamp,
    /// The time from which the acknowledgement is late, or late again.
    late: Timestamp,
}

#[derive(Clone, Copy, Debug, Default)]
struct Second {
    number: i64,
    bytes: u64,
    quickest: Option<Duration>,
}

impl TransactionWindow {
    /// The initial window of a producer whose transactions time out after this time.
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

    /// Resets the bytes under way for a new producer. The learned width stays.
    pub fn restart(&mut self) {
        (self.sent, self.acknowledged, self.probe) = (0, 0, None);
    }

    /// The current width.
    pub fn width(&mut self, now: Timestamp) -> usize {
        let late = self.longest.min(SPAN * 2);
        if let Some(probe) = self.probe.as_mut().filter(|probe| now >= probe.late) {
            probe.late = now.after(late);
            self.width = (self.width / 2).max(NARROWEST);
        }
        self.width
    }

    /// Records sent bytes.
    pub fn sent(&mut self, bytes: usize, now: Timestamp) {
        self.sent += bytes as u64;
        if self.probe.is_none() {
            let (_, span) = self.recent(now);
            self.probe = Some(Probe { sent: self.sent, since: now, late: now.after(2 * span) });
        }
    }

    /// Records bytes that were not sent after all, or not accepted.
    pub fn withdrawn(&mut self, bytes: usize) {
        self.sent = self.sent.saturating_sub(bytes as u64);
        self.probe = None;
    }

    /// Records bytes that the brokers have acknowledged.
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

    /// The bytes that the brokers accepted recently, and the time in which they should accept the bytes under way.
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
