//! The intake clock, for everything that waits for samples. It stops while no sample could arrive.
//!
//! A timeout on samples is meant for a silent source. While this process reads nothing because its records wait for a
//! model or for memory, every source seems silent; so that time does not count. (Flink pauses the timeout of idle
//! sources in the same way during backpressure, since its version 1.20.)

use std::time::Duration;

use crate::time::{Timestamp, nanos};

/// A reason why nothing is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Records that have been read wait for space in the next actor's mailbox.
    Backpressure,
    /// The byte budget is used up, and only bundles under way can free some of it.
    Memory,
    /// Some inputs cannot be read: brokers are unreachable, or a permission is missing. That is not silence.
    Unreadable,
    /// Partitions of one input are assigned here without the ones of another input. Another process, or none, reads
    /// those.
    Apart,
}

/// A clock that runs like the wall clock, but stops while there is a [`Hold`]. It is behind the wall clock by the
/// total time of its stops.
#[derive(Debug, Default)]
pub struct IntakeClock {
    stopped: Duration,
    /// The wall time since which it has been stopped; none while it runs.
    since: Option<Timestamp>,
    /// One flag for each [`Hold`].
    held: [bool; 4],
}

impl IntakeClock {
    /// The time of this clock.
    pub fn at(&self, wall: Timestamp) -> Timestamp {
        self.since.map_or(wall, |since| since.min(wall)).before(self.stopped)
    }

    /// The wall time at which this clock reaches `time`, if it runs and does not stop again before that; else later.
    pub fn wall(&self, time: Timestamp) -> Timestamp {
        time.after(self.stopped)
    }

    /// Begins or ends a hold, at this wall time.
    pub fn set(&mut self, hold: Hold, is_held: bool, wall: Timestamp) {
        let [backpressure, memory, unreadable, apart] = &mut self.held;
        *match hold {
            Hold::Backpressure => backpressure,
            Hold::Memory => memory,
            Hold::Unreadable => unreadable,
            Hold::Apart => apart,
        } = is_held;
        if self.held.contains(&true) {
            self.since.get_or_insert(wall);
        } else if let Some(since) = self.since.take() {
            self.stopped = Duration::from_nanos(
                nanos(self.stopped).saturating_add(nanos(wall.since(since))).unsigned_abs(),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::at;

    #[test]
    fn intake_clock_stops_during_holds_and_resumes_where_it_stopped() {
        let mut clock = IntakeClock::default();
        assert_eq!(clock.at(at(100)), at(100));
        clock.set(Hold::Backpressure, true, at(100));
        assert_eq!(clock.at(at(150)), at(100));
        clock.set(Hold::Memory, true, at(160));
        clock.set(Hold::Backpressure, false, at(170));
        assert_eq!(clock.at(at(180)), at(100));
        clock.set(Hold::Memory, false, at(190));
        assert_eq!(clock.at(at(190)), at(100));
        assert_eq!(clock.at(at(200)), at(110));
        assert_eq!(clock.wall(at(110)), at(200));
    }

    proptest! {
        #[test]
        fn intake_clock_runs_exactly_while_there_is_no_hold(steps in prop::collection::vec((0..50_i64, 0..4_usize, any::<bool>()), 0..50)) {
            let (mut clock, mut wall, mut gone) = (IntakeClock::default(), 0, 0);
            let mut held = [false; 4];
            for (pause, which, is_held) in steps {
                let before = clock.at(at(wall));
                wall += pause;
                gone += if held.contains(&true) { 0 } else { pause };
                prop_assert_eq!(clock.at(at(wall)), at(gone));
                prop_assert!(clock.at(at(wall)) >= before);
                held[which] = is_held;
                clock.set([Hold::Backpressure, Hold::Memory, Hold::Unreadable, Hold::Apart][which], is_held, at(wall));
            }
        }
    }
}
