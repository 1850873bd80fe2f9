//! The clock of one input of a stream: its latest event time and its watermark.

use super::rules::Rule;

/// The clock of one input of a stream.
#[derive(Clone, Debug)]
pub(super) struct Clock {
    /// The latest event time seen; `i64::MIN` before the first.
    pub(super) latest: i64,
    /// No sample with an earlier event time is expected. It never goes back.
    pub(super) watermark: i64,
    /// The arrival of its last sample, in wall time; before its first sample, the stream's first arrival.
    pub(super) last_arrival: i64,
    /// The partition that the last sample came from, if there was one.
    pub(super) partition: Option<i32>,
}

/// The recent disorder of an input whose out-of-orderness is learned: the most among the last one to two thousand
/// samples.
#[derive(Clone, Copy, Debug, Default)]
struct Disorder {
    now: i64,
    before: i64,
    samples: u16,
}

impl Disorder {
    /// The number of samples after which earlier ones are forgotten.
    const SAMPLES: u16 = 1_000;

    fn add(&mut self, behind: i64) {
        self.now = self.now.max(behind);
        self.samples += 1;
        if self.samples >= Self::SAMPLES {
            *self = Self { before: self.now, now: 0, samples: 0 };
        }
    }

    /// The disorder to allow for: a quarter more than was seen.
    fn allowance(&self) -> i64 {
        let most = self.now.max(self.before);
        most.saturating_add(most / 4)
    }

    /// The distance that the watermark has to keep from the latest event time. It follows from the sample that lies `behind`
    /// the latest, and from those before it.
    fn learn(&mut self, rule: &Rule, behind: i64) -> i64 {
        self.add(behind);
        let seen = self.allowance().saturating_add(rule.lateness);
        seen.clamp(rule.out_of_orderness, rule.learn_up_to.max(rule.out_of_orderness))
    }
}

/// The disorder of each input of a stream: only a pointer, where none is learned.
#[derive(Debug, Default)]
pub(super) struct Disorders(Option<Box<[Disorder]>>);

impl Disorders {
    /// The distance that the watermark of an input has to keep from the latest event time. It follows from the last sample,
    /// which lies `step` from the latest, with its sign, and from those before it. `inputs` is the number of inputs.
    pub(super) fn learn(&mut self, rule: &Rule, (input, inputs): (usize, usize), step: i64) -> i64 {
        let each = self.0.get_or_insert_with(|| vec![Disorder::default(); inputs].into());
        let behind = step.saturating_neg().max(0);
        each.get_mut(input).map_or(rule.out_of_orderness, |disorder| disorder.learn(rule, behind))
    }
}

impl Clock {
    pub(super) fn new(now: i64) -> Self {
        Self { latest: i64::MIN, watermark: i64::MIN, last_arrival: now, partition: None }
    }

    /// Follows a sample. The watermark has to stay `allowed` behind the latest event time.
    #[inline]
    pub(super) fn follow(&mut self, time: i64, allowed: i64, partition: i32, now: i64) {
        self.last_arrival = now;
        self.partition = Some(partition);
        if time > self.latest {
            self.latest = time;
        }
        self.watermark = self.watermark.max(self.latest.saturating_sub(allowed));
    }

    /// The signed distance of an event time from the latest before it; 0 for the first.
    #[inline]
    pub(super) fn step_to(&self, time: i64) -> i64 {
        if self.latest == i64::MIN { 0 } else { time.saturating_sub(self.latest) }
    }

    /// Returns true if an event time is at most `near` from the latest.
    pub(super) fn is_near(&self, time: i64, near: u64) -> bool {
        self.latest > i64::MIN && time.abs_diff(self.latest) <= near
    }

    /// Forgets all event times, but not the last arrival.
    pub(super) fn restart(&mut self) {
        *self = Self { partition: self.partition, ..Self::new(self.last_arrival) };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::policy::{ClockPolicy, InputPolicy, Join};
    use super::*;
    use std::time::Duration;

    fn learning(from: u64, to: u64) -> Rule {
        Rule::new(
            &InputPolicy {
                out_of_orderness: Duration::from_nanos(from),
                idle_timeout: Duration::from_secs(1),
                clock: ClockPolicy { learn_up_to: Some(Duration::from_nanos(to)), ..ClockPolicy::default() },
                ..InputPolicy::new("video", Join::Pivot)
            },
            false,
            0,
            0,
            0,
        )
    }

    /// Follows a sample as a stream does whose input learns. Returns the watermark.
    fn follow(rule: &Rule, (clock, disorders): &mut (Clock, Disorders), time: i64) -> i64 {
        let allowed = disorders.learn(rule, (0, 1), clock.step_to(time));
        clock.follow(time, allowed, 0, 0);
        clock.watermark
    }

    #[test]
    fn the_watermark_lags_by_the_seen_disorder_and_a_quarter_more() {
        let (rule, mut clock) = (learning(10, 1_000), (Clock::new(0), Disorders::default()));
        let mut follow = |time| follow(&rule, &mut clock, time);
        assert_eq!(follow(1_000), 990, "the least at first");
        assert_eq!(follow(900), 990, "100 behind: the watermark does not go back");
        assert_eq!(follow(1_100), 990, "but waits until it is 125 behind");
        assert_eq!(follow(2_000), 1_875);
        for time in 2_001..4_001 {
            follow(time);
        }
        assert_eq!(follow(5_000), 4_990, "two thousand in order: forgotten");
    }

    #[test]
    fn the_learned_disorder_stays_within_its_limit() {
        let (rule, mut clock) = (learning(0, 50), (Clock::new(0), Disorders::default()));
        let watermarks = [10_000, 1, 20_000].map(|time| follow(&rule, &mut clock, time));
        assert_eq!(watermarks[2], 19_950);
    }

    proptest! {
        #[test]
        fn the_watermark_never_goes_back(times in prop::collection::vec(0_i64..5_000, 1..200)) {
            let (rule, mut clock) = (learning(5, 400), (Clock::new(0), Disorders::default()));
            let mut before = i64::MIN;
            for time in times {
                let watermark = follow(&rule, &mut clock, time);
                prop_assert!(watermark >= before && watermark <= clock.0.latest - 5);
                before = watermark;
            }
        }
    }
}
