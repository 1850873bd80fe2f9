use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn at(ms: i64) -> Timestamp {
    Timestamp::from_millis(ms)
}

fn found(corners: [f64; 4], class: Option<i64>) -> Option<TrackedBox> {
    Some(TrackedBox { corners, class })
}

fn square(x: f64) -> Option<TrackedBox> {
    found([x, 0.0, x + 10.0, 10.0], None)
}

/// `tests/golden/postprocess/make_tracks.py` makes the file.
#[test]
fn tracks_agree_with_the_reference() {
    let cases: Vec<Value> =
        serde_json::from_str(include_str!("../../../tests/golden/postprocess/tracks.json")).expect("JSON");
    assert!(cases.len() >= 20, "{} cases", cases.len());
    for case in cases {
        let rule = TrackRule {
            min_iou: case["min_iou"].as_f64().expect("a number") as f32,
            max_age: Duration::from_nanos(case["max_age_ns"].as_u64().expect("a span")),
        };
        let mut tracker = Tracker::default();
        for (place, bundle) in case["bundles"].as_array().expect("bundles").iter().enumerate() {
            let detection = |one: &Value| {
                let corner = |index: usize| one["box"][index].as_f64().unwrap_or(f64::NAN);
                found([0, 1, 2, 3].map(corner), one["class"].as_i64())
            };
            let detections: Vec<_> =
                bundle["detections"].as_array().expect("detections").iter().map(detection).collect();
            let time = Timestamp::from_nanos(bundle["event_time_ns"].as_i64().expect("a time"));
            let ids = tracker.advance(&rule, time, &detections);
            let expected: Vec<Option<u64>> =
                bundle["tracks"].as_array().expect("tracks").iter().map(Value::as_u64).collect();
            assert_eq!(ids, expected, "{} bundle {place}", case["name"]);
        }
    }
}

#[test]
fn track_ends_after_its_age_and_its_number_stays_used() {
    let mut tracker = Tracker::default();
    let rule = TrackRule::default();
    assert_eq!(tracker.advance(&rule, at(0), &[square(0.0)]), [Some(1)]);
    assert_eq!(tracker.advance(&rule, at(500), &[]), []);
    assert_eq!(tracker.advance(&rule, at(1000), &[square(1.0)]), [Some(1)]);
    assert_eq!(tracker.advance(&rule, at(2001), &[square(1.0)]), [Some(2)]);
    // The clock stepped back by more than the age.
    assert_eq!(tracker.advance(&rule, at(0), &[square(1.0)]), [Some(3)]);
}

#[test]
fn box_without_area_gets_no_track() {
    let mut tracker = Tracker::default();
    let unsound = [
        None,
        found([0.0, 0.0, 0.0, 5.0], None),
        found([5.0, 0.0, 0.0, 5.0], None),
        found([0.0, 0.0, f64::NAN, 5.0], None),
        found([f64::NEG_INFINITY, 0.0, f64::INFINITY, 5.0], None),
        square(0.0),
    ];
    let ids = tracker.advance(&TrackRule::default(), at(0), &unsound);
    assert_eq!(ids, [None, None, None, None, None, Some(1)]);
}

#[test]
fn tracker_keeps_the_latest_tracks_within_its_bound() {
    let mut tracker = Tracker::default();
    let rule = TrackRule::default();
    let many: Vec<_> = (0..MOST_TRACKS + 2).map(|place| square(place as f64 * 20.0)).collect();
    let ids = tracker.advance(&rule, at(0), &many);
    assert_eq!(ids[MOST_TRACKS - 1..], [Some(MOST_TRACKS as u64), None, None]);
    // A new object takes the place of the track that was not seen for the longest time.
    let new = Some(MOST_TRACKS as u64 + 1);
    assert_eq!(tracker.advance(&rule, at(1), &[many[0], square(-100.0)]), [Some(1), new]);
    assert_eq!(tracker.len(), MOST_TRACKS);
    assert_eq!(
        tracker.advance(&rule, at(2), &[many[0], many[1], many[2]]),
        [Some(1), Some(MOST_TRACKS as u64 + 2), Some(3)]
    );
}

/// The oracle looks through all pairs for the best one, takes it, and begins again.
#[derive(Default)]
struct Oracle {
    /// The number, box and event time of every track ever.
    all: Vec<(u64, TrackedBox, i64)>,
}

impl Oracle {
    fn advance(&mut self, min_iou: f32, max_age: i64, time: i64, boxes: &[TrackedBox]) -> Vec<Option<u64>> {
        let mut ids: Vec<Option<u64>> = vec![None; boxes.len()];
        let area = |b: &[f64; 4]| (b[2] - b[0]).max(0.0) * (b[3] - b[1]).max(0.0);
        loop {
            let mut best: Option<(f64, usize, usize)> = None;
            for (track, (id, last, seen)) in self.all.iter().enumerate() {
                for (place, one) in boxes.iter().enumerate() {
                    let (a, b) = (last.corners, one.corners);
                    let shared = area(&[a[0].max(b[0]), a[1].max(b[1]), a[2].min(b[2]), a[3].min(b[3])]);
                    let iou = shared / (area(&a) + area(&b) - shared);
                    let is_free = ids[place].is_none() && !ids.contains(&Some(*id));
                    let fits = last.class == one.class && (time - seen).abs() <= max_age;
                    if is_free
                        && fits
                        && iou > 0.0
                        && iou >= f64::from(min_iou)
                        && best.is_none_or(|(most, ..)| iou > most)
                    {
                        best = Some((iou, track, place));
                    }
                }
            }
            let Some((_, track, place)) = best else { break };
            ids[place] = Some(self.all[track].0);
        }
        for (place, one) in boxes.iter().enumerate() {
            match ids[place] {
                Some(id) => self.all[id as usize - 1] = (id, *one, time),
                None => {
                    let id = self.all.len() as u64 + 1;
                    ids[place] = Some(id);
                    self.all.push((id, *one, time));
                }
            }
        }
        // A track that has ended does not come back when the clock steps back.
        for track in &mut self.all {
            if (time - track.2).abs() > max_age {
                track.2 = i64::MIN / 2;
            }
        }
        ids
    }
}

fn boxes() -> impl Strategy<Value = Vec<TrackedBox>> {
    let one = (0..12_i32, 0..6_i32, 1..8_i32, 1..8_i32, 0..3_i64).prop_map(|(x, y, width, height, class)| {
        let corners = [x, y, x + width, y + height].map(f64::from);
        TrackedBox { corners, class: (class > 0).then_some(class) }
    });
    prop::collection::vec(one, 0..6)
}

proptest! {
    #[test]
    fn tracks_agree_with_the_oracle(
        bundles in prop::collection::vec((-3..20_i64, boxes()), 1..12),
        min_iou in prop::sample::select(vec![0.0_f32, 0.1, 0.3, 0.5, 1.0]),
        max_age in 0..30_i64,
    ) {
        let rule = TrackRule { min_iou, max_age: Duration::from_millis(max_age.unsigned_abs()) };
        let (mut tracker, mut oracle, mut time) = (Tracker::default(), Oracle::default(), 0);
        for (later, boxes) in bundles {
            time += later;
            let detections: Vec<_> = boxes.iter().copied().map(Some).collect();
            let ids = tracker.advance(&rule, at(time), &detections);
            prop_assert_eq!(&ids, &oracle.advance(min_iou, max_age, time, &boxes));
            let mut distinct: Vec<_> = ids.iter().flatten().collect();
            distinct.sort_unstable();
            distinct.dedup();
            prop_assert_eq!(distinct.len(), ids.len());
        }
    }
}
