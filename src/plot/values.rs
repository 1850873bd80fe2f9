//! From values to heights, and where their axis has its ticks.

/// An axis of values of at least 0: from 0 at the bottom to a round number at the top, in pixels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Values {
    most: f64,
    step: f64,
    top: f64,
    bottom: f64,
}

impl Values {
    /// An axis that reaches as far as `largest`, with about `wanted` ticks.
    pub(crate) fn new(largest: f64, wanted: u32, (top, bottom): (f64, f64)) -> Self {
        let largest = if largest.is_finite() && largest > 0.0 { largest.min(1e15) } else { 1.0 };
        let least = largest / f64::from(wanted.max(1));
        let unit = 10_f64.powf(least.log10().floor());
        let step =
            [1.0, 2.0, 5.0].map(|times| times * unit).into_iter().find(|step| *step >= least * 0.999_999);
        let step = step.unwrap_or(10.0 * unit);
        Self { most: (largest / step - 1e-9).ceil().max(1.0) * step, step, top, bottom }
    }

    /// Where a value is; what lies beyond the axis is at its end.
    pub(crate) fn y(&self, value: f64) -> f64 {
        let share = (value / self.most).clamp(0.0, 1.0);
        self.bottom - share * (self.bottom - self.top)
    }

    /// The ticks with their labels.
    pub(crate) fn ticks(&self) -> Vec<(f64, String)> {
        let count = (self.most / self.step).round() as u32;
        (0..=count)
            .map(|place| f64::from(place) * self.step)
            .map(|value| (value, self.label(value)))
            .collect()
    }

    fn label(&self, value: f64) -> String {
        let (unit, name) = match self.most {
            most if most >= 2e6 => (1e6, "M"),
            most if most >= 2e3 => (1e3, "k"),
            _ => (1.0, ""),
        };
        let digits = (-(self.step / unit).log10().floor()).clamp(0.0, 9.0) as usize;
        format!("{:.digits$}{name}", value / unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(largest: f64) -> Vec<String> {
        Values::new(largest, 4, (0.0, 100.0)).ticks().into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn ticks_are_round_and_reach_beyond_the_largest_value() {
        assert_eq!(labels(16.0), ["0", "5", "10", "15", "20"]);
        assert_eq!(labels(4.0), ["0", "1", "2", "3", "4"]);
        assert_eq!(labels(0.7), ["0.0", "0.2", "0.4", "0.6", "0.8"]);
        assert_eq!(labels(9_500.0), ["0k", "5k", "10k"]);
        assert_eq!(labels(0.0), labels(1.0));
        assert_eq!(labels(f64::NAN), labels(1.0));
    }

    #[test]
    fn every_value_is_within_the_axis() {
        let values = Values::new(10.0, 4, (20.0, 120.0));
        for value in [-1.0, 0.0, 5.0, 10.0, 99.0] {
            assert!((20.0..=120.0).contains(&values.y(value)), "{value}");
        }
        assert_eq!(values.y(0.0), 120.0);
        assert!(values.y(5.0) < values.y(4.0));
    }
}
