use std::collections::BTreeSet;

use proptest::prelude::*;

use super::text::seal;
use super::*;
use crate::position::{NextOffset, Offset};

const NO_LIMIT: usize = usize::MAX;

fn map_of(offsets: impl IntoIterator<Item = i64>) -> CompletionMap {
    let mut map = CompletionMap::default();
    for offset in offsets {
        map.insert(Offset(offset), Offset(offset).next());
    }
    map
}

fn ended(offsets: impl IntoIterator<Item = i64>) -> Progress {
    Progress { ended: map_of(offsets), published: CompletionMap::default() }
}

/// Random progress: offsets after the base from short runs, long ones and single ones, some without a gap. None, some
/// or many of them are published, alternating with ended ones.
fn maps() -> impl Strategy<Value = (i64, Progress)> {
    let gap = prop_oneof![2 => Just(0), 4 => 1_i64..4, 2 => 1_i64..200, 1 => 1_i64..1_000_000_000];
    let len = prop_oneof![4 => 1_i64..4, 2 => 1_i64..200, 1 => 1_i64..1_000_000_000];
    let runs = prop::collection::vec((gap, len, 0_u8..8), 0..400);
    (0_i64..1_000_000_000, runs, prop_oneof![Just(0_u8), 1_u8..8]).prop_map(|(base, runs, share)| {
        let mut progress = Progress::default();
        let mut at = base;
        for (gap, len, which) in runs {
            let set = if which < share { &mut progress.published } else { &mut progress.ended };
            set.insert(Offset(at + gap), NextOffset(at + gap + len));
            at += gap + len;
        }
        (base, progress)
    })
}

fn records(count: i64, has_ended: impl Fn(i64) -> bool) -> Progress {
    ended((0..count).filter(|offset| has_ended(*offset)))
}

/// A pseudo-random choice of ended records.
fn by_chance(offset: i64) -> bool {
    offset.wrapping_mul(0x5851_f42d_4c95_7f2d).count_ones().is_multiple_of(2)
}

fn len_of(map: &Progress) -> usize {
    map.encode(NextOffset(0), NO_LIMIT).expect("it fits").len()
}

#[test]
fn an_empty_map_is_short_and_recognisable() {
    let text = Progress::default().encode(NextOffset(7), NO_LIMIT).expect("it fits");
    assert_eq!(text.len(), 17);
    assert!(text.starts_with("lockstep:"));
    assert_eq!(Progress::decode(NextOffset(7), &text), Ok(Progress::default()));
}

#[test]
fn foreign_metadata_differs_from_broken_metadata() {
    let decode = |text| Progress::decode(NextOffset(0), text);
    assert_eq!(decode(""), Ok(Progress::default()));
    assert_eq!(decode("eyJwYXJhbGxlbCI6MX0="), Err(MapError::Foreign));
    assert_eq!(decode("Lockstep:AAAA"), Err(MapError::Foreign));
    assert!(matches!(decode("lockstep:"), Err(MapError::Broken(_))));
    assert!(matches!(decode("lockstep:#"), Err(MapError::Broken(_))));
    assert_eq!(decode("lockstep:AgAAAAAA"), Err(MapError::Version(2)));
}

#[test]
fn map_of_another_position_is_refused() {
    let text = ended([5, 6, 9]).encode(NextOffset(3), NO_LIMIT).expect("it fits");
    assert!(Progress::decode(NextOffset(3), &text).is_ok());
    assert!(matches!(Progress::decode(NextOffset(4), &text), Err(MapError::Broken(_))));
}

#[test]
fn map_takes_the_shortest_of_runs_bits_and_deflate() {
    // A million in a row behind one unfinished record: a gap and a length.
    assert!(len_of(&records(1_000_000, |o| o > 0)) < 25);
    // At random: a bit each, so six to a character.
    let random = len_of(&records(12_000, by_chance));
    assert!((2_000..2_040).contains(&random), "{random}");
    // One after the other, they cost the sum of both.
    let both = len_of(&records(1_012_000, |o| (1..1_000_000).contains(&o) || o >= 1_000_000 && by_chance(o)));
    assert!(both < 2_060, "{both}");
    // One published record among ended ones costs a few bytes; many cost at most a fifth of a byte each.
    let mut mixed = records(12_000, by_chance);
    mixed.ended.insert(Offset(11_000), NextOffset(12_001));
    mixed.published.insert(Offset(12_001), NextOffset(12_002));
    assert!(len_of(&mixed) < random + 5);
    let mut mixed = records(9_000, |o| o % 3 > 0 && by_chance(o));
    for offset in (0..9_000).filter(|o| o % 3 == 0 && by_chance(*o)) {
        mixed.published.insert(Offset(offset), Offset(offset).next());
    }
    assert!(len_of(&mixed) < 2_430, "{}", len_of(&mixed));
    // A pattern is deflated.
    let pattern = len_of(&records(12_000, |o| o % 7 == 3));
    assert!(pattern < 200, "{pattern}");
}

#[test]
fn map_that_does_not_fit_is_not_cut() {
    let map = records(12_000, by_chance);
    let len = len_of(&map);
    assert!(map.encode(NextOffset(0), len).is_some());
    assert_eq!(map.encode(NextOffset(0), len - 1), None);
    // A gap of more offsets than a bitmap may have is written as such.
    assert!(len_of(&ended([0, i64::MAX - 1])) < 40);
}

#[test]
fn map_that_inflates_beyond_the_limit_is_refused_early() {
    let bomb = miniz_oxide::deflate::compress_to_vec(&vec![0; 16 * MAX_BODY], 9);
    let refused = Progress::decode(NextOffset(0), &seal(NextOffset(0), 1, &bomb));
    assert!(refused.is_err_and(|error| error.to_string().contains("inflated")));
    let long = format!("lockstep:{}", "A".repeat(MAX_TEXT));
    assert!(Progress::decode(NextOffset(0), &long).is_err_and(|error| error.to_string().contains("longer")));
}

#[test]
fn runs_beyond_the_last_offset_are_refused() {
    let most = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
    let run = [&most[..], &[4]].concat();
    for (base, body) in [
        (1, &run[..]),
        (0, &run[..]),
        (i64::MAX, &[0, 4][..]),
        (i64::MAX, &[0, 5]),
        (i64::MAX - 3, &[0, 6, 0xff]),
        (i64::MAX - 3, &[0, 7, 242]),
    ] {
        let base = NextOffset(base);
        let refused = Progress::decode(base, &seal(base, 0, body));
        assert!(refused.is_err_and(|error| error.to_string().contains("beyond")), "{base:?} {body:?}");
    }
}

#[test]
fn map_leaves_out_records_before_its_position() {
    let progress = |ended: &[i64], published: &[i64]| Progress {
        ended: map_of(ended.iter().copied()),
        published: map_of(published.iter().copied()),
    };
    let text = progress(&[0, 3, 4, 5, 9, 10], &[1, 2, 6]).encode(NextOffset(4), NO_LIMIT).expect("it fits");
    assert_eq!(Progress::decode(NextOffset(4), &text), Ok(progress(&[4, 5, 9, 10], &[6])));
    let text = progress(&[0, 6], &[2, 3, 4, 5, 8]).encode(NextOffset(4), NO_LIMIT).expect("it fits");
    assert_eq!(Progress::decode(NextOffset(4), &text), Ok(progress(&[6], &[4, 5, 8])));
}

proptest! {
    #[test]
    fn runs_are_those_of_a_set(stretches in prop::collection::vec((0_i64..80, 0_i64..9), 0..30)) {
        let mut map = CompletionMap::default();
        let mut set = BTreeSet::new();
        for (from, len) in stretches {
            map.insert(Offset(from), NextOffset(from + len));
            set.extend(from..from + len);
        }
        for offset in -1..100 {
            prop_assert_eq!(map.contains(Offset(offset)), set.contains(&offset));
        }
        prop_assert!(map.runs().iter().all(|run| run.from.0 < run.to.0));
        prop_assert!(map.runs().windows(2).all(|two| two[0].to.0 < two[1].from.0));
    }

    #[test]
    fn a_map_is_read_as_it_was_written((base, map) in maps()) {
        let text = map.encode(NextOffset(base), NO_LIMIT).expect("it fits");
        prop_assert!(text.is_ascii());
        prop_assert_eq!(Progress::decode(NextOffset(base), &text), Ok(map));
    }

    #[test]
    fn ended_records_do_not_count_as_published(
        ended in prop::collection::btree_set(0_i64..60, 0..60),
        published in prop::collection::btree_set(0_i64..60, 0..60),
        base in 0_i64..20,
    ) {
        let progress = Progress { ended: map_of(ended.clone()), published: map_of(published.clone()) };
        let text = progress.encode(NextOffset(base), NO_LIMIT).expect("it fits");
        let left = |set: BTreeSet<i64>| map_of(set.into_iter().filter(|offset| *offset >= base));
        let expected = Progress { published: left(&published - &ended), ended: left(ended) };
        prop_assert_eq!(Progress::decode(NextOffset(base), &text), Ok(expected));
    }

    /// Compares the plan with all encodings of up to six stretches.
    #[test]
    fn plan_is_the_shortest_encoding_up_to_rounding(
        runs in prop::collection::vec(
            (prop_oneof![1_u64..4, 1_u64..40], prop_oneof![1_u64..4, 1_u64..40], any::<bool>()), 1..7),
    ) {
        let mut progress = Progress::default();
        let mut at = 0;
        for (gap, len, published) in &runs {
            let set = if *published { &mut progress.published } else { &mut progress.ended };
            set.insert(Offset(at + *gap as i64), NextOffset(at + (gap + len) as i64));
            at += (gap + len) as i64;
        }
        let planned: usize = progress.segments(NextOffset(0)).iter().map(|segment| segment.bytes).sum();
        let written = body::write(&progress.stretches(NextOffset(0)), 0, MAX_BODY).expect("it fits").len();
        prop_assert!(written <= planned);
        // A digit to the base of five for each stretch: alone, or begin or continue a map of either kind.
        let mut best = u64::MAX;
        'choices: for choice in 0..5_u32.pow(runs.len() as u32) {
            // In fifths of a bit.
            let (mut cost, mut inside) = (0, 0);
            for (i, (gap, len, published)) in runs.iter().enumerate() {
                let how = choice / 5_u32.pow(i as u32) % 5;
                let each = if how % 2 == 1 { 5 } else { 8 };
                match how {
                    1 | 3 if *published => continue 'choices,
                    0 => cost += 40 * (varint_len(*gap) + varint_len(4 * len)),
                    1 | 2 => cost += 40 * varint_len(*gap) + 155 + each * len,
                    _ if inside == 0 || inside % 2 != how % 2 => continue 'choices,
                    _ => cost += each * (gap + len),
                }
                inside = how;
            }
            best = best.min(cost);
        }
        prop_assert!(written as u64 <= best.div_ceil(40), "{written} {best}");
    }

    #[test]
    fn map_within_the_capacity_fits_the_limit(limit in 0_usize..5_000) {
        let body = vec![1; capacity(limit)];
        let text = seal(NextOffset(0), 0, &body);
        prop_assert!(text.len() <= limit || body.is_empty());
    }

    #[test]
    fn a_text_with_a_changed_character_is_refused((base, map) in maps(), at: prop::sample::Index, to: u8) {
        let mut text = map.encode(NextOffset(base), NO_LIMIT).expect("it fits").into_bytes();
        let at = at.index(text.len());
        let same = text[at] == to;
        text[at] = to;
        if let Ok(text) = String::from_utf8(text) {
            prop_assert_eq!(Progress::decode(NextOffset(base), &text).is_ok(), same);
        }
    }

    /// Together with [`decoded_body_can_be_encoded_again`] this replaces the fuzz target where that does not run.
    #[test]
    fn map_decoder_answers_any_text_with_a_map_or_an_error(base: i64, text in ".{0,200}", magic: bool) {
        let text = if magic { format!("lockstep:{text}") } else { text };
        let _ = Progress::decode(NextOffset(base), &text);
    }

    #[test]
    fn decoded_body_can_be_encoded_again(
        base: i64,
        form in 0_u8..3,
        body in prop::collection::vec(prop_oneof![3 => 0_u8..8, 1 => any::<u8>()], 0..200),
    ) {
        let base = NextOffset(base);
        if let Ok(map) = Progress::decode(base, &seal(base, form, &body)) {
            for set in [&map.ended, &map.published] {
                prop_assert!(set.runs().windows(2).all(|two| two[0].to.0 < two[1].from.0));
            }
            prop_assert_eq!(&map.stretches(base).len(), &(map.ended.runs().len() + map.published.runs().len()));
            let again = map.encode(base, NO_LIMIT).expect("it came from a short body");
            prop_assert_eq!(Progress::decode(base, &again), Ok(map));
        }
    }
}
