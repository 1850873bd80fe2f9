//! Co-partitioning, as far as the records themselves show it.
//!
//! Several processes share the partitions of all inputs by number, so a stream must have the same number in every input.
//! Producers that follow different partitioners break that. Where the partner of a stream goes to another process, no process
//! sees both, so each input is judged by its own records: a partitioner that does not explain where they are was
//! not followed.

use std::fmt;
use std::hash::{BuildHasher, BuildHasherDefault};
use std::time::Duration;

use rustc_hash::FxHasher;

use super::partitioner::Partitioner;
use crate::position::{InputId, PartitionId};
use crate::sample::StreamKey;
use crate::time::Timestamp;

/// The streams that are remembered of each input: a sample of them where there are more.
const PLACES_BITS: u32 = 10;
/// A stream that has been silent for longer says nothing about how its producer is set up now.
const REMEMBERED: Duration = Duration::from_secs(120);
/// The fewest streams by which an input is judged.
const FEWEST: usize = 3;
/// The chance below which nobody takes it for one that a partitioner explains all streams.
const CHANCE: f64 = 1e-6;
/// One stream in so many may lie elsewhere, as one that was put there by hand.
const STRAY: usize = 20;

/// What the streams seen lately say about where producers put them.
#[derive(Debug)]
pub struct Copartition {
    inputs: Vec<Input>,
}

#[derive(Debug)]
struct Input {
    /// How many partitions its topic has; none until that is known.
    partitions: Option<i32>,
    /// By hash of the stream, the same place in every input.
    places: Box<[Option<Seen>]>,
}

#[derive(Clone, Debug)]
struct Seen {
    stream: StreamKey,
    partition: i32,
    at: Timestamp,
}

/// Of an input, how many of the streams seen lately each partitioner explains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fit {
    /// How many streams there are.
    pub streams: usize,
    /// How many of them lie where each of [`Partitioner::ALL`] puts them.
    pub explained: [usize; Partitioner::ALL.len()],
}

/// Two inputs whose streams do not meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Both, and which partitioner their producers follow, if one that is known.
    pub inputs: [(InputId, Fit, Option<Partitioner>); 2],
    /// A stream that has different numbers, if one was seen in both.
    pub example: Option<(StreamKey, [i32; 2])>,
}

impl Copartition {
    /// Of so many inputs.
    pub fn new(inputs: usize) -> Self {
        let input = || Input { partitions: None, places: vec![None; 1 << PLACES_BITS].into() };
        // With one input there is nothing that could fail to meet.
        Self { inputs: if inputs > 1 { (0..inputs).map(|_| input()).collect() } else { Vec::new() } }
    }

    /// Sets how many partitions each input has. What was seen under another number says nothing any more.
    pub fn set_partitions(&mut self, counts: &[i32]) {
        for (input, count) in self.inputs.iter_mut().zip(counts) {
            if input.partitions.replace(*count).is_some_and(|before| before != *count) {
                input.places.fill(None);
            }
        }
    }

    /// A record of a stream was read.
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
            // Others keep their places while they are heard, or places would change hands with each record.
            Some(seen) if seen.stream != *stream && seen.is_recent(now) => {}
            _ => *place = Some(Seen { stream: stream.clone(), partition: id.partition, at: now }),
        }
    }

    /// How the streams of each input fit the partitioners; nothing with one input.
    pub fn fits(&self, now: Timestamp) -> impl Iterator<Item = (InputId, Fit)> {
        let fit = move |(index, input): (usize, &Input)| {
            Some((InputId(u16::try_from(index).ok()?), input.fit(now)))
        };
        self.inputs.iter().enumerate().filter_map(fit)
    }

    /// Two inputs whose streams do not meet, if there are any.
    pub fn conflict(&self, now: Timestamp) -> Option<Conflict> {
        let judged: Vec<(InputId, Fit, Option<Partitioner>, &Input)> = self
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

impl Seen {
    fn is_recent(&self, now: Timestamp) -> bool {
        now.since(self.at) < REMEMBERED
    }
}

impl Input {
    fn recent(&self, now: Timestamp) -> impl Iterator<Item = &Seen> {
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

    /// A stream that has another number in the other input, unless it is one stray among many.
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

    /// The partitioner that explains (nearly) all streams, if they are too many for that to be chance.
    fn followed(&self, partitions: i32) -> Option<Partitioner> {
        let chance = f64::from(partitions.max(1)).recip().powf(self.streams as f64);
        if self.streams < FEWEST || chance > CHANCE {
            return None;
        }
        let strays = |rule: &Partitioner| self.streams.saturating_sub(self.of(*rule));
        Partitioner::ALL.into_iter().filter(|rule| strays(rule) * STRAY <= self.streams).min_by_key(strays)
    }

    /// Whether streams lie where this partitioner does not put them, and more than a stray one.
    fn breaks(&self, rule: Partitioner) -> bool {
        let strays = self.streams.saturating_sub(self.of(rule));
        self.streams >= FEWEST && strays > 1 && strays * STRAY > self.streams
    }
}

impl Conflict {
    /// What is wrong and what to write instead. `name` is that of an input.
    pub fn describe<'a>(&self, name: impl Fn(InputId) -> &'a str) -> String {
        let [a, b] = self.inputs.map(|(id, fit, rule)| (name(id), Followed(fit, rule)));
        let example = self.example.as_ref().map_or_else(String::new, |(stream, [one, two])| {
            format!("; stream {stream} is in partition {one} of {} and in partition {two} of {}", a.0, b.0)
        });
        let is_java = |followed: &Followed| followed.1 == Some(Partitioner::Murmur2);
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

/// Which partitioner is followed, in words.
struct Followed(Fit, Option<Partitioner>);

impl fmt::Display for Followed {
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
