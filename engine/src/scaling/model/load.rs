//! Load profiles for the queueing model.

/// Arrivals over time.
#[derive(Clone, Debug, PartialEq)]
pub enum LoadProfile {
    /// A shape between two rates.
    Shaped {
        /// The shape.
        shape: LoadShape,
        /// The lowest rate, in records per second.
        base: f64,
        /// The highest rate, in records per second.
        peak: f64,
        /// The length, in seconds.
        seconds: f64,
    },
    /// A recording: pairs of a time in seconds and a rate in records per second, ascending in time. The first rate also
    /// holds before its time.
    Trace(Vec<(f64, f64)>),
}

/// The shape of a load between two rates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadShape {
    /// The peak from one fifth to two fifths of the time.
    Step,
    /// Five peaks, each a fiftieth of the time long.
    Burst,
    /// Two periods of a sine.
    Sine,
}

impl LoadProfile {
    /// The rate in records per second, `at` seconds after the start.
    pub fn rate(&self, at: f64) -> f64 {
        match self {
            Self::Shaped { shape, base, peak, seconds } => {
                let share = at / seconds.max(1e-9);
                let height = match shape {
                    LoadShape::Step => f64::from(u8::from((0.2..0.4).contains(&share))),
                    LoadShape::Burst => f64::from(u8::from((share * 5.0 - 0.5).rem_euclid(1.0) < 0.1)),
                    LoadShape::Sine => 0.5 - 0.5 * (share * 2.0 * std::f64::consts::TAU).cos(),
                };
                base + (peak - base) * height
            }
            Self::Trace(points) => {
                let next = points.partition_point(|(from, _)| *from <= at);
                points.get(next.saturating_sub(1)).map_or(0.0, |(_, rate)| *rate)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_stays_between_its_two_rates() {
        let of = |shape| LoadProfile::Shaped { shape, base: 10.0, peak: 30.0, seconds: 100.0 };
        let at = |shape, at| of(shape).rate(at);
        assert_eq!(
            [0.0, 19.9, 20.0, 39.9, 40.0].map(|t| at(LoadShape::Step, t)),
            [10.0, 10.0, 30.0, 30.0, 10.0]
        );
        assert_eq!(
            [0.0, 9.9, 10.1, 11.9, 12.1, 30.5].map(|t| at(LoadShape::Burst, t)),
            [10.0, 10.0, 30.0, 30.0, 10.0, 30.0]
        );
        assert_eq!([0.0, 25.0, 50.0, 75.0].map(|t| at(LoadShape::Sine, t).round()), [10.0, 30.0, 10.0, 30.0]);
        let trace = LoadProfile::Trace(vec![(1.0, 5.0), (2.0, 7.0)]);
        assert_eq!([0.0, 1.5, 2.0, 99.0].map(|t| trace.rate(t)), [5.0, 5.0, 7.0, 7.0]);
        assert_eq!(LoadProfile::Trace(Vec::new()).rate(1.0), 0.0);
    }
}
