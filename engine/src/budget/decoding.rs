//! Who may decode now, so that decoded pixels stay within the byte budget. The rule alone: a shell does the waiting.
//!
//! Whoever decodes holds memory for as long as it decodes, and meanwhile waits for nothing. So a turn comes for everybody:
//! those who wait do so for decoding that is under way, never for bundles or batches that wait themselves.

use std::collections::VecDeque;

/// The turns of those who decode, in the order in which they asked.
#[derive(Debug)]
pub struct Turns {
    limit: u64,
    under_way: usize,
    next: u64,
    waiting: VecDeque<Turn>,
}

/// A place in the queue, with so many bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    number: u64,
    bytes: u64,
}

impl Turns {
    /// Turns for decoding within a budget of so many bytes.
    pub fn new(limit: u64) -> Self {
        Self { limit, under_way: 0, next: 0, waiting: VecDeque::new() }
    }

    /// Queues for so many bytes; none when they are more than the whole budget, which no waiting would change.
    pub fn ask(&mut self, bytes: u64) -> Option<Turn> {
        if bytes > self.limit {
            return None;
        }
        let turn = Turn { number: self.next, bytes };
        self.next += 1;
        self.waiting.push_back(turn);
        Some(turn)
    }

    /// Whether its turn has come, of which it is then. `used` are the bytes of the budget that are taken, those of decoding
    /// under way included. The first in the queue goes if it fits, or if nobody decodes: what else is in the budget may be
    /// waiting for it.
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

    /// One that had begun has ended. The first in the queue is to ask again.
    pub fn end(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_goes_when_it_fits_and_the_next_waits_behind_it() {
        let mut turns = Turns::new(100);
        assert_eq!(turns.ask(101), None);
        let [first, second, third] = [60, 50, 10].map(|bytes| turns.ask(bytes).expect("within the budget"));
        assert!(!turns.begin(second, 0));
        assert!(turns.begin(first, 0));
        assert!(!turns.begin(second, 60));
        assert!(!turns.begin(third, 60), "nobody overtakes");
        turns.end();
        assert!(turns.begin(second, 0) && turns.begin(third, 50));
    }

    #[test]
    fn a_budget_full_of_payloads_lets_one_decode_at_a_time() {
        let mut turns = Turns::new(100);
        let [first, second] = [60, 5].map(|bytes| turns.ask(bytes).expect("within the budget"));
        assert!(turns.begin(first, 100));
        assert!(!turns.begin(second, 160));
        turns.end();
        assert!(turns.begin(second, 100));
    }

    proptest! {
        /// Over random requests and ends, with payloads that come and go beside them: all have their turn, in order, and
        /// what is decoded fits into what the payloads leave, but for one alone.
        #[test]
        fn everybody_has_a_turn_and_what_is_decoded_fits_or_is_alone(
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
                assert!(waiting.is_empty() || !running.is_empty(), "somebody waits for nobody");
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
