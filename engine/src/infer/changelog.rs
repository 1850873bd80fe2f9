//! What recurrent models carry on, as records of a compacted topic: one for each step and stream, the latest of which
//! counts. It is written together with the results that it led to, so a process that takes a partition over goes on
//! with what the streams had at its last commit.
//!
//! Rebuilding it by replay instead would mean running every model over a past whose length nobody knows.
//!
//! A key is `step:stream`; a step's name has no colon. A value is a byte that tells the version, and after it
//! [`Carried`] in the [postcard wire format](https://postcard.jamesmunns.com/wire-format).

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::sample::StreamKey;
use crate::tensor::{Data, Tensor};
use crate::time::Timestamp;

const VERSION: u8 = 1;

/// States that are kept for streams that have not come yet; beyond that the one that was read first is forgotten.
const MOST: usize = 100_000;

/// What a step carries on in one stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Carried {
    /// The event time of the bundle after which it was so.
    pub event_time: Timestamp,
    /// One row for each pair of the model's signature, in its order.
    pub rows: Vec<Tensor>,
}

/// What of a record cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangelogError {
    /// Another version of Lockstep wrote it.
    #[error("it is of version {0}, and this is version {VERSION}")]
    Version(u8),
    /// It is not one of ours, or broken.
    #[error("it cannot be read: {0}")]
    Broken(String),
}

#[derive(Serialize, Deserialize)]
struct Wire {
    event_time_ns: i64,
    rows: Vec<Row>,
}

#[derive(Serialize, Deserialize)]
struct Row {
    shape: Vec<u64>,
    elements: Elements,
}

#[derive(Serialize, Deserialize)]
enum Elements {
    F32(Vec<f32>),
    I64(Vec<i64>),
    U8(Vec<u8>),
}

/// The key of a step's state in a stream.
pub fn key(step: &str, stream: &StreamKey) -> Bytes {
    [step, ":", stream.as_str()].concat().into()
}

impl Carried {
    /// As the value of a record.
    pub fn encode(&self) -> Bytes {
        let row = |tensor: &Tensor| Row {
            shape: tensor.shape().iter().map(|extent| *extent as u64).collect(),
            elements: match tensor.data() {
                Data::F32(v) => Elements::F32(v.clone()),
                Data::I64(v) => Elements::I64(v.clone()),
                Data::U8(v) => Elements::U8(v.clone()),
            },
        };
        let wire =
            Wire { event_time_ns: self.event_time.as_nanos(), rows: self.rows.iter().map(row).collect() };
        // Writing to memory fails only for what has no length known beforehand, and here all has.
        postcard::to_extend(&wire, vec![VERSION]).unwrap_or_default().into()
    }

    /// From the value of a record.
    ///
    /// # Errors
    /// When it is of another version or broken.
    pub fn decode(value: &[u8]) -> Result<Self, ChangelogError> {
        let broken = |why: &str| ChangelogError::Broken(why.to_owned());
        let rest = match value.split_first() {
            Some((&VERSION, rest)) => rest,
            Some((&version, _)) => return Err(ChangelogError::Version(version)),
            None => return Err(broken("it is empty")),
        };
        let (wire, left): (Wire, _) =
            postcard::take_from_bytes(rest).map_err(|error| broken(&error.to_string()))?;
        if !left.is_empty() {
            return Err(broken("there is something behind it"));
        }
        let row = |row: Row| {
            let shape: Option<Vec<usize>> =
                row.shape.iter().map(|extent| usize::try_from(*extent).ok()).collect();
            let shape = shape.ok_or_else(|| broken("an extent is too large"))?;
            let data = match row.elements {
                Elements::F32(v) => Data::F32(v),
                Elements::I64(v) => Data::I64(v),
                Elements::U8(v) => Data::U8(v),
            };
            let count = shape.iter().try_fold(1_usize, |count, extent| count.checked_mul(*extent));
            count
                .and_then(|_| Tensor::new(shape, data))
                .ok_or_else(|| broken("a shape is not that of its elements"))
        };
        let rows = wire.rows.into_iter().map(row).collect::<Result<_, _>>()?;
        Ok(Self { event_time: Timestamp::from_nanos(wire.event_time_ns), rows })
    }
}

/// What was read of the changelog and no bundle has asked for yet.
#[derive(Debug, Default)]
pub struct Restored {
    /// By key: the partition and the value.
    states: FxHashMap<Bytes, (i32, Bytes)>,
    /// In the order in which they were read, so that what is too many can be forgotten.
    order: VecDeque<Bytes>,
    /// What is further from the state's event time than that is of another epoch; none where there are no epochs.
    near: Option<Duration>,
}

impl Restored {
    /// Nothing yet. A bundle whose event time is further than `near` from that of its stream's state begins anew, as a
    /// stream does whose clock has stepped.
    pub fn new(near: Option<Duration>) -> Self {
        Self { near, ..Self::default() }
    }

    /// A partition is ours, and this is what its changelog says: by key, the latest value.
    pub fn put(&mut self, partition: i32, states: impl IntoIterator<Item = (Bytes, Bytes)>) {
        self.forget(partition);
        for (key, value) in states {
            if self.states.insert(key.clone(), (partition, value)).is_none() {
                self.order.push_back(key);
            }
        }
        while self.states.len() > MOST {
            let Some(key) = self.order.pop_front() else { break };
            self.states.remove(&key);
        }
    }

    /// A partition is no longer ours.
    pub fn forget(&mut self, partition: i32) {
        self.states.retain(|_, (of, _)| *of != partition);
        self.order.retain(|key| self.states.contains_key(key));
    }

    /// What a step carries on in a stream, if that is known: for its next bundle, which is of that event time. It is
    /// given once.
    ///
    /// # Errors
    /// When there is something that cannot be understood, which is not given again either.
    pub fn take(
        &mut self,
        step: &str,
        stream: &StreamKey,
        event_time: Timestamp,
    ) -> Result<Option<Vec<Tensor>>, ChangelogError> {
        if self.states.is_empty() {
            return Ok(None);
        }
        let Some((_, value)) = self.states.remove(&key(step, stream)) else { return Ok(None) };
        if self.states.is_empty() {
            self.order.clear();
        }
        let carried = Carried::decode(&value)?;
        let apart = event_time.since(carried.event_time).max(carried.event_time.since(event_time));
        Ok(self.near.is_none_or(|near| apart <= near).then_some(carried.rows))
    }

    /// How many states wait for their streams.
    pub fn len(&self) -> usize {
        self.states.len()
    }

    /// Whether none does.
    pub fn is_empty(&self) -> bool {
        self.states.is_empty()
    }
}

#[cfg(test)]
#[path = "changelog_tests.rs"]
mod tests;
