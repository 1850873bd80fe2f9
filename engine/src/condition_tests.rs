use proptest::prelude::*;

use super::*;

const fn s(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

fn denied() -> Cause {
    Cause::lasting("the right WRITE on topic results is missing", "grant it")
}

fn away() -> Cause {
    Cause::passing("no broker answers", "")
}

fn changes(said: impl IntoIterator<Item = ConditionEntry>) -> Vec<Change> {
    said.into_iter().map(|said| said.change).collect()
}

#[test]
fn board_logs_a_condition_once_and_counts_its_reports() {
    let mut board = Board::default();
    assert_eq!(changes(board.report(Work::Publish, "results", denied(), s(0))), [Change::Begins]);
    for _ in 0..2_600 {
        assert_eq!(board.report(Work::Publish, "results", denied(), s(1)), None);
    }
    assert_eq!(board.due(s(9)), []);
    assert_eq!(changes(board.due(s(10))), [Change::Lasts { repeated: 2_600 }]);
    assert_eq!(changes(board.due(s(11))), []);
    assert_eq!(changes(board.due(s(20))), [Change::Lasts { repeated: 0 }], "silence is not progress");
    assert_eq!(changes(board.progress(Work::Publish, "results", s(21))), [Change::Ends]);
    assert!(board.is_empty());
}

#[test]
fn board_blocks_at_once_only_for_a_lasting_cause() {
    let mut board = Board::default();
    let _said = board.report(Work::Connect, "", away(), s(0));
    assert!(!board.blocks(s(4)) && board.blocks(s(5)));
    let _said = board.report(Work::Publish, "results", denied(), s(4));
    assert!(board.blocks(s(4)));
    assert_eq!(board.held(s(4))[0].work, Work::Publish, "what blocks comes first");
    let _said = board.progress(Work::Publish, "results", s(4));
    assert!(!board.blocks(s(4)), "progress of one is none of the other");
    assert!(board.blocks(s(6)));
}

#[test]
fn board_keeps_a_lasting_cause_over_one_that_may_pass() {
    let mut board = Board::default();
    let _said = board.report(Work::Connect, "", away(), s(0));
    assert_eq!(changes(board.report(Work::Connect, "", denied(), s(1))), [Change::Begins]);
    assert_eq!(board.report(Work::Connect, "", away(), s(2)), None);
    assert_eq!(board.held(s(2))[0].cause, denied());
    assert_eq!(board.held(s(2))[0].since, s(0));
}

#[test]
fn board_logs_a_passing_cause_only_after_a_while() {
    let mut board = Board::default();
    assert_eq!(board.report(Work::Connect, "", away(), s(0)), None);
    assert_eq!(board.due(s(1)), []);
    assert_eq!(board.progress(Work::Connect, "", s(1)), None);
    assert_eq!(board.report(Work::Connect, "", away(), s(2)), None);
    assert_eq!(changes(board.due(s(4))), [Change::Begins]);
    assert_eq!(changes(board.progress(Work::Connect, "", s(5))), [Change::Ends]);
}

#[test]
fn board_does_not_log_each_return_of_a_condition() {
    let mut board = Board::default();
    let mut said = 0;
    for half in 0..200 {
        let now = Timestamp::from_millis(half * 500);
        let changed = match half % 2 {
            0 => board.report(Work::Connect, "", denied(), now),
            _ => board.progress(Work::Connect, "", now),
        };
        said += usize::from(changed.is_some()) + board.due(now).len();
    }
    assert!((10..=32).contains(&said), "{said} lines in 100 s");
}

proptest! {
    /// For any reports, a condition holds exactly from a report to the next progress, and none holds for more than
    /// ten seconds without a log entry.
    #[test]
    fn board_holds_the_last_report_and_is_never_silent(
        steps in prop::collection::vec((0..4_i64, 0..3_usize, any::<bool>(), any::<bool>()), 0..80)
    ) {
        let (mut board, mut now) = (Board::default(), 0);
        let mut held: [Option<i64>; 3] = [None; 3];
        for (pause, on, is_report, lasts) in steps {
            for _ in 0..pause {
                now += 1;
                for said in board.due(s(now)) {
                    held[said.condition.on.parse::<usize>().unwrap()] = Some(now);
                }
                for said_at in held.into_iter().flatten() {
                    prop_assert!(now - said_at <= 10, "silent from {} to {}", said_at, now);
                }
            }
            let (name, cause) = (on.to_string(), if lasts { denied() } else { away() });
            match is_report {
                true => {
                    let said = board.report(Work::Read, &name, cause, s(now));
                    held[on] = if said.is_some() { Some(now) } else { held[on].or(Some(now)) };
                }
                false => {
                    let _said = board.progress(Work::Read, &name, s(now));
                    held[on] = None;
                }
            }
            let names: Vec<String> = board.held(s(now)).into_iter().map(|condition| condition.on).collect();
            for (on, is_held) in held.iter().enumerate() {
                prop_assert_eq!(names.contains(&on.to_string()), is_held.is_some());
            }
        }
    }
}
