//! What is left to do of a batch that failed: it is split in halves until the bundle that is to blame
//! stands alone, and its neighbours succeed without it.

use std::collections::VecDeque;
use std::ops::Range;

/// What is left of one batch, in the order of its rows.
#[derive(Clone, Debug)]
pub struct Remaining {
    pieces: VecDeque<Range<usize>>,
    /// How often the first piece has failed while it was a single row.
    failed_alone: u32,
    tries: u32,
}

/// What follows from a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterFailure {
    /// The piece is two now.
    Split,
    /// The row is tried once more.
    Again,
    /// This row has failed as often as it may. It is left out.
    Poison(usize),
}

impl Remaining {
    /// All of a batch of so many rows, each of which may fail so many times alone; at least once.
    pub fn new(rows: usize, tries: u32) -> Self {
        let whole = Some(0..rows).filter(|rows| !rows.is_empty());
        Self { pieces: whole.into_iter().collect(), failed_alone: 0, tries: tries.max(1) }
    }

    /// The rows to run next; none when nothing is left.
    pub fn next(&self) -> Option<Range<usize>> {
        self.pieces.front().cloned()
    }

    /// Cuts what is next, so that it has at most so many rows; at least one.
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

    /// What was next is done.
    pub fn succeeded(&mut self) {
        self.pieces.pop_front();
        self.failed_alone = 0;
    }

    /// What was next has failed.
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

    /// All rows that are left; they are so no more.
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
        fn just_the_poison_is_left_out_and_all_others_run_once_in_order(
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
            // Each costs the way down to it, and its tries alone.
            let depth = rows.next_power_of_two().trailing_zeros() as usize;
            prop_assert!(failures <= poison.len() * (depth + tries as usize));
        }

        #[test]
        fn what_is_drained_is_what_has_not_ended(rows in 0usize..20, fails in 0usize..10) {
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
    fn a_row_that_succeeds_at_its_second_try_is_no_poison() {
        let mut left = Remaining::new(2, 2);
        assert_eq!(left.failed(), AfterFailure::Split);
        assert_eq!(left.failed(), AfterFailure::Again);
        left.succeeded();
        assert_eq!((left.next(), left.failed()), (Some(1..2), AfterFailure::Again));
    }
}
