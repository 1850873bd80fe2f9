//! From time to place, and where the axis has its ticks.

/// A time axis: nanoseconds to pixels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    pub(crate) from: i64,
    pub(crate) to: i64,
    pub(crate) left: f64,
    pub(crate) right: f64,
}

impl Scale {
    pub(crate) fn x(&self, time: i64) -> f64 {
        // Times are far from zero: their differences are exact, they themselves are not.
        let share = time.saturating_sub(self.from) as f64 / self.to.saturating_sub(self.from).max(1) as f64;
        self.left + share * (self.right - self.left)
    }

    /// About `wanted` ticks with labels, spaced by 1, 2 or 5 of a decimal unit after `zero`.
    pub(crate) fn ticks(&self, zero: i64, wanted: i64) -> Vec<(i64, String)> {
        let step = step(self.to.saturating_sub(self.from) / wanted.max(1));
        let first = zero.saturating_sub(self.from).div_euclid(step).saturating_neg();
        let counts = (0..100).map(|place| first.saturating_add(place));
        let ticks = counts.map(|count| (zero.saturating_add(count.saturating_mul(step)), count));
        let shown = ticks.take_while(|(time, _)| *time <= self.to);
        shown.map(|(time, count)| (time, label(count.saturating_mul(step), step))).collect()
    }
}

/// The least of 1, 2 and 5 times a power of ten that is not below `least`.
fn step(least: i64) -> i64 {
    let mut unit = 1_i64;
    loop {
        for times in [1, 2, 5] {
            let step = unit.saturating_mul(times);
            if step >= least || step == i64::MAX {
                return step;
            }
        }
        unit = unit.saturating_mul(10);
    }
}

/// A time in seconds, or in a smaller unit where steps are below a millisecond; as many digits as the step has.
fn label(nanos: i64, step: i64) -> String {
    let (unit, nanos_of_unit, name) = match step {
        ..1_000 => (1e3, 1_000, "µs"),
        1_000..1_000_000 => (1e6, 1_000_000, "ms"),
        _ => (1e9, 1_000_000_000, "s"),
    };
    let (mut digits, mut size) = (0_usize, nanos_of_unit);
    while step % size != 0 && size > 1 {
        digits += 1;
        size /= 10;
    }
    format!("{:.digits$} {name}", nanos as f64 / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(from: i64, to: i64, zero: i64) -> Vec<String> {
        let scale = Scale { from, to, left: 0.0, right: 100.0 };
        scale.ticks(zero, 8).into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn ticks_are_round_and_say_no_more_digits_than_they_need() {
        assert_eq!(
            ticks(-120_000_000, 1_050_000_000, 0),
            ["0.0 s", "0.2 s", "0.4 s", "0.6 s", "0.8 s", "1.0 s"]
        );
        assert_eq!(ticks(5_000_000_000, 13_000_000_000, 5_000_000_000)[..3], ["0 s", "1 s", "2 s"]);
        assert_eq!(ticks(0, 4_000_000, 0)[..3], ["0.0 ms", "0.5 ms", "1.0 ms"]);
        assert_eq!(ticks(0, 3_000, 0)[..2], ["0.0 µs", "0.5 µs"]);
        assert_eq!(ticks(-250_000_000, -50_000_000, 0)[0], "-0.25 s");
    }

    #[test]
    fn the_axis_holds_at_the_ends_of_time() {
        for (from, to) in [(i64::MIN, i64::MAX), (0, 1), (i64::MAX - 1, i64::MAX), (i64::MIN, i64::MIN + 1)] {
            let scale = Scale { from, to, left: 0.0, right: 100.0 };
            assert!(scale.ticks(0, 8).len() <= 100);
            assert!((0.0..=100.0).contains(&scale.x(from)) && (0.0..=100.0).contains(&scale.x(to)));
        }
    }
}
