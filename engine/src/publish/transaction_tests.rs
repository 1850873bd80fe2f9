use proptest::prelude::*;

use super::*;

const EVERY: Duration = Duration::from_millis(100);
const NONE: Duration = Duration::ZERO;

fn at(millis: u64) -> Timestamp {
    Timestamp::from_nanos(0).after(Duration::from_millis(millis))
}

fn sending(has_content: bool, under_way: bool) -> Sending {
    Sending { unsent: 0, under_way, has_content }
}

fn open() -> Transaction {
    let mut it = Transaction::new(EVERY);
    assert!(!it.is_open());
    assert_eq!(it.step(at(0), sending(false, false)), Some(TransactionRequest::Begin));
    assert_eq!(it.ended(Ended::AsAsked, at(0), NONE, 0), AfterTransaction::GoOn);
    it
}

#[test]
fn transaction_ends_when_due_and_all_is_acknowledged() {
    let mut it = open();
    assert_eq!((it.step(at(99), sending(true, true)), it.is_open()), (None, true));
    assert_eq!((it.step(at(100), sending(true, true)), it.is_open()), (None, false));
    assert_eq!(it.step(at(101), sending(true, false)), Some(TransactionRequest::Commit));
    assert_eq!(
        (it.step(at(102), sending(true, false)), it.is_open()),
        (None, false),
        "the commit is requested once"
    );
    assert_eq!(it.ended(Ended::AsAsked, at(110), NONE, 0), AfterTransaction::GoOn);
    assert_eq!((it.is_open(), it.due()), (true, Some(at(210))));
}

#[test]
fn transaction_stays_open_longer_under_a_backlog() {
    for (every, backlog, gathers) in
        [(100, 999, 100), (100, 3_000, 300), (100, 60_000, 1_000), (5_000, 60_000, 5_000)]
    {
        let mut it = Transaction::new(Duration::from_millis(every));
        assert_eq!(it.step(at(0), sending(false, false)), Some(TransactionRequest::Begin));
        assert_eq!(
            it.ended(Ended::AsAsked, at(7), Duration::from_millis(backlog), 0),
            AfterTransaction::GoOn
        );
        assert_eq!(it.due(), Some(at(7 + gathers)), "{every} ms and a backlog of {backlog} ms");
    }
}

#[test]
fn empty_transaction_is_not_committed() {
    let mut it = open();
    assert_eq!((it.step(at(100), sending(false, false)), it.due()), (None, Some(at(200))));
}

#[test]
fn transaction_asked_to_end_soon_does_not_wait() {
    let mut it = open();
    it.end_soon();
    assert_eq!(it.step(at(1), sending(true, false)), Some(TransactionRequest::Commit));
}

#[test]
fn undelivered_record_aborts_and_all_is_sent_again() {
    let mut it = open();
    it.doom("no");
    assert!(!it.is_open());
    assert_eq!(it.step(at(1), sending(true, true)), None, "delivery reports come first");
    assert_eq!(it.step(at(2), sending(true, false)), Some(TransactionRequest::Abort));
    assert_eq!(it.ended(Ended::AsAsked, at(3), NONE, 0), AfterTransaction::Again("no".into()));
    assert!(it.is_open());
    assert_eq!(it.step(at(103), sending(true, false)), Some(TransactionRequest::Commit));
    assert_eq!(
        it.ended(Ended::Aborted("fenced".into()), at(104), NONE, 0),
        AfterTransaction::Again("fenced".into())
    );
}

#[test]
fn transaction_being_committed_cannot_be_doomed() {
    let mut it = open();
    it.end_soon();
    assert_eq!(it.step(at(1), sending(true, false)), Some(TransactionRequest::Commit));
    it.doom("too late");
    assert_eq!((it.ended(Ended::AsAsked, at(2), NONE, 0), it.is_open()), (AfterTransaction::GoOn, true));
}

#[test]
fn only_many_consecutive_aborts_are_a_failure() {
    let mut it = open();
    let mut end = |how: Ended| {
        it.end_soon();
        assert_eq!(it.step(at(1), sending(true, false)), Some(TransactionRequest::Commit));
        it.ended(how, at(2), NONE, 0)
    };
    for _ in 1..MOST_ABORTED {
        assert_eq!(end(Ended::Aborted("no".into())), AfterTransaction::Again("no".into()));
    }
    assert_eq!(end(Ended::AsAsked), AfterTransaction::GoOn);
    for _ in 1..MOST_ABORTED {
        assert_eq!(end(Ended::Aborted("no".into())), AfterTransaction::Again("no".into()));
    }
    assert!(
        matches!(end(Ended::Aborted("no".into())), AfterTransaction::Fail(why) if why.ends_with("the last because of: no"))
    );
}

#[test]
fn aborts_that_remove_a_refused_record_have_no_limit() {
    let mut it = open();
    for _ in 0..2 * MOST_ABORTED {
        it.doom("too large");
        it.has_progressed();
        assert_eq!(it.step(at(1), sending(true, false)), Some(TransactionRequest::Abort));
        assert_eq!(it.ended(Ended::AsAsked, at(2), NONE, 0), AfterTransaction::Again("too large".into()));
    }
}

#[test]
fn failed_transaction_sends_nothing_more() {
    let mut it = open();
    it.end_soon();
    assert_eq!(it.step(at(1), sending(true, false)), Some(TransactionRequest::Commit));
    assert_eq!(it.ended(Ended::Failed("gone".into()), at(2), NONE, 0), AfterTransaction::Fail("gone".into()));
    assert_eq!((it.is_open(), it.due(), it.step(at(900), sending(true, false))), (false, None, None));
}

#[test]
fn transaction_passes_a_mark_with_the_commit_of_its_offsets() {
    let mut it = open();
    let step = |it: &mut Transaction, millis, unsent, under_way| {
        let asked = it.step(at(millis), Sending { unsent, under_way, has_content: true });
        if asked == Some(TransactionRequest::Commit) {
            assert_eq!(it.ended(Ended::AsAsked, at(millis), NONE, unsent), AfterTransaction::GoOn);
        }
        asked.is_some()
    };
    assert!(!step(&mut it, 100, 5, true), "a delivery report is missing");
    // Record 5 waits. Its offsets, and those of now, are part of the next transaction.
    let mark = it.mark(6);
    assert!(step(&mut it, 101, 5, false) && !it.has_passed(mark));
    it.end_soon();
    assert!(step(&mut it, 102, 5, false) && !it.has_passed(mark), "the record is missing");
    it.end_soon();
    assert!(step(&mut it, 103, 6, false) && it.has_passed(mark));
}

#[test]
fn begin_of_the_first_transaction_commits_nothing() {
    let mut it = open();
    let mark = it.mark(0);
    assert!(!it.has_passed(mark));
    it.end_soon();
    assert_eq!(it.step(at(1), sending(true, false)), Some(TransactionRequest::Commit));
    assert_eq!(it.ended(Ended::AsAsked, at(1), NONE, 0), AfterTransaction::GoOn);
    assert!(it.has_passed(mark));
}

#[test]
fn closed_transaction_takes_no_more_and_waits_for_its_last() {
    let mut it = open();
    let step = |it: &mut Transaction, unsent| {
        it.step(at(100), Sending { unsent, under_way: false, has_content: true })
    };
    assert!(it.is_due(at(100)));
    it.close(3);
    assert_eq!((it.takes(2), it.takes(3), it.is_due(at(100)), it.due()), (true, false, false, None));
    assert_eq!(step(&mut it, 2), None);
    assert_eq!(step(&mut it, 3), Some(TransactionRequest::Commit));
    assert_eq!(it.ended(Ended::AsAsked, at(101), NONE, 3), AfterTransaction::GoOn);
    assert!(it.takes(3) && it.due().is_some(), "the next transaction is not closed");
}

/// The publisher, as far as transactions depend on it.
#[derive(Default)]
struct Simulated {
    /// The numbers of the first record of the transaction, the first unsent record, and the next record.
    first: u64,
    unsent: u64,
    next: u64,
    under_way: bool,
    /// Records that were acknowledged, and reported to the ledger, have lower numbers.
    reported: u64,
    /// The number of requested commits, and the number when the last committed transaction was requested.
    requested: u64,
    committed: u64,
}

impl Simulated {
    fn step(&mut self, it: &mut Transaction, now: Timestamp) -> Option<TransactionRequest> {
        let (under_way, unsent) = (self.under_way, self.unsent);
        let request = it.step(now, Sending { unsent, under_way, has_content: true });
        self.requested += u64::from(request == Some(TransactionRequest::Commit));
        request
    }

    /// Ends the transaction.
    fn ended(&mut self, it: &mut Transaction, how: Ended, now: Timestamp) {
        match it.ended(how, now, NONE, self.unsent) {
            AfterTransaction::GoOn => (self.first, self.committed) = (self.unsent, self.requested),
            AfterTransaction::Again(_) => {
                self.unsent = self.first;
                it.must_contain(self.reported.max(self.first));
            }
            AfterTransaction::Fail(why) => panic!("{why}"),
        }
    }

    fn send(&mut self, it: &Transaction) -> bool {
        let can_send = self.unsent < self.next && it.takes(self.unsent);
        if can_send {
            (self.unsent, self.under_way) = (self.unsent + 1, true);
        }
        can_send
    }

    fn deliver(&mut self) {
        (self.under_way, self.reported) = (false, self.reported.max(self.unsent));
    }
}

proptest! {
    #[test]
    fn commit_contains_what_was_reported_and_passes_each_mark(steps in prop::collection::vec(0_u32..9, 0..200)) {
        let mut it = open();
        let (mut they, mut request) = (Simulated::default(), None);
        // Each mark with the number of its next record, and the number of commits requested before it.
        let mut marks = Vec::new();
        for (now, step) in steps.iter().enumerate() {
            let now = at(1000 + now as u64 * 40);
            match step {
                0 => they.next += 1,
                1 | 2 => while they.send(&it) {},
                3 if request.is_none() => they.deliver(),
                4 if they.under_way => {
                    // One delivery has failed. The others are reported, unless they came after it.
                    they.under_way = false;
                    it.doom("no");
                    it.has_progressed();
                }
                5 => it.end_soon(),
                6 if it.is_due(now) => it.close(if they.next % 2 == 0 { they.next } else { they.unsent }),
                7 => marks.push((it.mark(they.next), they.next, they.requested)),
                8 => if let Some(request) = request.take() {
                    let how = if they.next % 3 == 0 && request == TransactionRequest::Commit {
                        it.has_progressed();
                        Ended::Aborted("no".into())
                    } else {
                        Ended::AsAsked
                    };
                    they.ended(&mut it, how, now);
                },
                _ => {}
            }
            if let Some(asked) = they.step(&mut it, now) {
                prop_assert!(request.is_none() && !they.under_way);
                if asked == TransactionRequest::Commit {
                    prop_assert!(they.unsent >= they.reported, "an acknowledged record is missing");
                }
                request = Some(asked);
            }
            prop_assert!(request.is_none() || !it.takes(they.unsent), "nothing is sent while it ends");
            for (mark, next, requested) in &marks {
                let is_committed = they.first >= *next && they.committed > *requested;
                prop_assert!(is_committed || !it.has_passed(*mark), "a mark passed too early");
            }
        }
        // Two commits later all marks have passed.
        for round in 0..12 {
            let now = at(100_000 + round * 1000);
            if request.take().is_some() {
                they.ended(&mut it, Ended::AsAsked, now);
            }
            while they.send(&it) {}
            they.deliver();
            request = they.step(&mut it, now);
        }
        prop_assert!(marks.iter().all(|(mark, ..)| it.has_passed(*mark)), "a mark never passed");
    }
}
