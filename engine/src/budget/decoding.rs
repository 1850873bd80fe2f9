//! Turns for decoding, so that decoded pixels stay within the byte budget. This is the rule alone; the caller waits.
//!
//! A decoder holds memory only while it decodes, and waits for nothing during that time. So every request gets its
//! turn: it waits for decoding under way, never for bundles or batches that wait themselves.

use std::collections::VecDeque;

/// The queue of decoding requests, in the order of arrival.
#[derive(Debug)]
pub struct Turns {
    limit: u64,
    under_way: usize,
    next: u64,
    waiting: VecDeque<Turn>,
}

/// One request in the queue, and the bytes that it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    number: u64,
    bytes: u64,
}

impl Turns {
    /// Creates a queue for decoding within a budget of `limit` bytes.
    pub fn new(limit: u64) -> Self {
        Self { limit, under_way: 0, next: 0, waiting: VecDeque::new() }
    }

    /// Queues a request for `bytes`. Returns `None` if they exceed the whole budget, since waiting would not help.
    pub fn ask(&mut self, bytes: u64) -> Option<Turn> {
        if bytes > self.limit {
            return None;
        }
        let turn = Turn { number: self.next, bytes };
        self.next += 1;
        self.waiting.push_back(turn);
        Some(turn)
    }

    /// Begins decoding if the turn has come. `used` is the number of taken bytes of the budget, including decoding under
    /// way. The first request in the queue begins if it fits. It also begins if no other decoding is under way: the
    /// rest of the budget may be held by records that wait for it.
    pub fn begin(&mut self, turn: Turn, used: u64) -> bool {
        let is_first = self.waiting.front() == Some(&turn);
        let fits = used.saturating_add(turn.bytes) <= self.limit;
        let begins = is_first && (fits || self.under_way == 0);
        if begins {
            self.waiting.pop_front();
            self.under_way += 1;
        }
        begins
    }

    /// Ends decoding that had begun. The caller then calls [`Self::begin`] for the first request in the queue.
    pub fn end(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn decoding_queue_begins_the_first_request_that_fits() {
        let mut turns = Turns::new(100);
        assert_eq!(turns.ask(101), None);
        let [first, second, third] = [60, 50, 10].map(|bytes| turns.ask(bytes).expect("within the budget"));
        assert!(!turns.begin(second, 0));
        assert!(turns.begin(first, 0));
        assert!(!turns.begin(second, 60));
        assert!(!turns.begin(third, 60), "no request overtakes another");
        turns.end();
        assert!(turns.begin(second, 0) && turns.begin(third, 50));
    }

    #[test]
    fn decoding_runs_one_at_a_time_while_payloads_fill_the_budget() {
        let mut turns = Turns::new(100);
        let [first, second] = [60, 5].map(|bytes| turns.ask(bytes).expect("within the budget"));
        assert!(turns.begin(first, 100));
        assert!(!turns.begin(second, 160));
        turns.end();
        assert!(turns.begin(second, 100));
    }

    proptest! {
        /// Random requests and ends, beside payloads that come and go. All requests get their turn, in order. Decoded
        /// bytes fit into the space that the payloads leave, except for a single decoder alone.
        #[test]
        fn decoding_serves_every_request_and_fits_or_runs_alone(
            requests in prop::collection::vec((1u64..=100, 0u64..150, any::<bool>()), 1..60),
        ) {
            let mut turns = Turns::new(100);
            let (mut waiting, mut running, mut begun) = (VecDeque::new(), VecDeque::new(), Vec::new());
            let mut expected = Vec::new();
            let mut others = 0;
            let advance = |turns: &mut Turns, waiting: &mut VecDeque<Turn>, running: &mut VecDeque<Turn>, others: u64| {
                let mut begun = Vec::new();
                loop {
                    let decoding: u64 = running.iter().map(|turn| turn.bytes).sum();
                    let ready = waiting.iter().position(|turn| turns.begin(*turn, others + decoding));
                    let Some(turn) = ready.and_then(|place| waiting.remove(place)) else { break };
                    running.push_back(turn);
                    let decoding: u64 = running.iter().map(|turn| turn.bytes).sum();
                    assert!(running.len() == 1 || others + decoding <= 100);
                    begun.push(turn.number);
                }
                assert!(waiting.is_empty() || !running.is_empty(), "a request waits although nothing runs");
                begun
            };
            for (bytes, besides, ends) in requests {
                others = besides;
                let turn = turns.ask(bytes).expect("within the budget");
                expected.push(turn.number);
                waiting.push_back(turn);
                begun.extend(advance(&mut turns, &mut waiting, &mut running, others));
                if ends && running.pop_front().is_some() {
                    turns.end();
                    begun.extend(advance(&mut turns, &mut waiting, &mut running, others));
                }
            }
            while running.pop_front().is_some() {
                turns.end();
                begun.extend(advance(&mut turns, &mut waiting, &mut running, others));
            }
            prop_assert_eq!(begun, expected);
        }
    }
}
