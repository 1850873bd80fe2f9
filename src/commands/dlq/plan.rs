//! The plan of a replay: the dead letters to replay, looked up and checked before any record is produced.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;

use lockstep_engine::position::{NextOffset, Offset};
use lockstep_engine::publish::side_output::note::ReplayNote;
use lockstep_engine::publish::side_output::replay::DeadLetterHeaders;
use lockstep_kafka::replay_offsets;
use lockstep_kafka::topic_snapshot::TopicSnapshot;

use super::filter::{DeadLetterFilter, Place};
use super::topic::{place, read_all};
use crate::commands::Failure;

/// The longest note in characters: the default of the brokers' `offset.metadata.max.bytes`.
const LIMIT: usize = 4096;

/// The choice of dead letters.
pub(super) struct ReplaySelection<'a> {
    pub(super) filter: &'a DeadLetterFilter,
    /// The only places to replay, unless empty.
    pub(super) places: &'a BTreeSet<Place>,
    /// Replays dead letters that have been replayed before, too.
    pub(super) again: bool,
}

/// A dead letter to replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chosen {
    pub(super) reason: String,
    pub(super) topic: String,
}

/// The dead letters to replay, and the reasons for the others.
#[derive(Default)]
pub(super) struct ReplayPlan {
    /// The dead letters that remain to be replayed.
    pub(super) chosen: BTreeMap<Place, Chosen>,
    /// Chosen dead letters that cannot be replayed, with the reason.
    pub(super) stay: Vec<(Place, String)>,
    /// The number of chosen dead letters that have been replayed before.
    pub(super) already: u64,
    tracks: BTreeMap<i32, PartitionPlan>,
}

/// The records and the note of one partition of the topic of dead letters.
#[derive(Clone, Default)]
struct PartitionPlan {
    note: ReplayNote,
    /// The offsets of its records, ascending.
    there: Vec<i64>,
    /// True if one of its records is to be replayed.
    touched: bool,
}

impl PartitionPlan {
    /// Marks the record at an offset as replayed, and the gap up to the next record as done.
    fn put_back(&mut self, offset: i64) {
        let after = self.there.partition_point(|there| *there <= offset);
        let following = self.there.get(after).map_or(Offset(offset).next(), |next| NextOffset(*next));
        self.note.put_back(Offset(offset), following);
    }

    fn written(&self) -> Option<replay_offsets::ReplayOffset> {
        self.note.written(Offset(self.there.first().copied().unwrap_or(0)), LIMIT)
    }
}

impl ReplayPlan {
    /// Reads the topic and chooses dead letters. `None` if Ctrl-C cut it short.
    pub(super) fn make(
        whole: &mut TopicSnapshot,
        noted: BTreeMap<i32, ReplayNote>,
        wanted: &ReplaySelection<'_>,
        cancelled: &AtomicBool,
    ) -> Result<Option<Self>, Failure> {
        let mut plan = Self::default();
        for (partition, note) in noted {
            plan.tracks.insert(partition, PartitionPlan { note, ..PartitionPlan::default() });
        }
        let complete = read_all(whole, cancelled, |record| {
            let place = place(&record);
            let track = plan.tracks.entry(place.partition).or_default();
            track.there.push(place.offset);
            if !wanted.places.is_empty() && !wanted.places.contains(&place) {
                return Ok(true);
            }
            match DeadLetterHeaders::read(&record.headers) {
                Ok(letter) if wanted.filter.passes(&letter, &record) => {
                    if !wanted.again && track.note.contains(Offset(place.offset)) {
                        plan.already += 1;
                    } else if let Some(why) = letter.stays() {
                        plan.stay.push((place, why.to_string()));
                    } else {
                        let chosen = Chosen { reason: letter.reason, topic: letter.source_topic };
                        plan.chosen.insert(place, chosen);
                    }
                }
                // A record that is no dead letter passes no filter.
                Err(why) if wanted.filter.is_empty() => plan.stay.push((place, why.to_string())),
                _ => {}
            }
            Ok(true)
        })?;
        let missing: Vec<Place> = wanted.places.iter().copied().filter(|place| !plan.has(*place)).collect();
        let why = "there is no such record; it may have expired";
        plan.stay.extend(missing.into_iter().map(|place| (place, why.to_owned())));
        plan.close_gaps();
        Ok(complete.then_some(plan))
    }

    fn has(&self, place: Place) -> bool {
        let track = self.tracks.get(&place.partition);
        track.is_some_and(|track| track.there.binary_search(&place.offset).is_ok())
    }

    /// Closes the gaps in the notes: between a replayed record and the next one there is none, as later records show.
    fn close_gaps(&mut self) {
        for track in self.tracks.values_mut() {
            for offset in track.there.clone() {
                if track.note.contains(Offset(offset)) {
                    track.put_back(offset);
                }
            }
        }
    }

    /// The topics that the replay produces to.
    pub(super) fn topics(&self) -> BTreeSet<String> {
        self.chosen.values().map(|chosen| chosen.topic.clone()).collect()
    }

    /// Removes the dead letters of a topic that does not exist.
    pub(super) fn without_topic(&mut self, topic: &str) {
        let (stay, chosen) =
            std::mem::take(&mut self.chosen).into_iter().partition(|(_, chosen)| chosen.topic == topic);
        self.chosen = chosen;
        let stay: BTreeMap<Place, Chosen> = stay;
        let why =
            format!("the topic {topic}, where it came from, does not exist; make it, and run this again");
        self.stay.extend(stay.into_keys().map(|place| (place, why.clone())));
    }

    /// Checks that the notes will fit into the metadata of a commit.
    ///
    /// # Errors
    /// If one would be longer than brokers take.
    pub(super) fn check_notes(&mut self) -> Result<(), Failure> {
        let mut after = self.tracks.clone();
        for place in self.chosen.keys() {
            if let Some(track) = after.get_mut(&place.partition) {
                track.put_back(place.offset);
            }
            if let Some(track) = self.tracks.get_mut(&place.partition) {
                track.touched = true;
            }
        }
        let full = after.iter().find(|(partition, track)| {
            self.tracks.get(*partition).is_some_and(|track| track.touched) && track.written().is_none()
        });
        match full {
            None => Ok(()),
            Some((partition, _)) => Err(format!(
                "nothing was put back: the note of which letters were, and which not, would take more than {LIMIT} \
                 characters for partition {partition}, as they lie there in too many stretches; put back more in a \
                 row (fewer filters, --since and --until, or --all), or the oldest first"
            )
            .into()),
        }
    }

    /// Marks a dead letter as replayed.
    pub(super) fn put_back(&mut self, place: Place) {
        if let Some(track) = self.tracks.get_mut(&place.partition) {
            track.put_back(place.offset);
        }
    }

    /// The notes of the partitions with replayed dead letters, and true if any is too long for now.
    pub(super) fn notes(&self) -> (BTreeMap<i32, replay_offsets::ReplayOffset>, bool) {
        let mut too_long = false;
        let mut notes = BTreeMap::new();
        for (partition, track) in self.tracks.iter().filter(|(_, track)| track.touched) {
            match track.written() {
                Some(note) => drop(notes.insert(*partition, note)),
                None => too_long = true,
            }
        }
        (notes, too_long)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(there: impl IntoIterator<Item = i64>, chosen: impl Fn(i64) -> bool) -> ReplayPlan {
        let mut plan = ReplayPlan::default();
        let track = PartitionPlan { there: there.into_iter().collect(), ..PartitionPlan::default() };
        for offset in track.there.iter().copied().filter(|offset| chosen(*offset)) {
            let letter = Chosen { reason: "oversized".into(), topic: "video".into() };
            plan.chosen.insert(Place { partition: 0, offset }, letter);
        }
        plan.tracks.insert(0, track);
        plan
    }

    fn at(offset: i64) -> Place {
        Place { partition: 0, offset }
    }

    #[test]
    fn note_has_no_gap_at_a_transaction_marker() {
        let mut plan = plan([0, 1, 5, 6], |offset| offset < 2);
        plan.check_notes().expect("there is room");
        plan.put_back(at(0));
        plan.put_back(at(1));
        assert_eq!(plan.notes().0[&0].0, NextOffset(5));
        // At the time of the replay, 1 was the last record.
        let mut late = ReplayPlan::default();
        let mut note = ReplayNote::default();
        note.put_back(Offset(0), NextOffset(1));
        note.put_back(Offset(1), NextOffset(2));
        late.tracks.insert(0, PartitionPlan { note, there: vec![0, 1, 5, 6], touched: true });
        late.close_gaps();
        assert_eq!(late.notes().0[&0].0, NextOffset(5));
    }

    #[test]
    fn plan_refuses_a_note_without_room_first() {
        // A choice without a pattern, which compresses badly.
        let by_chance = |offset: i64| {
            let mixed = (offset as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            (mixed ^ (mixed >> 31)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 63 == 1
        };
        let refused = plan(0..60_000, by_chance).check_notes().expect_err("too long").to_string();
        assert!(refused.contains("nothing was put back") && refused.contains("--all"), "{refused}");
        plan(0..60_000, |_| true).check_notes().expect("a single stretch");
    }

    #[test]
    fn plan_keeps_dead_letters_of_a_missing_topic() {
        let mut plan = plan(0..3, |_| true);
        plan.without_topic("audio");
        assert_eq!((plan.chosen.len(), plan.stay.len()), (3, 0));
        plan.without_topic("video");
        assert_eq!((plan.chosen.len(), plan.stay.len()), (0, 3));
    }
}
