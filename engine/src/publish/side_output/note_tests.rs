use std::collections::BTreeSet;

use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

use super::*;

const LIMIT: usize = 4096;

#[test]
fn note_of_all_dead_letters_is_the_offset_alone() {
    let mut note = ReplayNote::default();
    // 0, 1, 4 and 9 are no records.
    for (letter, following) in [(2, 3), (3, 5), (5, 9), (8, 10)] {
        note.put_back(Offset(letter), NextOffset(following));
    }
    let (next, text) = note.written(Offset(2), LIMIT).unwrap();
    assert_eq!(next, NextOffset(10));
    assert_eq!(text, Progress::default().encode(next, LIMIT).unwrap());
}

#[test]
fn remaining_dead_letter_holds_back_only_the_offset() {
    let mut note = ReplayNote::default();
    note.put_back(Offset(0), NextOffset(1));
    note.put_back(Offset(2), NextOffset(3));
    let (next, text) = note.written(Offset(0), LIMIT).unwrap();
    assert_eq!(next, NextOffset(1));
    let read = ReplayNote::read(next, &text).unwrap();
    assert_eq!([0, 1, 2, 3].map(|offset| read.contains(Offset(offset))), [true, false, true, false]);
}

#[test]
fn note_that_does_not_fit_is_not_cut() {
    let mut note = ReplayNote::default();
    let mut state = 1_u64;
    for offset in 1..40_000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        if state >> 63 == 1 {
            note.put_back(Offset(offset), NextOffset(offset + 1));
        }
    }
    assert_eq!(note.written(Offset(0), LIMIT), None);
}

proptest! {
    /// Compared with a set: over any number of runs on a topic whose oldest records expire, the note knows exactly the
    /// dead letters that were put back.
    #[test]
    fn note_survives_any_number_of_runs(
        there in btree_set(0_i64..300, 1..60),
        runs in vec((0.0..1.0_f64, any::<u64>()), 1..5),
    ) {
        let mut there: Vec<i64> = there.into_iter().collect();
        let mut done = BTreeSet::new();
        let mut committed = None::<(NextOffset, String)>;
        for (share, seed) in runs {
            let mut note = match &committed {
                Some((next, text)) => ReplayNote::read(*next, text).unwrap(),
                None => ReplayNote::default(),
            };
            let mut state = seed;
            for (place, letter) in there.iter().enumerate() {
                prop_assert_eq!(note.contains(Offset(*letter)), done.contains(letter));
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                if ((state >> 40) as f64) < share * (1_u64 << 24) as f64 {
                    let following = there.get(place + 1).copied().unwrap_or(letter + 1);
                    note.put_back(Offset(*letter), NextOffset(following));
                    done.insert(*letter);
                }
            }
            committed = note.written(Offset(there[0]), LIMIT);
            prop_assert!(committed.is_some());
            if there.len() > 2 {
                there.remove(0);
            }
        }
    }
}
