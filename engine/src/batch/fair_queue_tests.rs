use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    stream: StreamKey,
    number: usize,
}

impl Batchable for Row {
    fn stream(&self) -> &StreamKey {
        &self.stream
    }

    fn event_time(&self) -> Timestamp {
        Timestamp::from_millis(self.number as i64)
    }
}

#[derive(Clone, Copy, Debug)]
enum Act {
    /// A bundle of a stream with so many rows.
    Push(u8, usize),
    /// A batch of up to so many rows.
    Take(usize),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let push = (0u8..6, prop_oneof![4 => 1usize..4, 1 => 20usize..60]);
    let act = prop_oneof![
        push.prop_map(|(stream, rows)| Act::Push(stream, rows)),
        (1usize..12).prop_map(Act::Take),
    ];
    prop::collection::vec(act, 1..60)
}

proptest! {
    /// The oracle keeps all rows in a list. It knows no turns: it counts the rows of each other stream that overtake a row.
    #[test]
    fn fair_queue_loses_nothing_and_bounds_the_wait(acts in acts(), share in 1usize..6) {
        let mut queue = FairQueue::new();
        let (mut waiting, mut taken, mut pushed): (Vec<Row>, Vec<Row>, usize) = Default::default();
        // For each row: the rows taken before it came, and those of its own stream ahead of it.
        let mut came: BTreeMap<usize, (usize, usize)> = BTreeMap::new();
        let all = acts.into_iter().chain(std::iter::repeat_n(Act::Take(7), 600));
        for act in all {
            match act {
                Act::Push(stream, rows) => {
                    for _ in 0..rows {
                        let row = Row { stream: StreamKey::from(format!("s{stream}").as_str()), number: pushed };
                        let ahead = waiting.iter().filter(|other| other.stream == row.stream).count();
                        came.insert(pushed, (taken.len(), ahead));
                        queue.push(Timestamp::from_millis(1000 + pushed as i64), row.clone());
                        waiting.push(row);
                        pushed += 1;
                    }
                }
                Act::Take(size) => {
                    let batch = queue.take(size, share);
                    prop_assert_eq!(batch.len(), size.min(waiting.len()), "no place of a batch stays empty");
                    for row in batch {
                        let first = waiting.iter().position(|other| other.stream == row.stream);
                        let first = first.map(|place| waiting.remove(place));
                        prop_assert_eq!(first.as_ref(), Some(&row), "rows of a stream keep their order, none comes twice");
                        taken.push(row);
                    }
                }
            }
            prop_assert_eq!(queue.len(), waiting.len());
            let oldest = waiting.first().map(|row| row.number as i64);
            let found = queue.oldest().map(|(since, event_time)| (since.as_millis() - 1000, event_time.as_millis()));
            prop_assert_eq!(found, oldest.map(|number| (number, number)));
        }
        prop_assert!(waiting.is_empty(), "none is lost");
        for (place, row) in taken.iter().enumerate() {
            let (since, ahead) = came[&row.number];
            // Its stream may be in the middle of a turn.
            let turns = (ahead + 1).div_ceil(share) + 1;
            let others: BTreeSet<&StreamKey> = taken[since..place].iter().map(|row| &row.stream).collect();
            for other in others.into_iter().filter(|other| **other != row.stream) {
                let overtook = taken[since..place].iter().filter(|row| row.stream == *other).count();
                prop_assert!(overtook <= turns * share, "{} rows of {:?} before {:?}", overtook, other, row);
            }
        }
    }

    #[test]
    fn drained_rows_come_in_the_order_of_arrival(acts in acts()) {
        let (mut queue, mut pushed, mut taken) = (FairQueue::new(), 0, BTreeSet::new());
        for act in acts {
            match act {
                Act::Push(stream, rows) => {
                    for _ in 0..rows {
                        let row = Row { stream: StreamKey::from(format!("s{stream}").as_str()), number: pushed };
                        queue.push(Timestamp::from_millis(pushed as i64), row);
                        pushed += 1;
                    }
                }
                Act::Take(size) => taken.extend(queue.take(size, 2).into_iter().map(|row| row.number)),
            }
        }
        let drained: Vec<(i64, usize)> =
            queue.drain().into_iter().map(|(since, row)| (since.as_millis(), row.number)).collect();
        let expected: Vec<(i64, usize)> =
            (0..pushed).filter(|number| !taken.contains(number)).map(|number| (number as i64, number)).collect();
        prop_assert_eq!(drained, expected);
        prop_assert_eq!((queue.len(), queue.oldest()), (0, None));
    }
}

#[test]
fn stream_with_one_row_waits_for_one_turn_of_each_other() {
    let row = |stream: &str, number| Row { stream: StreamKey::from(stream), number };
    let mut queue = FairQueue::new();
    for number in 0..500 {
        queue.push(Timestamp::from_millis(0), row("crowd", number));
    }
    assert!(
        queue.take(8, 2).iter().all(|row| row.stream.as_str() == "crowd"),
        "alone it has the whole batch"
    );
    queue.push(Timestamp::from_millis(1), row("alone", 500));
    let batch = queue.take(8, 2);
    assert_eq!(batch.iter().position(|row| row.stream.as_str() == "alone"), Some(2));
}
