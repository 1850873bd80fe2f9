//! Retries of a failed batch: the batch is split in halves until the faulty bundle stands alone, and its neighbours
//! succeed without it.

use std::collections::VecDeque;
use std::ops::Range;

/// The remaining rows of one batch, in order.
#[derive(Clone, Debug)]
pub struct Remaining {
    pieces: VecDeque<Range<usize>>,
    /// The number of failures of the first piece since it was a single row.
    failed_alone: u32,
    tries: u32,
}

/// The consequence of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterFailure {
    /// The piece was split in two.
    Split,
    /// The row is retried.
    Again,
    /// This row has used up its tries and is left out.
    Poison(usize),
}

impl Remaining {
    /// All rows of a batch. Each may fail `tries` times alone; at least once.
    pub fn new(rows: usize, tries: u32) -> Self {
        let whole = Some(0..rows).filter(|rows| !rows.is_empty());
        Self { pieces: whole.into_iter().collect(), failed_alone: 0, tries: tries.max(1) }
    }

    /// The rows to run next; `None` once no row is left.
    pub fn next(&self) -> Option<Range<usize>> {
        self.pieces.front().cloned()
    }

    /// Shortens the next piece to at most `most` rows; at least one.
    pub fn cut(&mut self, most: usize) {
        let most = most.max(1);
        if let Some(piece) = self.pieces.front_mut()
            && piece.len() > most
        {
            let rest = piece.start + most..piece.end;
            piece.end = rest.start;
            self.pieces.insert(1, rest);
        }
    }

    /// Records that the next piece succeeded.
    pub fn succeeded(&mut self) {
        self.pieces.pop_front();
        self.failed_alone = 0;
    }

    /// Records that the next piece failed.
    pub fn failed(&mut self) -> AfterFailure {
        let Some(piece) = self.pieces.front().cloned() else { return AfterFailure::Split };
        if piece.len() > 1 {
            self.cut(piece.len().div_ceil(2));
            return AfterFailure::Split;
        }
        self.failed_alone += 1;
        if self.failed_alone < self.tries {
            return AfterFailure::Again;
        }
        self.succeeded();
        AfterFailure::Poison(piece.start)
    }

    /// Removes and returns all remaining rows.
    pub fn drain(&mut self) -> Vec<usize> {
        self.failed_alone = 0;
        self.pieces.drain(..).flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn retry_leaves_out_only_faulty_rows_and_runs_others_once(
            rows in 0usize..40,
            poison in prop::collection::btree_set(0usize..40, 0..4),
            tries in 1u32..4,
            most in 1usize..50,
        ) {
            let poison: Vec<usize> = poison.into_iter().filter(|row| *row < rows).collect();
            let mut left = Remaining::new(rows, tries);
            let (mut done, mut blamed, mut failures) = (Vec::new(), Vec::new(), 0);
            left.cut(most);
            while let Some(piece) = left.next() {
                prop_assert!(!piece.is_empty() && piece.len() <= most);
                if poison.iter().any(|row| piece.contains(row)) {
                    failures += 1;
                    if let AfterFailure::Poison(row) = left.failed() {
                        blamed.push(row);
                    }
                } else {
                    done.extend(piece);
                    left.succeeded();
                }
                left.cut(most);
            }
            prop_assert_eq!(&blamed, &poison);
            prop_assert_eq!(done, (0..rows).filter(|row| !poison.contains(row)).collect::<Vec<_>>());
            // Each faulty row costs the splits down to it, and its tries alone.
            let depth = rows.next_power_of_two().trailing_zeros() as usize;
            prop_assert!(failures <= poison.len() * (depth + tries as usize));
        }

        #[test]
        fn drain_returns_all_unfinished_rows(rows in 0usize..20, fails in 0usize..10) {
            let mut left = Remaining::new(rows, 1);
            let mut ended = Vec::new();
            for _ in 0..fails {
                if let AfterFailure::Poison(row) = left.failed() {
                    ended.push(row);
                }
            }
            ended.extend(left.drain());
            prop_assert_eq!(ended, (0..rows).collect::<Vec<_>>());
            prop_assert_eq!(left.next(), None);
        }
    }

    #[test]
    fn row_that_succeeds_on_retry_is_kept() {
        let mut left = Remaining::new(2, 2);
        assert_eq!(left.failed(), AfterFailure::Split);
        assert_eq!(left.failed(), AfterFailure::Again);
        left.succeeded();
        assert_eq!((left.next(), left.failed()), (Some(1..2), AfterFailure::Again));
    }
}
