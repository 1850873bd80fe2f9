//! The clock of those who wait for samples: it stands while none could come.
//!
//! Whoever waits for a sample so long, and then no longer, means a source that is silent. While this process reads nothing,
//! since what it has read waits for a model or for memory, every source seems silent; so that time does not count.
//! (Flink pauses the timeout of idle sources in the same way while they are held up, since its version 1.20.)

use std::time::Duration;

use crate::time::{Timestamp, nanos};

/// Why nothing is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// What has been read finds no room with the next actor.
    Room,
    /// The byte budget is spent, and what is under way frees some of it.
    Memory,
    /// Some of what is to be read cannot be: brokers are away, or a right is missing. That is not silence.
    Unreadable,
    /// Partitions of one input are here without those of another, whose records come to another process or to nobody.
    Apart,
}

/// A clock that goes as the wall clock does, but stands while there is a [`Hold`]. It is behind the wall clock by as long as
/// it has stood.
#[derive(Debug, Default)]
pub struct IntakeClock {
    stood: Duration,
    /// Since when it stands, in wall time.
    since: Option<Timestamp>,
    /// By [`Hold`].
    held: [bool; 4],
}

impl IntakeClock {
    /// What time it is on this clock.
    pub fn at(&self, wall: Timestamp) -> Timestamp {
        self.since.map_or(wall, |since| since.min(wall)).before(self.stood)
    }

    /// When this clock comes to `time`, in wall time, if it goes and does not stand again before that; else later.
    pub fn wall(&self, time: Timestamp) -> Timestamp {
        time.after(self.stood)
    }

    /// A hold begins or ends, at this wall time.
    pub fn set(&mut self, hold: Hold, is_held: bool, wall: Timestamp) {
        let [room, memory, unreadable, apart] = &mut self.held;
        *match hold {
            Hold::Room => room,
            Hold::Memory => memory,
            Hold::Unreadable => unreadable,
            Hold::Apart => apart,
        } = is_held;
        if self.held.contains(&true) {
            self.since.get_or_insert(wall);
        } else if let Some(since) = self.since.take() {
            self.stood = Duration::from_nanos(
                nanos(self.stood).saturating_add(nanos(wall.since(since))).unsigned_abs(),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn ms(time: i64) -> Timestamp {
        Timestamp::from_millis(time)
    }

    #[test]
    fn it_stands_while_anything_holds_and_goes_on_from_where_it_stood() {
        let mut clock = IntakeClock::default();
        assert_eq!(clock.at(ms(100)), ms(100));
        clock.set(Hold::Room, true, ms(100));
        assert_eq!(clock.at(ms(150)), ms(100));
        clock.set(Hold::Memory, true, ms(160));
        clock.set(Hold::Room, false, ms(170));
        assert_eq!(clock.at(ms(180)), ms(100));
        clock.set(Hold::Memory, false, ms(190));
        assert_eq!(clock.at(ms(190)), ms(100));
        assert_eq!(clock.at(ms(200)), ms(110));
        assert_eq!(clock.wall(ms(110)), ms(200));
    }

    proptest! {
        #[test]
        fn it_has_gone_for_as_long_as_nothing_held(steps in prop::collection::vec((0..50_i64, 0..4_usize, any::<bool>()), 0..50)) {
            let (mut clock, mut wall, mut gone) = (IntakeClock::default(), 0, 0);
            let mut held = [false; 4];
            for (pause, which, is_held) in steps {
                let before = clock.at(ms(wall));
                wall += pause;
                gone += if held.contains(&true) { 0 } else { pause };
                prop_assert_eq!(clock.at(ms(wall)), ms(gone));
                prop_assert!(clock.at(ms(wall)) >= before);
                held[which] = is_held;
                clock.set([Hold::Room, Hold::Memory, Hold::Unreadable, Hold::Apart][which], is_held, ms(wall));
            }
        }
    }
}
