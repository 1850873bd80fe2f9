//! The send window of a topic: bounds the bytes under way, so that the broker refuses no batch because of another
//! record in it.
//!
//! A broker accepts or refuses a batch as a whole. So a refusal proves something about a record only if the record was
//! alone in its batch. A batch holds records under way, so the bytes under way bound it. After a refusal the window
//! admits one record at a time. Each accepted record lets it grow again, up to the topic's limit.
//!
//! In a transaction all records are sent again from its beginning, so the window would have grown again by the time the
//! refused batch comes. There the window recognises the batch by the numbers of its records. They are sent in groups of
//! their own, each an eighth of the refused batch, until the faulty record is alone.

/// The send window of one topic. Sizes are in bytes as in a batch.
#[derive(Clone, Debug)]
pub struct SendWindow {
    /// The most bytes under way. A single record is always admitted.
    width: usize,
    /// The largest width: the largest batch that the topic accepts.
    most: usize,
    bytes: usize,
    records: usize,
    /// True if more than one record has been under way since none was.
    has_company: bool,
    /// Records of a batch that was refused in a transaction.
    suspects: Option<Suspects>,
    /// True if the last admitted record is one of the suspects.
    is_among_suspects: bool,
}

/// Records of a refused batch, by the numbers under which they are sent again.
#[derive(Clone, Debug)]
struct Suspects {
    first: u64,
    last: u64,
    /// The most bytes of suspects under way. A single record is always admitted.
    width: usize,
    /// True once the suspects are sent again: the next refusal is of another batch.
    are_sent_again: bool,
}

/// The factor by which groups of suspects are smaller than the refused batch.
const NARROWER: usize = 8;

/// The largest size of a refused batch.
const LARGEST_BATCH: usize = 1 << 20;

/// A width from which on the window is unbounded: no batch is that large.
const UNBOUNDED: usize = 64 << 20;

impl Default for SendWindow {
    fn default() -> Self {
        Self {
            width: usize::MAX,
            most: usize::MAX,
            bytes: 0,
            records: 0,
            has_company: false,
            suspects: None,
            is_among_suspects: false,
        }
    }
}

impl SendWindow {
    /// Sets the topic's stated limit of batches, in bytes. A lower limit learned from a refusal still applies.
    pub fn limit(&mut self, most: usize) {
        self.most = self.most.min(most);
        self.width = self.width.min(most);
    }

    /// Admits the record of this number if the window has capacity, and counts it as under way.
    pub fn admit(&mut self, bytes: usize, number: u64) -> bool {
        let suspects = self.suspects.as_ref().filter(|they| (they.first..=they.last).contains(&number));
        let is_suspect = suspects.is_some();
        let width = suspects.map_or(self.width, |they| they.width);
        let has_room = is_suspect == self.is_among_suspects && self.bytes.saturating_add(bytes) <= width;
        if self.records > 0 && !has_room {
            return false;
        }
        self.is_among_suspects = is_suspect;
        self.has_company = self.records > 0;
        self.records += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        true
    }

    /// Records that an admitted record was not sent after all.
    pub fn withdraw(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
        self.records = self.records.saturating_sub(1);
    }

    /// Records that the broker has accepted a record.
    pub fn taken(&mut self, bytes: usize) {
        self.withdraw(bytes);
        if self.width < self.most {
            self.width = self.width.saturating_add(bytes).min(self.most);
            if self.width >= UNBOUNDED {
                self.width = usize::MAX;
            }
        }
    }

    /// Records that the broker has refused a record's batch, for its size or for one of its records. Returns true if
    /// the record was alone, so that the refusal is its own. `number` is given if all records before it are sent again
    /// as well, under the same numbers.
    pub fn refused(&mut self, bytes: usize, for_size: bool, number: Option<u64>) -> bool {
        let was_alone = self.records == 1 && !self.has_company;
        if was_alone {
            // Without this record the numbers of others change.
            self.suspects = None;
        } else if let Some(number) = number {
            self.suspect(number, for_size);
        } else {
            // The first of many refusals shows how much was under way.
            if for_size && self.width > 0 {
                // Some batch under way was too large; the next are at most half of the bytes under way.
                self.most = self.most.min((self.bytes / 2).max(1));
            }
            self.width = 0;
        }
        self.withdraw(bytes);
        was_alone
    }

    fn suspect(&mut self, number: u64, for_size: bool) {
        match &mut self.suspects {
            Some(they) if !they.are_sent_again => {
                (they.first, they.last) = (they.first.min(number), they.last.max(number));
            }
            they => {
                let width = self.bytes.min(LARGEST_BATCH) / NARROWER;
                *they = Some(Suspects { first: number, last: number, width, are_sent_again: false });
                if for_size {
                    // This is the first refusal of the bytes under way; transactions should not fail often.
                    self.most = self.most.min((self.bytes / 4).max(1));
                    self.width = self.width.min(self.most);
                }
            }
        }
    }

    /// Records that the refused batch, and the records sent with it, are sent again.
    pub fn send_again(&mut self) {
        if let Some(they) = &mut self.suspects {
            they.are_sent_again = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Simulates a broker that accepts batches up to `limit` bytes, and a client that packs all records under way into
    /// one batch. Returns the records refused alone, in order, and the number of batches.
    fn deliver(
        window: &mut SendWindow,
        records: &[usize],
        limit: usize,
        spoilt: &[usize],
    ) -> (Vec<usize>, usize) {
        let mut waiting: std::collections::VecDeque<usize> = (0..records.len()).collect();
        let (mut alone, mut batches) = (Vec::new(), 0);
        while !waiting.is_empty() {
            let mut batch = Vec::new();
            while let Some(next) = waiting.front().copied() {
                if !window.admit(records[next], next as u64) {
                    break;
                }
                waiting.pop_front();
                batch.push(next);
            }
            assert!(!batch.is_empty(), "one record always has room");
            batches += 1;
            let size: usize = batch.iter().map(|record| records[*record]).sum();
            let too_large = size > limit;
            if too_large || batch.iter().any(|record| spoilt.contains(record)) {
                let mut again = Vec::new();
                for record in &batch {
                    match window.refused(records[*record], too_large, None) {
                        true => alone.push(*record),
                        false => again.push(*record),
                    }
                }
                again.into_iter().rev().for_each(|record| waiting.push_front(record));
            } else {
                batch.iter().for_each(|record| window.taken(records[*record]));
            }
        }
        (alone, batches)
    }

    /// The same broker with transactions: after each refusal all remaining records are sent again from the beginning.
    /// Returns the records refused alone, and the most consecutive aborts that found no such record.
    fn deliver_in_one_transaction(records: &[usize], limit: usize, spoilt: &[usize]) -> (Vec<usize>, usize) {
        let mut window = SendWindow::default();
        let (mut left, mut alone): (Vec<usize>, Vec<usize>) = ((0..records.len()).collect(), Vec::new());
        let (mut aborted, mut most_aborted) = (0, 0);
        'transaction: loop {
            window.send_again();
            let mut next = 0;
            while next < left.len() {
                let begin = next;
                // The last record has the same number in each transaction.
                let number = |place: usize| (records.len() - left.len() + place) as u64;
                while next < left.len() && window.admit(records[left[next]], number(next)) {
                    next += 1;
                }
                assert!(next > begin, "one record always has room");
                let batch = &left[begin..next];
                let too_large = batch.iter().map(|record| records[*record]).sum::<usize>() > limit;
                if !too_large && !batch.iter().any(|record| spoilt.contains(record)) {
                    batch.iter().for_each(|record| window.taken(records[*record]));
                    continue;
                }
                let refused: Vec<bool> = (begin..next)
                    .map(|place| window.refused(records[left[place]], too_large, Some(number(place))))
                    .collect();
                aborted += 1;
                if refused == [true] {
                    alone.push(left.remove(begin));
                    aborted = 0;
                }
                most_aborted = most_aborted.max(aborted);
                assert!(aborted < 100, "this has no end");
                continue 'transaction;
            }
            return (alone, most_aborted);
        }
    }

    #[test]
    fn transaction_finds_the_refused_record_within_a_few_attempts() {
        let (alone, aborted) = deliver_in_one_transaction(&[600; 5000], usize::MAX, &[3, 2500, 4999]);
        assert!(alone == [3, 2500, 4999] && aborted < 8, "{alone:?} after {aborted}");
        let mut records = vec![600; 5000];
        records[2500] = 30_000;
        let (alone, aborted) = deliver_in_one_transaction(&records, 20_000, &[]);
        assert!(alone == [2500] && aborted < 10, "{alone:?} after {aborted}");
    }

    proptest! {
        /// In transactions as well.
        #[test]
        fn transaction_blames_only_records_that_are_refused_alone(
            records in prop::collection::vec(1_usize..300, 1..80),
            limit in 20_usize..2000,
            spoilt in prop::collection::vec(0_usize..80, 0..4),
        ) {
            let (mut alone, aborted) = deliver_in_one_transaction(&records, limit, &spoilt);
            alone.sort_unstable();
            let expected: Vec<usize> =
                (0..records.len()).filter(|record| records[*record] > limit || spoilt.contains(record)).collect();
            prop_assert_eq!(alone, expected);
            prop_assert!(aborted < 20, "{}", aborted);
        }

        /// Whatever the sizes, only records that the broker refuses by themselves are refused alone, and all others are
        /// accepted.
        #[test]
        fn window_blames_only_records_that_are_refused_alone(
            records in prop::collection::vec(1_usize..300, 1..80),
            limit in 20_usize..2000,
            spoilt in prop::collection::vec(0_usize..80, 0..4),
        ) {
            let (alone, _) = deliver(&mut SendWindow::default(), &records, limit, &spoilt);
            let expected: Vec<usize> =
                (0..records.len()).filter(|record| records[*record] > limit || spoilt.contains(record)).collect();
            prop_assert_eq!(alone, expected);
        }
    }

    #[test]
    fn window_of_a_known_limit_has_no_batch_refused_and_few_batches() {
        let mut window = SendWindow::default();
        window.limit(1000);
        let (alone, batches) = deliver(&mut window, &[100; 1000], 1000, &[]);
        assert_eq!((alone, batches), (vec![], 100));
    }

    #[test]
    fn limit_learned_from_a_refusal_outlives_the_stated_one() {
        let mut window = SendWindow::default();
        window.limit(1000);
        assert!(window.admit(400, 0) && window.admit(400, 1) && !window.admit(400, 2));
        assert!(!window.refused(400, true, None) && !window.refused(400, true, None));
        // The topic states its limit again: records are larger in a batch than estimated.
        window.limit(1000);
        for number in 0..10 {
            assert!(window.admit(400, number) && !window.admit(400, number + 1));
            window.taken(400);
        }
    }

    #[test]
    fn window_grows_again_after_a_refusal() {
        let mut window = SendWindow::default();
        let (alone, batches) = deliver(&mut window, &[1000; 100_000], 1_000_000, &[]);
        assert!(alone.is_empty() && batches < 2000, "{batches}");
        let spoilt = deliver(&mut SendWindow::default(), &[100; 10_000], usize::MAX, &[5000]);
        assert!(spoilt.0 == [5000] && spoilt.1 < 100, "{spoilt:?}");
    }
}
