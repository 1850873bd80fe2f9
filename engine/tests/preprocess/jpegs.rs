//! Tests of JPEGs of all kinds against Pillow, pixel by pixel, and of damaged and refused ones.
//! `tests/golden/preprocess/jpegs.py` makes them.

use lockstep_engine::fault::Reason;
use lockstep_engine::ingest::{OnDamage, PictureCare, UseOrientation};
use lockstep_engine::media::Media;
use lockstep_engine::preprocess::spec::{Filter, ImageSpec, Resize};
use lockstep_engine::preprocess::{Preprocess, Preprocessor, RowInfo, Scratch};
use proptest::prelude::*;

use crate::support::{bytes_of, golden, image, make, make_with, part, sample};

struct Case {
    name: String,
    payload: Vec<u8>,
    outcome: String,
    size: Option<(u32, u32)>,
    sum: u32,
}

fn cases() -> Vec<Case> {
    let blob = miniz_oxide::inflate::decompress_to_vec_zlib(&golden("jpegs.z")).expect("zlib");
    let index = String::from_utf8(golden("jpegs.tsv")).expect("text");
    let mut at = 0;
    let cases: Vec<Case> = index
        .lines()
        .map(|line| {
            let [name, length, outcome, width, height, sum] = line.split('\t').collect::<Vec<_>>()[..] else {
                panic!("{line:?} has other columns");
            };
            let from = at;
            at += length.parse::<usize>().expect("a length");
            Case {
                name: name.to_owned(),
                payload: blob[from..at].to_vec(),
                outcome: outcome.to_owned(),
                size: width.parse().ok().zip(height.parse().ok()),
                sum: u32::from_str_radix(sum, 16).unwrap_or(0),
            }
        })
        .collect();
    assert_eq!(at, blob.len());
    cases
}

fn case(name: &str) -> Case {
    cases().into_iter().find(|case| case.name == name).expect("a case of that name")
}

fn spec(size: (u32, u32), resize: Resize, care: PictureCare) -> Preprocess {
    Preprocess::Image(ImageSpec { care, ..image(size.0, size.1, resize) })
}

/// The pixels of a payload without resizing, and the flag of damage.
fn pixels(payload: &[u8], size: (u32, u32), damaged: OnDamage) -> Result<(Vec<u8>, bool), (Reason, String)> {
    let care = PictureCare { damaged, ..PictureCare::default() };
    let sample = sample(Media::Jpeg, payload.to_vec(), 0);
    let made = make(&spec(size, Resize::Exact, care), &part(vec![sample.clone()]));
    let (row, _) = made.map_err(|error| (error.fault.reason, error.fault.message))?;
    Ok((bytes_of(row), sample.damage.is_found()))
}

#[test]
fn intact_jpegs_agree_with_pillow() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for case in cases().into_iter().filter(|case| case.outcome == "ok") {
        count += 1;
        match pixels(&case.payload, case.size.expect("a size"), OnDamage::Refuse) {
            Ok((row, false)) if crc32fast::hash(&row) == case.sum => {}
            Ok((_, damaged)) => wrong.push(format!("{}: other pixels, damaged: {damaged}", case.name)),
            Err((_, message)) => wrong.push(format!("{}: {message}", case.name)),
        }
    }
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count > 290, "{count}");
}

/// The pixels do not depend on the files that the same thread has decoded before. libjpeg keeps tables from one file
/// to the next.
#[test]
fn jpeg_decodes_the_same_after_any_other() {
    let cases = cases();
    let settings = spec((24, 24), Resize::Stretch(Filter::Nearest), PictureCare::default());
    let preprocessor = Preprocessor::new(&settings).expect("settings");
    let made = |case: &Case, scratch: &mut Scratch| {
        let input = part(vec![sample(Media::Jpeg, case.payload.clone(), 0)]);
        make_with(&preprocessor, &input, scratch).map(|(row, _)| row).map_err(|error| error.fault.message)
    };
    let is_bare = |case: &&Case| case.name.contains("without-") || case.name.starts_with("mjpeg");
    for bare in cases.iter().filter(is_bare) {
        let alone = made(bare, &mut Scratch::default());
        for before in cases.iter().step_by(5) {
            let mut scratch = Scratch::default();
            let _any = made(before, &mut scratch);
            assert_eq!(made(bare, &mut scratch), alone, "{} after {}", bare.name, before.name);
        }
    }
}

#[test]
fn damaged_jpeg_is_refused_as_damaged() {
    let mut wrong = Vec::new();
    for case in cases().into_iter().filter(|case| case.outcome == "damaged") {
        match pixels(&case.payload, case.size.expect("a size"), OnDamage::Refuse) {
            Ok(_) => wrong.push(format!("{}: accepted", case.name)),
            Err((reason, message)) => {
                assert_eq!(reason, Reason::Undecodable, "{}: {message}", case.name);
                if !message.starts_with("the JPEG is damaged: ") {
                    wrong.push(format!("{}: {message}", case.name));
                }
                let cut = case.name.starts_with("cut") || case.name.starts_with("without-end");
                assert!(cut || !message.contains("was cut"), "{}: {message}", case.name);
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn damaged_jpeg_is_marked_where_damage_is_accepted() {
    for case in cases().into_iter().filter(|case| case.outcome == "damaged") {
        match pixels(&case.payload, case.size.expect("a size"), OnDamage::Accept) {
            Ok((_, damaged)) => assert!(damaged, "{}", case.name),
            // Its colours are unknown.
            Err((_, message)) => assert_eq!(case.name, "adobe-unknown", "{message}"),
        }
    }
    // The pixels of half a file are its upper half.
    let whole = pixels(&case("without-end-baseline-444").payload, (48, 48), OnDamage::Accept).expect("whole");
    let half =
        pixels(&case("cut-baseline-444-0.5-with-end").payload, (48, 48), OnDamage::Accept).expect("half");
    assert_eq!(whole.0[..48 * 3 * 16], half.0[..48 * 3 * 16]);
    assert_ne!(whole.0, half.0);
}

#[test]
fn intact_jpeg_is_not_marked_where_damage_is_accepted() {
    for case in cases().into_iter().filter(|case| case.outcome == "ok") {
        let (row, damaged) =
            pixels(&case.payload, case.size.expect("a size"), OnDamage::Accept).expect(&case.name);
        assert_eq!((crc32fast::hash(&row), damaged), (case.sum, false), "{}", case.name);
    }
}

#[test]
fn unsupported_jpeg_is_refused_with_its_reason() {
    for (name, expected) in [
        ("bits-12", "its samples have 12 bits; send samples of 8"),
        (
            "lossless",
            "it is a lossless JPEG (SOF3), which is not supported; send a baseline or progressive one",
        ),
        ("height-0", "its frame header leaves the height to a later segment (DNL), which is not supported"),
        ("two-frames", "it has two frame headers"),
        ("unknown-marker", "begins with the marker 0xff42, which no decoder supports"),
        ("without-quantization", "libjpeg says \"Quantization table 0x00 was not defined\""),
        ("headers-only", "within its headers: it was cut"),
        ("no-scan", "it has no scan, and so no pixels"),
        ("two-images-nested", "before any pixel of the first"),
        ("mjpeg-two-fields", "two fields of an interlaced Motion JPEG"),
    ] {
        for damaged in [OnDamage::Refuse, OnDamage::Accept] {
            let (reason, message) = pixels(&case(name).payload, (37, 29), damaged).expect_err(name);
            assert_eq!(reason, Reason::Undecodable);
            assert!(
                message.starts_with("the JPEG cannot be decoded: ") && message.contains(expected),
                "{name}: {message}"
            );
        }
    }
    assert_eq!(cases().iter().filter(|case| case.outcome == "refused").count(), 10);
}

#[test]
fn jpeg_with_very_many_scans_is_too_large() {
    let case = case("progressive-1x1");
    let (size, plain) = (case.size.expect("a size"), case.payload);
    let scan = plain.windows(2).rposition(|two| two == [0xff, 0xda]).expect("a scan");
    let end = plain.len() - 2;
    let many = [&plain[..end], &plain[scan..end].repeat(100), &plain[end..]].concat();
    let (reason, message) = pixels(&many, size, OnDamage::Accept).expect_err("a bomb");
    assert_eq!(reason, Reason::DecodedTooLarge, "{message}");
}

#[test]
fn jpeg_orientation_is_ignored_if_configured() {
    let care = PictureCare { orientation: UseOrientation::Ignore, ..PictureCare::default() };
    let input = |name: &str| part(vec![sample(Media::Jpeg, case(name).payload, 0)]);
    let upright = make(&spec((37, 29), Resize::Exact, care), &input("exif-1-little")).expect("as stored");
    for orientation in 0..=8 {
        let name = format!("exif-{orientation}-big");
        let made = make(&spec((37, 29), Resize::Exact, care), &input(&name)).expect("as stored");
        assert_eq!(made, upright);
    }
    let error = make(&spec((37, 29), Resize::Exact, PictureCare::default()), &input("exif-6-big"));
    let message = error.expect_err("it lies on its side").fault.message;
    assert!(message.contains("29 x 37"), "{message}");
}

/// Coordinates of a model are converted to pixels of the upright picture.
#[test]
fn placement_refers_to_the_upright_picture() {
    let input = part(vec![sample(Media::Jpeg, case("exif-6-big").payload, 0)]);
    let (_, info) = make(&spec((58, 74), Resize::Stretch(Filter::Bilinear), PictureCare::default()), &input)
        .expect("a picture");
    let RowInfo::Image(placement) = info else { panic!("not a picture: {info:?}") };
    assert_eq!((placement.source_width, placement.source_height), (29, 37));
    assert_eq!(placement.to_source(58.0, 74.0), (29.0, 37.0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    /// After any change, a file is decoded or refused, within the predicted memory.
    #[test]
    fn garbled_jpegs_never_panic(
        place in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        cut in prop::option::of(any::<prop::sample::Index>()),
        twice in any::<bool>(),
        accept in any::<bool>(),
    ) {
        thread_local!(static CASES: Vec<Case> = cases());
        let mut payload = CASES.with(|cases| place.get(cases).payload.clone());
        for (at, byte) in changes {
            let at = at.index(payload.len());
            payload[at] = byte;
        }
        if let Some(cut) = cut {
            payload.truncate(cut.index(payload.len()));
        }
        if twice {
            payload.extend(payload.clone());
        }
        let care = PictureCare {
            damaged: if accept { OnDamage::Accept } else { OnDamage::Refuse },
            ..PictureCare::default()
        };
        let settings = spec((24, 24), Resize::Stretch(Filter::Nearest), care);
        let found = sample(Media::Jpeg, payload, 0);
        let made = make(&settings, &part(vec![found.clone()]));
        prop_assert!(accept || !found.damage.is_found());
        if let Err(error) = made {
            prop_assert!(matches!(error.fault.reason, Reason::Undecodable | Reason::DecodedTooLarge));
        }
    }
}

/// Changed bits that leave the structure intact cannot be detected. By chance, a lost or garbled stretch can be as
/// long as the data that it replaces. In files as small as these, with only some blocks, that happens now and then.
#[test]
fn garbled_stretches_of_a_jpeg_are_detected() {
    type Garble = fn(&mut Vec<u8>, usize);
    let kinds: [(&str, f64, Garble); 3] = [
        ("zeroed", 0.99, |payload, at| payload[at..at + 100].fill(0)),
        ("lost", 0.93, |payload, at| drop(payload.drain(at..at + 64))),
        ("reversed", 0.93, |payload, at| payload[at..at + 100].reverse()),
    ];
    for (kind, least, garble) in kinds {
        let (mut seen, mut unseen) = (0, 0);
        for case in cases().into_iter().filter(|case| case.outcome == "ok" && case.payload.len() > 700) {
            let size = case.size.expect("a size");
            let scan = case.payload.windows(2).position(|two| two == [0xff, 0xda]).expect("a scan") + 14;
            for at in (scan..case.payload.len().saturating_sub(102)).step_by(17) {
                let mut payload = case.payload.clone();
                garble(&mut payload, at);
                match pixels(&payload, size, OnDamage::Refuse) {
                    Err(_) => seen += 1,
                    Ok((row, _)) if crc32fast::hash(&row) == case.sum => {}
                    Ok(_) => unseen += 1,
                }
            }
        }
        let share = f64::from(seen) / f64::from(seen + unseen);
        println!("{kind}: {seen} seen, {unseen} not, {share}");
        assert!(share > least, "{kind}: {seen} seen, {unseen} not");
    }
}
