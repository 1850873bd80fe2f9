//! The check of co-partitioning, from the records themselves.
//!
//! Several processes share the partitions of all inputs by number, so a stream must have the same number in every
//! input. Producers that use different partitioners break that. If the other half of a stream goes to another
//! process, no process sees both. So each input is judged by its own records: if a partitioner does not explain their
//! partitions, the producers do not use it.

use std::fmt;
use std::hash::{BuildHasher, BuildHasherDefault};
use std::time::Duration;

use rustc_hash::FxHasher;

use super::partitioner::Partitioner;
use crate::position::{InputId, PartitionId};
use crate::sample::StreamKey;
use crate::time::Timestamp;

/// The binary logarithm of the number of streams remembered of each input: a sample of them if there are more.
const PLACES_BITS: u32 = 10;
/// The time for which a silent stream is remembered: after it, the settings of its producer may have changed.
const REMEMBERED: Duration = Duration::from_secs(120);
/// The fewest streams by which an input is judged.
const FEWEST: usize = 3;
/// The probability below which it is no coincidence that a partitioner explains all streams.
const CHANCE: f64 = 1e-6;
/// One stream in this number may be in another partition, for example because a person put it there.
const STRAY: usize = 20;

/// The partitions of recent streams, and the partitioners that explain them.
#[derive(Debug)]
pub struct Copartition {
    inputs: Vec<InputObservations>,
}

#[derive(Debug)]
struct InputObservations {
    /// The number of partitions of its topic; none until it is known.
    partitions: Option<i32>,
    /// Streams by their hash: a stream has the same place in every input.
    places: Box<[Option<StreamPartition>]>,
}

#[derive(Clone, Debug)]
struct StreamPartition {
    stream: StreamKey,
    partition: i32,
    at: Timestamp,
}

/// The number of recent streams of an input that each partitioner explains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fit {
    /// The number of streams.
    pub streams: usize,
    /// The number of streams in the partition that each of [`Partitioner::ALL`] would choose.
    pub explained: [usize; Partitioner::ALL.len()],
}

/// Two inputs whose streams are in different partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Both inputs, each with the partitioner that its producers use, if it is a known one.
    pub inputs: [(InputId, Fit, Option<Partitioner>); 2],
    /// A stream with different partition numbers, if one was seen in both inputs.
    pub example: Option<(StreamKey, [i32; 2])>,
}

impl Copartition {
    /// Creates the check for a number of inputs.
    pub fn new(inputs: usize) -> Self {
        let input = || InputObservations { partitions: None, places: vec![None; 1 << PLACES_BITS].into() };
        // One input alone cannot conflict.
        Self { inputs: if inputs > 1 { (0..inputs).map(|_| input()).collect() } else { Vec::new() } }
    }

    /// Sets the number of partitions of each input. If it changes, the streams seen before are forgotten.
    pub fn set_partitions(&mut self, counts: &[i32]) {
        for (input, count) in self.inputs.iter_mut().zip(counts) {
            if input.partitions.replace(*count).is_some_and(|before| before != *count) {
                input.places.fill(None);
            }
        }
    }

    /// Takes note of a record of a stream.
    pub fn observe(&mut self, id: PartitionId, stream: &StreamKey, now: Timestamp) {
        let Some(input) = self.inputs.get_mut(id.input.index()) else { return };
        if input.partitions == Some(1) {
            return;
        }
        let hash = BuildHasherDefault::<FxHasher>::default().hash_one(stream.as_str());
        let place = usize::try_from(hash >> (u64::BITS - PLACES_BITS)).unwrap_or(0);
        let Some(place) = input.places.get_mut(place) else { return };
        match place {
            Some(seen) if seen.stream == *stream && seen.partition == id.partition => seen.at = now,
            // An active stream keeps its place, or streams with the same place would replace each other at each
            // record.
            Some(seen) if seen.stream != *stream && seen.is_recent(now) => {}
            _ => *place = Some(StreamPartition { stream: stream.clone(), partition: id.partition, at: now }),
        }
    }

    /// The fit of each input's streams to the partitioners; empty with one input.
    pub fn fits(&self, now: Timestamp) -> impl Iterator<Item = (InputId, Fit)> {
        let fit = move |(index, input): (usize, &InputObservations)| {
            Some((InputId(u16::try_from(index).ok()?), input.fit(now)))
        };
        self.inputs.iter().enumerate().filter_map(fit)
    }

    /// Two inputs whose streams are in different partitions, if there are any.
    pub fn conflict(&self, now: Timestamp) -> Option<Conflict> {
        let judged: Vec<(InputId, Fit, Option<Partitioner>, &InputObservations)> = self
            .fits(now)
            .zip(&self.inputs)
            .map(|((id, fit), input)| (id, fit, fit.followed(input.partitions.unwrap_or(1)), input))
            .collect();
        for (index, a) in judged.iter().enumerate() {
            for b in judged.iter().skip(index + 1) {
                let breaks =
                    |one: Option<Partitioner>, other: &Fit| one.is_some_and(|rule| other.breaks(rule));
                let example = a.3.differing(b.3, now);
                if breaks(a.2, &b.1) || breaks(b.2, &a.1) || example.is_some() {
                    return Some(Conflict { inputs: [(a.0, a.1, a.2), (b.0, b.1, b.2)], example });
                }
            }
        }
        None
    }
}

impl StreamPartition {
    fn is_recent(&self, now: Timestamp) -> bool {
        now.since(self.at) < REMEMBERED
    }
}

impl InputObservations {
    fn recent(&self, now: Timestamp) -> impl Iterator<Item = &StreamPartition> {
        self.places.iter().flatten().filter(move |seen| seen.is_recent(now))
    }

    fn fit(&self, now: Timestamp) -> Fit {
        let Some(partitions) = self.partitions else { return Fit::default() };
        self.recent(now).fold(Fit::default(), |mut fit, seen| {
            fit.streams += 1;
            for (count, rule) in fit.explained.iter_mut().zip(Partitioner::ALL) {
                let put = rule.partition(seen.stream.as_str().as_bytes(), partitions);
                *count += usize::from(put == Some(seen.partition));
            }
            fit
        })
    }

    /// A stream with another partition number in the other input, unless it is one stray among many.
    fn differing(&self, other: &Self, now: Timestamp) -> Option<(StreamKey, [i32; 2])> {
        let (mut common, mut differing, mut example) = (0, 0, None);
        for (one, two) in self.places.iter().zip(&other.places) {
            let (Some(one), Some(two)) = (one, two) else { continue };
            if one.stream != two.stream || !one.is_recent(now) || !two.is_recent(now) {
                continue;
            }
            common += 1;
            if one.partition != two.partition {
                differing += 1;
                example.get_or_insert_with(|| (one.stream.clone(), [one.partition, two.partition]));
            }
        }
        example.filter(|_| differing * STRAY >= common)
    }
}

impl Fit {
    fn of(&self, rule: Partitioner) -> usize {
        Partitioner::ALL.iter().zip(self.explained).find(|(it, _)| **it == rule).map_or(0, |(_, count)| count)
    }

    /// The partitioner that explains (nearly) all streams, if they are too many for a coincidence.
    fn followed(&self, partitions: i32) -> Option<Partitioner> {
        let chance = f64::from(partitions.max(1)).recip().powf(self.streams as f64);
        if self.streams < FEWEST || chance > CHANCE {
            return None;
        }
        let strays = |rule: &Partitioner| self.streams.saturating_sub(self.of(*rule));
        Partitioner::ALL.into_iter().filter(|rule| strays(rule) * STRAY <= self.streams).min_by_key(strays)
    }

    /// True if more streams than a few strays are in partitions that this partitioner would not choose.
    fn breaks(&self, rule: Partitioner) -> bool {
        let strays = self.streams.saturating_sub(self.of(rule));
        self.streams >= FEWEST && strays > 1 && strays * STRAY > self.streams
    }
}

impl Conflict {
    /// The message to the operator: the conflict and the remedy. `name` returns the name of an input.
    pub fn describe<'a>(&self, name: impl Fn(InputId) -> &'a str) -> String {
        let [a, b] = self.inputs.map(|(id, fit, rule)| (name(id), DescribedFit(fit, rule)));
        let example = self.example.as_ref().map_or_else(String::new, |(stream, [one, two])| {
            format!("; stream {stream} is in partition {one} of {} and in partition {two} of {}", a.0, b.0)
        });
        let is_java = |followed: &DescribedFit| followed.1 == Some(Partitioner::Murmur2);
        let whose = match (is_java(&a.1), is_java(&b.1)) {
            (true, false) => b.0.to_owned(),
            (false, true) => a.0.to_owned(),
            _ => format!("{} and {}", a.0, b.0),
        };
        format!(
            "inputs {} and {}: their producers choose partitions differently ({}: {}; {}: {}{example}), so that processes which \
             share the partitions see one part of a stream each and make bundles without the other; in the producers of \
             {whose} set partitioner=murmur2_random (librdkafka), or what chooses as the Java client does",
            a.0, b.0, a.0, a.1, b.0, b.1
        )
    }
}

/// A partitioner and its fit, in words.
struct DescribedFit(Fit, Option<Partitioner>);

impl fmt::Display for DescribedFit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (fit, streams) = (self.0, self.0.streams);
        match self.1 {
            Some(rule) => write!(f, "{}, {} of {streams} streams", rule.described(), fit.of(rule)),
            None => {
                let each =
                    Partitioner::ALL.map(|rule| format!("{} explains {}", rule.as_str(), fit.of(rule)));
                write!(f, "no partitioner explains all of {streams} streams, {}", each.join(", "))
            }
        }
    }
}

#[cfg(test)]
#[path = "copartition_tests.rs"]
mod tests;
