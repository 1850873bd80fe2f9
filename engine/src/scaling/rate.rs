//! Rates of counters that are read at irregular times.

use std::time::Duration;

use crate::time::Timestamp;

/// The smoothed rate of a counter, per second: an exponential moving average over time, whatever the intervals between
/// looks (A. Eckner, "Algorithms for unevenly spaced time series: moving averages and other rolling operators", 2017,
/// "EMA_next"). It is divided by the total weight of the looks so far, so that it does not begin at zero (D. Kingma, J.
/// Ba, "Adam", 2015, section 3).
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// The time constant: a look of this age has 1/e of the weight of a new one.
    over: Duration,
    sum: f64,
    weight: f64,
    looked: Option<Timestamp>,
    /// The count since the last look.
    counted: f64,
}

impl Rate {
    /// A rate with the time constant `over`.
    pub fn new(over: Duration) -> Self {
        Self { over, sum: 0.0, weight: 0.0, looked: None, counted: 0.0 }
    }

    /// Adds the count since the last look. The first look only begins the first interval: the time that its count
    /// covers is unknown.
    pub fn add(&mut self, counted: f64, now: Timestamp) {
        let Some(looked) = self.looked else {
            self.looked = Some(now);
            return;
        };
        self.counted += counted;
        let passed = now.since(looked).as_secs_f64();
        // Several looks at one time are one. A clock that steps back counts as a clock that does not advance.
        if passed <= 0.0 {
            return;
        }
        let fresh = -(-passed / self.over.as_secs_f64().max(1e-9)).exp_m1();
        self.sum += fresh * (self.counted / passed - self.sum);
        self.weight += fresh * (1.0 - self.weight);
        self.looked = Some(now);
        self.counted = 0.0;
    }

    /// The rate per second; `None` before the first interval has passed.
    pub fn per_second(&self) -> Option<f64> {
        (self.weight > 0.0).then(|| self.sum / self.weight)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::at;

    proptest! {
        #[test]
        fn constant_rate_is_found_whatever_the_spacing_of_looks(
            gaps in prop::collection::vec(0_i64..5_000, 1..40),
            per_second in 0.1_f64..1e6,
        ) {
            let mut rate = Rate::new(Duration::from_secs(5));
            let mut now = 0;
            rate.add(1e9, at(now));
            prop_assert_eq!(rate.per_second(), None);
            for gap in &gaps {
                now += gap;
                rate.add(per_second * *gap as f64 / 1e3, at(now));
            }
            if now > 0 {
                let found = rate.per_second().expect("an interval has passed");
                prop_assert!((found / per_second - 1.0).abs() < 1e-6, "{found} for {per_second}");
            }
        }

        #[test]
        fn rate_decays_alike_whatever_the_number_of_looks(looks in 1_i64..50) {
            // From 0 to 100 a second: after one time constant all but 1/e of the step is seen.
            let mut rate = Rate::new(Duration::from_secs(5));
            rate.add(0.0, at(0));
            rate.add(0.0, at(100_000));
            for look in 1..=looks {
                rate.add(500.0 / looks as f64, at(100_000 + 5_000 * look / looks));
            }
            let found = rate.per_second().expect("a rate");
            prop_assert!((found - 100.0 * (1.0 - (-1.0_f64).exp())).abs() < 0.1, "{found}");
        }
    }

    #[test]
    fn count_survives_a_clock_that_steps_back() {
        let mut rate = Rate::new(Duration::from_secs(5));
        rate.add(0.0, at(1_000));
        rate.add(7.0, at(500));
        rate.add(3.0, at(2_000));
        assert!((rate.per_second().expect("a rate") - 10.0).abs() < 1e-9);
    }
}
