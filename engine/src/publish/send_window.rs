//! How much of one topic may be under way to the broker, so that it refuses no batch for what another record is.
//!
//! A broker takes a batch whole or refuses it whole. So a refusal says something of a record only if that was alone in
//! its batch. A batch holds records under way, so what is under way bounds it: after a refusal the window admits one
//! record at a time, and each that is taken lets it grow again, up to what the topic takes.

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
}

/// A window that has grown to this bounds nothing: no batch is that large.
const UNBOUNDED: usize = 64 << 20;

impl Default for SendWindow {
    fn default() -> Self {
        Self { width: usize::MAX, most: usize::MAX, bytes: 0, records: 0, has_company: false }
    }
}

impl SendWindow {
    /// The topic takes batches of `most` bytes.
    pub fn limit(&mut self, most: usize) {
        self.most = most;
        self.width = self.width.min(most);
    }

    /// The topic takes any batch that the client makes.
    pub fn unlimit(&mut self) {
        *self = Self { width: self.width, most: usize::MAX, ..self.clone() };
        if self.width >= UNBOUNDED || self.records == 0 {
            self.width = usize::MAX;
        }
    }

    /// Counts a record as under way, if it has room.
    pub fn admit(&mut self, bytes: usize) -> bool {
        if self.records > 0 && self.bytes.saturating_add(bytes) > self.width {
            return false;
        }
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
    /// this record: it was alone.
    pub fn refused(&mut self, bytes: usize, for_size: bool) -> bool {
        let was_alone = self.records == 1 && !self.has_company;
        if !was_alone {
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
                if !window.admit(records[next]) {
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
                    match window.refused(records[*record], too_large) {
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

    proptest! {
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
    fn window_grows_again_after_a_refusal() {
        let mut window = SendWindow::default();
        let (alone, batches) = deliver(&mut window, &[1000; 100_000], 1_000_000, &[]);
        assert!(alone.is_empty() && batches < 2000, "{batches}");
        let spoilt = deliver(&mut SendWindow::default(), &[100; 10_000], usize::MAX, &[5000]);
        assert!(spoilt.0 == [5000] && spoilt.1 < 100, "{spoilt:?}");
    }
}
