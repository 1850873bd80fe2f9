//! Throttling: the delays by which brokers enforce a quota on a client.

use std::time::{Duration, Instant};

use lockstep_engine::telemetry;

use super::log_throttle::LogThrottle;
use super::statistics::ClientStatistics;

/// The delays of one client.
pub(super) struct Throttling {
    client: &'static str,
    /// The quota that delays it, as brokers name it.
    quota: &'static str,
    /// The latest delay, and the time at which it ends.
    last: Option<(Duration, Instant)>,
    throttle: LogThrottle,
}

impl Throttling {
    pub(super) fn of_producer() -> Self {
        Self { client: "producer", quota: "producer_byte_rate", last: None, throttle: LogThrottle::default() }
    }

    pub(super) fn of_consumer() -> Self {
        Self { client: "consumer", quota: "consumer_byte_rate", last: None, throttle: LogThrottle::default() }
    }

    /// Observes the statistics of the client, once a second.
    pub(super) fn look(&mut self, statistics: &ClientStatistics, now: Instant) {
        let delay = statistics.throttled();
        if !delay.is_zero() {
            self.last = Some((delay, now + delay));
            if let Some(repeated) = self.throttle.admit("", now) {
                let (client, remedy) = (
                    self.client,
                    format!("raise {} or request_percentage of its user or client.id", self.quota),
                );
                tracing::warn!(client, ?delay, repeated, remedy, "the broker throttles this client");
            }
        } else if !self.is_on(now) {
            self.last = None;
        }
        let delay = self.last.map_or(Duration::ZERO, |(delay, _)| delay);
        telemetry::delivery::throttled(self.client, delay);
    }

    /// Returns true while a delay lasts.
    pub(super) fn is_on(&self, now: Instant) -> bool {
        self.last.is_some_and(|(_, until)| now < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throttling_lasts_as_long_as_the_delay_of_the_broker() {
        let (mut throttling, now) = (Throttling::of_producer(), Instant::now());
        let statistics = |millis: u32| {
            let json = format!(
                r#"{{"brokers":{{"a":{{"throttle":{{"max":{millis}}}}},"b":{{"throttle":{{"max":0}}}}}}}}"#
            );
            ClientStatistics::read(json.as_bytes()).expect("reads")
        };
        let after = |seconds| now + Duration::from_secs(seconds);
        throttling.look(&statistics(0), now);
        assert!(!throttling.is_on(now));
        throttling.look(&statistics(3500), now);
        for second in 1..4 {
            throttling.look(&statistics(0), after(second));
            assert!(throttling.is_on(after(second)));
        }
        throttling.look(&statistics(0), after(4));
        assert!(!throttling.is_on(after(4)));
    }
}
