//! The search for the offset at which two series of events match, among the differences of all their pairs.

use super::{CONFIDENT, ENOUGH, Estimate, Outcome, median};

/// The reach of a window's surroundings to each side, in widths.
const AROUND: i64 = 8;
/// The least share of the events that could match that has to match.
const MATCHING: f64 = 0.25;
/// The highest probability of an outcome by chance.
const CHANCE: f64 = 0.001;

/// The differences of all pairs at which enough of the shorter series lies within the other.
struct Differences<'a> {
    input: &'a [i64],
    reference: &'a [i64],
    /// The differences, ascending.
    sorted: Vec<i64>,
    low: i64,
    high: i64,
}

/// A window over the differences.
#[derive(Clone, Copy)]
struct Peak {
    /// The place of its first difference.
    first: usize,
    from: i64,
    count: usize,
    /// The count expected from the surroundings.
    expected: f64,
}

/// Estimates what to add to `input` so that it matches `reference`. Both ascend, and their lengths' product bounds the
/// memory, 8 bytes a pair.
pub(super) fn search(input: &[i64], reference: &[i64]) -> Outcome {
    let Some(differences) = Differences::new(input, reference) else {
        return Outcome::TooFew { input: input.len(), reference: reference.len() };
    };
    let Some((best, width)) = differences.best() else { return Outcome::Unclear };
    let share = differences.share(&best, width);
    if share < MATCHING {
        return Outcome::Unclear;
    }
    let mut rival_share = 0.0_f64;
    let mut candidates: Vec<Peak> = Vec::new();
    differences.scan(width, |peak| {
        let theirs = differences.share(&peak, width);
        if peak.from.abs_diff(best.from) > width.unsigned_abs().saturating_mul(2) {
            rival_share = rival_share.max(theirs);
        }
        if theirs < share * (1.0 - CONFIDENT) {
            return;
        }
        match candidates.last_mut() {
            Some(last) if peak.from.saturating_sub(last.from) <= width.saturating_mul(2) => {
                if peak.count > last.count {
                    *last = peak;
                }
            }
            _ => candidates.push(peak),
        }
    });
    let confidence = (1.0 - rival_share / share).clamp(0.0, 1.0);
    let estimate = |peak: &Peak| differences.refine(peak, width, confidence);
    if confidence >= CONFIDENT {
        return match estimate(&best) {
            Some(estimate) if estimate.events >= ENOUGH => Outcome::Found(estimate),
            _ => Outcome::Unclear,
        };
    }
    let estimates: Vec<Estimate> = candidates.iter().filter_map(estimate).collect();
    let nearest = estimates.iter().min_by_key(|estimate| estimate.offset_ns.unsigned_abs());
    match nearest {
        Some(nearest) => Outcome::Ambiguous { nearest: *nearest, period_ns: period(&estimates) },
        None => Outcome::Unclear,
    }
}

impl<'a> Differences<'a> {
    fn new(input: &'a [i64], reference: &'a [i64]) -> Option<Self> {
        let shorter = input.len().min(reference.len());
        if shorter < ENOUGH {
            return None;
        }
        // Beyond `low` and `high` fewer than `need` events of either could meet one of the other.
        let need = ENOUGH.max(shorter / 2);
        let nth = |times: &[i64], index: usize| times.get(index).copied();
        let low = nth(reference, need - 1)?
            .saturating_sub(*input.last()?)
            .max(reference.first()?.saturating_sub(nth(input, input.len() - need)?));
        let high = reference
            .last()?
            .saturating_sub(nth(input, need - 1)?)
            .min(nth(reference, reference.len() - need)?.saturating_sub(*input.first()?));
        let mut sorted = Vec::new();
        for time in input {
            let from = reference.partition_point(|other| other.saturating_sub(*time) < low);
            let within = reference.iter().skip(from).take_while(|other| other.saturating_sub(*time) <= high);
            // A difference that does not fit an integer is no pair.
            sorted.extend(within.filter_map(|other| other.checked_sub(*time)));
        }
        sorted.sort_unstable();
        Some(Self { input, reference, sorted, low, high })
    }

    /// The window that stands out most, and its width; none if chance could have made it.
    fn best(&self) -> Option<(Peak, i64)> {
        let range = self.high.saturating_sub(self.low).max(1);
        let mut best: Option<(Peak, i64)> = None;
        let mut most = 0.0;
        let mut tried = 0;
        let mut width = grain(self.input).max(grain(self.reference)).max(range >> 20).max(1);
        let widest = (mean_gap(self.input).min(mean_gap(self.reference)) / 2).min(range / 4);
        while width <= widest.max(1) {
            self.scan(width, |peak| {
                tried += 1;
                let score = peak.score();
                if score > most {
                    most = score;
                    best = Some((peak, width));
                }
            });
            width = width.saturating_mul(2);
        }
        best.filter(|_| most > (f64::from(tried) / CHANCE).ln())
    }

    /// Passes the windows of a width to `show` that begin with a difference and hold more than a few.
    fn scan(&self, width: i64, mut show: impl FnMut(Peak)) {
        let values = &self.sorted;
        let (mut end, mut left, mut right) = (0, 0, 0);
        let range = self.high.saturating_sub(self.low).max(1) as f64;
        let everywhere = values.len() as f64 * width as f64 / range;
        for (first, from) in values.iter().copied().enumerate() {
            let advance = |place: &mut usize, until: i64| {
                while values.get(*place).is_some_and(|value| *value < until) {
                    *place += 1;
                }
            };
            let start = from.saturating_sub(width.saturating_mul(AROUND)).max(self.low);
            let stop = from.saturating_add(width.saturating_mul(AROUND + 1)).min(self.high.saturating_add(1));
            advance(&mut end, from.saturating_add(width));
            let count = end.saturating_sub(first);
            if count < 3 {
                continue;
            }
            advance(&mut left, start);
            advance(&mut right, stop);
            let outside = stop.saturating_sub(start).saturating_sub(width);
            let around = if outside > width {
                right.saturating_sub(left + count) as f64 * width as f64 / outside as f64
            } else {
                everywhere
            };
            // Surroundings that happen to be empty: the whole sets the expectation.
            let expected = if around > 0.0 { around } else { everywhere };
            show(Peak { first, from, count, expected });
        }
    }

    /// The share that matches of the events that could, less the number expected by chance and one standard deviation.
    fn share(&self, peak: &Peak, width: i64) -> f64 {
        let offset = peak.from.saturating_add(width / 2);
        let within = |times: &[i64], others: &[i64], offset: i64| match (others.first(), others.last()) {
            (Some(first), Some(last)) => {
                let (low, high) = (first.saturating_sub(width), last.saturating_add(width));
                let up_to = times.partition_point(|time| time.saturating_add(offset) <= high);
                up_to.saturating_sub(times.partition_point(|time| time.saturating_add(offset) < low))
            }
            _ => 0,
        };
        let possible = within(self.input, self.reference, offset).min(within(
            self.reference,
            self.input,
            offset.saturating_neg(),
        ));
        let count = peak.count as f64;
        ((count - count.sqrt() - peak.expected) / possible.max(1) as f64).max(0.0)
    }

    /// Makes the offset of a peak exact from the events that are each other's nearest.
    fn refine(&self, peak: &Peak, width: i64, confidence: f64) -> Option<Estimate> {
        let mut offset = *self.sorted.get(peak.first + peak.count / 2)?;
        for _ in 0..2 {
            offset = offset.saturating_add(median(&mut self.residuals(offset, width))?);
        }
        let mut away: Vec<i64> =
            self.residuals(offset, width).iter().map(|residual| residual.saturating_abs()).collect();
        let spread_ns = (median(&mut away)? as f64 * 1.4826) as u64;
        Some(Estimate { offset_ns: offset, spread_ns, confidence, events: away.len() })
    }

    /// The remaining distances between the events that match at an offset, each event in one pair at most.
    fn residuals(&self, offset: i64, width: i64) -> Vec<i64> {
        let matches = self.input.iter().filter_map(|time| {
            let other = nearest(self.reference, time.saturating_add(offset))?;
            let back = nearest(self.input, other.saturating_sub(offset))?;
            let residual = other.saturating_sub(offset).saturating_sub(*time);
            (back == *time && residual.saturating_abs() <= width).then_some(residual)
        });
        matches.collect()
    }
}

impl Peak {
    /// The logarithm of the likelihood ratio of its count: with an excess against by chance.
    fn score(&self) -> f64 {
        let count = self.count as f64;
        if count <= self.expected {
            return 0.0;
        }
        count * (count / self.expected).ln() - (count - self.expected)
    }
}

fn nearest(times: &[i64], time: i64) -> Option<i64> {
    let next = times.partition_point(|other| *other < time);
    let after = times.get(next).copied();
    let before = next.checked_sub(1).and_then(|last| times.get(last).copied());
    match (before, after) {
        (Some(before), Some(after)) if time.abs_diff(before) <= after.abs_diff(time) => Some(before),
        (before, after) => after.or(before),
    }
}

/// The average distance between events. A window of half of that holds a partner for every other event by chance. In one
/// much wider each event counts so often that its counts are no longer independent.
fn mean_gap(times: &[i64]) -> i64 {
    let span = times.last().zip(times.first()).map_or(0, |(last, first)| last.saturating_sub(*first));
    span / i64::try_from(times.len()).unwrap_or(i64::MAX).max(1)
}

/// The resolution of the times: a window narrower than that would find the grid instead of a match.
fn grain(times: &[i64]) -> i64 {
    let first = times.first().copied().unwrap_or(0);
    let counted_in = |grain: u64| times.iter().all(|time| time.abs_diff(first) % grain == 0);
    [1_000_000, 1_000].into_iter().find(|grain| counted_in(*grain)).map_or(1, |grain| grain as i64)
}

/// The distance between the candidates, if they are evenly spaced.
fn period(estimates: &[Estimate]) -> Option<u64> {
    let gaps: Vec<i64> = estimates
        .iter()
        .zip(estimates.iter().skip(1))
        .map(|(one, next)| next.offset_ns.saturating_sub(one.offset_ns))
        .collect();
    let usual = median(&mut gaps.clone())?;
    let even = gaps.iter().filter(|gap| gap.abs_diff(usual) <= usual.unsigned_abs() / 4).count();
    (gaps.len() >= 2 && even * 10 >= gaps.len() * 7).then(|| usual.unsigned_abs())
}
