//! The tracks of all streams. The publisher gives detections their tracks in the order of each stream's bundles, from the boxes
//! that the result shows.
//!
//! Tracks live in memory only. The numbers begin anew with a process, and with a stream that another process takes over.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;
use serde_json::Value;

use crate::infer::step::Step;
use crate::infer::tracks::{ShownTracks, TrackRule, TrackedBox, Tracker};
use crate::sample::StreamKey;
use crate::time::Timestamp;

/// The most streams with tracks. Beyond that the least recently used one begins anew.
const MOST_STREAMS: usize = 100_000;

/// The most tracks of all streams together, about 80 MB.
const MOST_TRACKS: usize = 1_000_000;

/// The tracks of all streams of a pipeline.
#[derive(Debug)]
pub struct StreamTracks {
    /// The steps and views with tracks.
    views: Vec<(usize, usize, TrackRule)>,
    streams: FxHashMap<StreamKey, TrackedStream>,
    /// The streams by their last use, the least recently used first.
    by_use: BTreeMap<u64, StreamKey>,
    uses: u64,
    /// The number of tracks of all streams.
    held: usize,
    most_streams: usize,
    most_tracks: usize,
}

#[derive(Debug, Default)]
struct TrackedStream {
    used: u64,
    /// One for each of the views with tracks.
    trackers: Vec<Tracker>,
}

impl TrackedStream {
    fn held(&self) -> usize {
        self.trackers.iter().map(Tracker::len).sum()
    }
}

impl StreamTracks {
    /// No tracks yet, for the views of a pipeline's steps.
    pub fn new(steps: &[Step]) -> Self {
        let mut views = Vec::new();
        for (step, each) in steps.iter().enumerate() {
            let outputs = each.outputs.iter().enumerate();
            views.extend(outputs.filter_map(|(view, output)| Some((step, view, output.view.track()?))));
        }
        Self::bounded(views, MOST_STREAMS, MOST_TRACKS)
    }

    fn bounded(views: Vec<(usize, usize, TrackRule)>, most_streams: usize, most_tracks: usize) -> Self {
        let (streams, by_use) = (FxHashMap::default(), BTreeMap::new());
        Self { views, streams, by_use, uses: 0, held: 0, most_streams, most_tracks }
    }

    /// Forgets the tracks of a stream that begins anew.
    pub fn begin(&mut self, stream: &StreamKey) {
        if let Some(gone) = self.streams.remove(stream) {
            self.by_use.remove(&gone.used);
            self.held -= gone.held();
        }
    }

    /// Gives the detections of a stream's next bundle their tracks. `shown` returns the detections that a view shows, or none if
    /// its step was skipped.
    pub fn assign<'v>(
        &mut self,
        stream: &StreamKey,
        event_time: Timestamp,
        shown: impl Fn(usize, usize) -> Option<&'v [Value]>,
    ) -> Box<[ShownTracks]> {
        if self.views.is_empty() {
            return Box::default();
        }
        let mut entry = self.streams.remove(stream).unwrap_or_default();
        self.by_use.remove(&entry.used);
        self.held -= entry.held();
        entry.trackers.resize_with(self.views.len(), Tracker::default);
        let mut all = Vec::new();
        for ((step, view, rule), tracker) in self.views.iter().zip(&mut entry.trackers) {
            let Some(detections) = shown(*step, *view) else { continue };
            let boxes: Vec<_> = detections.iter().map(shown_box).collect();
            let ids = tracker.advance(rule, event_time, &boxes);
            all.push(ShownTracks { step: *step, view: *view, ids });
        }
        self.held += entry.held();
        self.uses += 1;
        entry.used = self.uses;
        self.by_use.insert(self.uses, stream.clone());
        self.streams.insert(stream.clone(), entry);
        self.evict(stream);
        all.into()
    }

    /// Forgets the least recently used streams beyond the bounds, but not this one.
    fn evict(&mut self, stream: &StreamKey) {
        while self.streams.len() > self.most_streams || self.held > self.most_tracks {
            let Some((_, oldest)) = self.by_use.first_key_value() else { break };
            if oldest == stream {
                break;
            }
            let oldest = oldest.clone();
            self.begin(&oldest);
        }
    }
}

/// The box and class of a detection as a result shows it. A number that JSON cannot express is null, and then there is no box.
fn shown_box(detection: &Value) -> Option<TrackedBox> {
    let corners = detection.get("box")?.as_array()?;
    let [x1, y1, x2, y2] = corners.as_slice() else { return None };
    let corners = [x1.as_f64()?, y1.as_f64()?, x2.as_f64()?, y2.as_f64()?];
    Some(TrackedBox { corners, class: detection.get("class").and_then(Value::as_i64) })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn store(most_streams: usize, most_tracks: usize) -> StreamTracks {
        StreamTracks::bounded(vec![(0, 1, TrackRule::default())], most_streams, most_tracks)
    }

    fn ids(store: &mut StreamTracks, stream: &str, detections: &[Value]) -> Vec<Option<u64>> {
        let shown = |step, view| ((step, view) == (0, 1)).then_some(detections);
        let all = store.assign(&stream.into(), Timestamp::from_millis(0), shown);
        all.first().map(|shown| shown.ids.clone()).unwrap_or_default()
    }

    fn at(x: i32) -> Value {
        json!({"box": [x, 0, x + 10, 10], "score": 0.5})
    }

    #[test]
    fn streams_count_their_tracks_apart() {
        let mut store = store(10, 100);
        assert_eq!(ids(&mut store, "a", &[at(0), at(50)]), [Some(1), Some(2)]);
        assert_eq!(ids(&mut store, "b", &[at(50)]), [Some(1)]);
        assert_eq!(ids(&mut store, "a", &[at(50), at(0)]), [Some(2), Some(1)]);
    }

    #[test]
    fn stream_that_begins_anew_counts_from_one() {
        let mut store = store(10, 100);
        assert_eq!(ids(&mut store, "a", &[at(0), at(50)]), [Some(1), Some(2)]);
        store.begin(&"a".into());
        assert_eq!((store.held, store.by_use.len()), (0, 0));
        assert_eq!(ids(&mut store, "a", &[at(50)]), [Some(1)]);
    }

    #[test]
    fn tracks_need_finite_boxes_and_compare_classes() {
        let mut store = store(10, 100);
        let infinite = json!({"box": [0, 0, null, 10], "score": 0.5});
        let of = |class: i32| json!({"box": [0, 0, 10, 10], "score": 0.5, "class": class});
        assert_eq!(ids(&mut store, "a", &[infinite, of(1), of(2)]), [None, Some(1), Some(2)]);
        assert_eq!(ids(&mut store, "a", &[of(2), of(3)]), [Some(2), Some(3)]);
    }

    #[test]
    fn skipped_step_keeps_its_tracks() {
        let mut store = store(10, 100);
        assert_eq!(ids(&mut store, "a", &[at(0)]), [Some(1)]);
        assert_eq!(*store.assign(&"a".into(), Timestamp::from_millis(500), |_, _| None), []);
        assert_eq!(ids(&mut store, "a", &[at(0)]), [Some(1)]);
    }

    #[test]
    fn least_recently_used_streams_are_forgotten() {
        let mut few = store(2, 100);
        for stream in ["a", "b", "a", "c"] {
            ids(&mut few, stream, &[at(0)]);
        }
        let mut left: Vec<&str> = few.streams.keys().map(StreamKey::as_str).collect();
        left.sort_unstable();
        assert_eq!((left, few.by_use.len(), few.held), (vec!["a", "c"], 2, 2));

        let mut small = store(10, 3);
        ids(&mut small, "a", &[at(0), at(50)]);
        ids(&mut small, "b", &[at(0), at(50)]);
        assert_eq!((small.streams.len(), small.held), (1, 2));
        // A single stream may have more.
        ids(&mut small, "b", &[at(100), at(150), at(200)]);
        assert_eq!((small.streams.len(), small.held), (1, 5));
    }
}
