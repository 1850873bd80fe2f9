//! Which samples of an input a span of time needs, and how much of it they cover.

use smallvec::SmallVec;

/// How the samples of an input cover a span.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cover {
    /// Nanoseconds of it.
    pub(super) covered: i64,
    /// Whether some have no length, and so cover nothing.
    pub(super) points: bool,
    pub(super) lasting: bool,
}

/// The places of the samples of the span `[from, to)`, in their order, and the share of it that is covered, if any last.
/// See [`cover`].
pub(super) fn covering(
    samples: impl Iterator<Item = (i64, i64)>,
    from: i64,
    to: i64,
) -> (SmallVec<[usize; 8]>, Option<f64>) {
    let mut indices = SmallVec::new();
    let cover = cover(samples, from, to, |index| indices.push(index));
    if cover.points && cover.lasting {
        indices.sort_unstable();
    }
    let share = cover.lasting.then(|| cover.covered as f64 / to.saturating_sub(from) as f64);
    (indices, share)
}

/// Whether samples that last cover the span `[from, to)` whole, and none is without length.
pub(super) fn is_covered(samples: impl Iterator<Item = (i64, i64)>, from: i64, to: i64) -> bool {
    let cover = cover(samples, from, to, |_| {});
    !cover.points && cover.covered == to.saturating_sub(from)
}

/// Finds the samples of the span `[from, to)`: all without length in it, and of those that last the
/// fewest that cover as much of it as all do. `samples` are event time and end, by event time.
///
/// The fewest, because sound is one signal: a chunk that only repeats what its neighbours have would be in
/// the bundle or not as it came before or after the span was covered. Greedy: from what is covered so far
/// go on with the one that reaches furthest, of equal ones the earlier.
pub(super) fn cover(
    samples: impl Iterator<Item = (i64, i64)>,
    from: i64,
    to: i64,
    mut take: impl FnMut(usize),
) -> Cover {
    let mut found = Cover::default();
    let mut cursor = from;
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
            // What is still ahead of the cursor begins after a gap.
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
