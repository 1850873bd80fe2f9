//! How much of one topic may be under way to the broker, so that it refuses no batch for what another record is.
//!
//! A broker takes a batch whole or refuses it whole. So a refusal says something of a record only if that was alone in
//! its batch. A batch holds records under way, so what is under way bounds it: after a refusal the window admits one
//! record at a time, and each that is taken lets it grow again, up to what the topic takes.
//!
//! In a transaction all goes again from its beginning, so that the window would have grown again by the time the refused batch
//! comes. There the window knows the batch by the numbers of its records: they go in groups of their own, each an eighth of
//! what was refused, until the one that is at fault is alone.

/// The window of one topic. Sizes are in bytes as they stand in a batch.
#[derive(Clone, Debug)]
pub struct SendWindow {
    /// How much may be under way. One record may always.
    width: usize,
    /// How far it may grow: the largest batch that the topic takes.
    most: usize,
    bytes: usize,
    records: usize,
    /// Since nothing was under way, more than one record was.
    has_company: bool,
    /// Records of a batch that was refused in a transaction.
    suspects: Option<Suspects>,
    /// The last record that was admitted is one of them.
    is_among_suspects: bool,
}

/// Records of a refused batch, by the numbers under which they are sent again.
#[derive(Clone, Debug)]
struct Suspects {
    first: u64,
    last: u64,
    /// How many bytes of them may be under way. One record may always.
    width: usize,
    /// They are sent again: the next refusal is of a batch of its own.
    are_sent_again: bool,
}

/// By so much smaller than a refused batch are the groups in which its records go again.
const NARROWER: usize = 8;

/// A batch that is refused is not larger.
const LARGEST_BATCH: usize = 1 << 20;

/// A window that has grown to this bounds nothing: no batch is that large.
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
    /// The topic takes batches of `most` bytes, as it says. What a refusal has shown is less, and holds all the same.
    pub fn limit(&mut self, most: usize) {
        self.most = self.most.min(most);
        self.width = self.width.min(most);
    }

    /// Counts the record of that number as under way, if it has room.
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

    /// A record was not sent after all.
    pub fn withdraw(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
        self.records = self.records.saturating_sub(1);
    }

    /// The broker has taken a record.
    pub fn taken(&mut self, bytes: usize) {
        self.withdraw(bytes);
        if self.width < self.most {
            self.width = self.width.saturating_add(bytes).min(self.most);
            if self.width >= UNBOUNDED {
                self.width = usize::MAX;
            }
        }
    }

    /// The broker has refused the batch of a record, for its size or for what a record of it is. Whether that says something of
    /// this record: it was alone. It has this number if all before it is sent again as well, under the same numbers.
    pub fn refused(&mut self, bytes: usize, for_size: bool, number: Option<u64>) -> bool {
        let was_alone = self.records == 1 && !self.has_company;
        if was_alone {
            // Without it the numbers of others are not the same.
            self.suspects = None;
        } else if let Some(number) = number {
            self.suspect(number, for_size);
        } else {
            // The first of many refusals tells how much was under way.
            if for_size && self.width > 0 {
                // Some batch of what is under way was too large; the next are at most half of it.
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
                    // Of all that was under way this is the first refusal; transactions are not to fail often.
                    self.most = self.most.min((self.bytes / 4).max(1));
                    self.width = self.width.min(self.most);
                }
            }
        }
    }

    /// All that was refused, and what was sent with it, is sent again.
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

    /// A broker that takes batches of `limit` bytes and refuses others whole, and a client that packs all that is under way
    /// into one batch. Gives what was refused alone, in order, and how many batches it took.
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

    /// The same broker and transactions: whatever is refused, all that is left is sent again from the beginning. Gives what was
    /// refused alone, and how many transactions in a row were aborted at most without finding such a record.
    fn deliver_in_one_transaction(records: &[usize], limit: usize, spoilt: &[usize]) -> (Vec<usize>, usize) {
        let mut window = SendWindow::default();
        let (mut left, mut alone): (Vec<usize>, Vec<usize>) = ((0..records.len()).collect(), Vec::new());
        let (mut aborted, mut most_aborted) = (0, 0);
        'transaction: loop {
            window.send_again();
            let mut next = 0;
            while next < left.len() {
                let begin = next;
                // The last of them all has the same number in each.
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

        /// Whatever the sizes, only what the broker refuses by itself is refused alone, and everything else is taken.
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
    fn what_a_refusal_has_shown_outlives_what_the_topic_says() {
        let mut window = SendWindow::default();
        window.limit(1000);
        assert!(window.admit(400, 0) && window.admit(400, 1) && !window.admit(400, 2));
        assert!(!window.refused(400, true, None) && !window.refused(400, true, None));
        // As it said before: the records are larger in the batch than they were taken for.
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
