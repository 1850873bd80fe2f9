//! Tracks: an identity for each detection that stays from bundle to bundle of a stream. A detection continues the track whose
//! last box it overlaps most.
//!
//! The matching is greedy: the pair with the greatest intersection over union (IoU) goes first. An optimal assignment would
//! take a detection from the track that it covers best if that lets two other boxes match. So a detection far away could change
//! who is who. It would also cost the cube of the number of boxes.

use std::time::Duration;

use crate::infer::box_overlap::overlap;
use crate::time::Timestamp;

/// The most tracks of one view in one stream, and the most detections of a bundle that get one.
pub const MOST_TRACKS: usize = 1000;

/// The conditions on which a detection continues a track.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrackRule {
    /// The least intersection over union with the track's last box. Boxes that do not overlap never match.
    pub min_iou: f32,
    /// The longest distance in event time to the track's last box. Older tracks end.
    pub max_age: Duration,
}

impl Default for TrackRule {
    fn default() -> Self {
        Self { min_iou: 0.3, max_age: Duration::from_secs(1) }
    }
}

/// The box of a detection.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrackedBox {
    /// x1, y1, x2, y2
    pub corners: [f64; 4],
    /// A detection continues only tracks of its own class.
    pub class: Option<i64>,
}

/// The tracks of the detections that one view of a result shows, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownTracks {
    /// The step.
    pub step: usize,
    /// The view of the step.
    pub view: usize,
    /// A detection without a sound box has none.
    pub ids: Vec<Option<u64>>,
}

/// The tracks of one view in one stream.
#[derive(Debug, Default)]
pub struct Tracker {
    /// The track whose last box is the oldest comes first.
    tracks: Vec<LiveTrack>,
    last_id: u64,
}

#[derive(Clone, Copy, Debug)]
struct LiveTrack {
    id: u64,
    last: TrackedBox,
    seen: Timestamp,
}

/// A track and a detection of the same class that overlap enough.
struct Pair {
    iou: f64,
    id: u64,
    track: usize,
    detection: usize,
}

impl Tracker {
    /// Gives the detections of the stream's next bundle their tracks, in the order of the detections. A new track has the next
    /// number from 1. A box without an area or with a coordinate that is no finite number gets no track, nor do
    /// detections after the first [`MOST_TRACKS`].
    pub fn advance(
        &mut self,
        rule: &TrackRule,
        event_time: Timestamp,
        detections: &[Option<TrackedBox>],
    ) -> Vec<Option<u64>> {
        // A stream's clock may step back.
        let apart = |seen: Timestamp| event_time.since(seen).max(seen.since(event_time));
        self.tracks.retain(|track| apart(track.seen) <= rule.max_age);
        let mut ids = vec![None; detections.len()];
        let mut is_continued = vec![false; self.tracks.len()];
        for pair in self.pairs(rule, detections) {
            if let (Some(continued @ false), Some(id @ None)) =
                (is_continued.get_mut(pair.track), ids.get_mut(pair.detection))
            {
                (*continued, *id) = (true, Some(pair.id));
            }
        }
        let mut continued = is_continued.into_iter();
        self.tracks.retain(|_| !continued.next().unwrap_or(false));
        for (place, detection) in trackable(detections) {
            let Some(id) = ids.get_mut(place) else { continue };
            let id = *id.get_or_insert_with(|| {
                self.last_id += 1;
                self.last_id
            });
            self.tracks.push(LiveTrack { id, last: *detection, seen: event_time });
        }
        self.tracks.drain(..self.tracks.len().saturating_sub(MOST_TRACKS));
        ids
    }

    /// The number of tracks that a detection may continue.
    pub fn len(&self) -> usize {
        self.tracks.len()
    }

    /// True without such tracks.
    pub fn is_empty(&self) -> bool {
        self.tracks.is_empty()
    }

    /// The pairs that may match, the best first. Among equals the older track comes first, then the earlier detection.
    fn pairs(&self, rule: &TrackRule, detections: &[Option<TrackedBox>]) -> Vec<Pair> {
        let least = f64::from(rule.min_iou);
        let mut pairs = Vec::new();
        for (place, detection) in trackable(detections) {
            for (track, LiveTrack { id, last, .. }) in self.tracks.iter().enumerate() {
                if last.class != detection.class {
                    continue;
                }
                let iou = overlap(&last.corners, &detection.corners);
                if iou > 0.0 && iou >= least {
                    pairs.push(Pair { iou, id: *id, track, detection: place });
                }
            }
        }
        pairs.sort_unstable_by(|a, b| {
            b.iou.total_cmp(&a.iou).then(a.id.cmp(&b.id)).then(a.detection.cmp(&b.detection))
        });
        pairs
    }
}

/// The detections that get a track, with their places.
fn trackable(detections: &[Option<TrackedBox>]) -> impl Iterator<Item = (usize, &TrackedBox)> {
    let found =
        detections.iter().enumerate().filter_map(|(place, detection)| Some((place, detection.as_ref()?)));
    // A box overlaps itself unless it has no area or no finite coordinates.
    found.filter(|(_, detection)| overlap(&detection.corners, &detection.corners) > 0.0).take(MOST_TRACKS)
}

#[cfg(test)]
#[path = "tracks_tests.rs"]
mod tests;
