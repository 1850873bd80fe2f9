//! Coverage: the samples of an input that a span of time needs, and the share that they cover.

use smallvec::SmallVec;

use crate::ingest::OnDrift;

/// The rule for gaps between samples of an input that count as covered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slack {
    pub(super) drift: OnDrift,
    /// Longer gaps never count: where such gaps end a session, a sample within them changes it.
    pub(super) most: i64,
}

impl Slack {
    /// The longest gap that counts after a sample of length `lasts`. Another sample of that length never fits in: it might
    /// still come after the aligner has taken the span for covered.
    fn after(self, lasts: i64) -> i64 {
        self.drift.slack(lasts).min(lasts.saturating_sub(1)).min(self.most)
    }
}

/// The coverage of a span by the samples of an input.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cover {
    /// Nanoseconds covered, gaps within the slack included.
    pub(super) covered: i64,
    /// Set if some have no length, and so cover nothing.
    pub(super) points: bool,
    pub(super) lasting: bool,
}

/// Places of samples in a buffer. Mostly there are a few.
pub(super) type Places = SmallVec<[u32; 6]>;

/// The places of the samples of the span `[from, to)`, in their order, and the share of it that is covered, if any sample
/// lasts. See [`cover`].
pub(super) fn covering(
    samples: impl Iterator<Item = (i64, i64)>,
    from: i64,
    to: i64,
    slack: Slack,
) -> (Places, Option<f64>) {
    let mut places = Places::new();
    let put = |place: usize| places.push(u32::try_from(place).unwrap_or(u32::MAX));
    let cover = cover(samples, (from, from, to), slack, put);
    if cover.points && cover.lasting {
        places.sort_unstable();
    }
    let share = cover.lasting.then(|| cover.covered as f64 / to.saturating_sub(from) as f64);
    (places, share)
}

/// Returns true if samples that last cover the rest of the span `[begin, to)` from `from` on, and none is without length.
pub(super) fn is_covered(
    samples: impl Iterator<Item = (i64, i64)>,
    (begin, from, to): (i64, i64, i64),
    slack: Slack,
) -> bool {
    let cover = cover(samples, (begin, from, to), slack, |_| {});
    !cover.points && cover.covered == to.saturating_sub(from)
}

/// Finds the samples of the rest of the span `[begin, to)` from `from` on. They are all without length in it, and of those
/// that last the fewest that cover as much of it as all do. `samples` are event time and end, by event time.
///
/// A gap between two of the span's samples counts as covered if it is no longer than the slack of one that ends before it.
/// So later samples can only add to the coverage. The time between the edge of the span and the first or last sample is
/// not between two samples, and so is never covered. Slack does not change which samples are taken.
///
/// The fewest are taken because sound is one signal. A chunk that only repeats what its neighbours have would be in
/// the bundle or not, depending on its arrival before or after the span was covered. The search is greedy: from the end of
/// the coverage so far it takes the sample that reaches furthest, of equal ones the earlier.
pub(super) fn cover(
    samples: impl Iterator<Item = (i64, i64)>,
    (begin, from, to): (i64, i64, i64),
    slack: Slack,
    mut take: impl FnMut(usize),
) -> Cover {
    let mut found = Cover::default();
    let mut cursor = from;
    // A sample that begins up to there follows the one before it.
    let mut follows = i64::MIN;
    let mut best: Option<(usize, i64)> = None;
    for (index, (time, end)) in samples.enumerate() {
        if time >= to {
            break;
        }
        if end == time {
            if time >= from {
                found.points = true;
                take(index);
            }
            continue;
        }
        let followed_by = follows;
        if end > begin {
            follows = follows.max(end.saturating_add(slack.after(end.saturating_sub(time))));
        }
        if end <= from || cursor >= to {
            continue;
        }
        found.lasting = true;
        if time > cursor {
            if let Some((chosen, reach)) = best.take() {
                take(chosen);
                found.covered = found.covered.saturating_add(reach.saturating_sub(cursor));
                cursor = reach;
            }
            // The rest ahead of the cursor begins after a gap.
            if time > cursor && time <= followed_by {
                found.covered = found.covered.saturating_add(time.saturating_sub(cursor));
            }
            cursor = cursor.max(time);
        }
        let reach = end.min(to);
        if reach > best.map_or(cursor, |(_, reach)| reach) {
            best = Some((index, reach));
        }
    }
    if let Some((chosen, reach)) = best {
        take(chosen);
        found.covered = found.covered.saturating_add(reach.saturating_sub(cursor));
    }
    found
}

#[cfg(test)]
#[path = "cover_tests.rs"]
mod tests;
