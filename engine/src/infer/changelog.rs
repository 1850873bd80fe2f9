//! Stream state as records of a compacted topic: one record for each unit and stream, of which the latest counts. The
//! publisher writes it together with the results that it led to. So a process that takes over a partition continues
//! with the state as of the last commit.
//!
//! Rebuilding the state by replay instead would mean running every model over a past of unknown length.
//!
//! A key is `step/version:stream`; neither a step's name nor a version has a colon. A value is a version byte, followed by [`StoredState`] in the
//! [postcard wire format](https://postcard.jamesmunns.com/wire-format).

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::infer::unit::UnitId;
use crate::sample::StreamKey;
use crate::tensor::{DType, Tensor};
use crate::time::Timestamp;

/// Version 1 had elements of three types only.
const VERSION: u8 = 2;

/// The most restored states kept for streams without a bundle yet; beyond that the state read first is dropped.
const MOST: usize = 100_000;

/// The state of a unit in one stream.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredState {
    /// The event time of the bundle that led to this state.
    pub event_time: Timestamp,
    /// One row for each pair of the model's signature, in its order.
    pub rows: Vec<Tensor>,
}

/// The reason why a record cannot be decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangelogError {
    /// Another version of Lockstep wrote the record.
    #[error("the record has version {0}; this Lockstep reads version {VERSION}")]
    Version(u8),
    /// The record is foreign or corrupt.
    #[error("the record is corrupt: {0}")]
    Broken(String),
}

#[derive(Serialize, Deserialize)]
struct Wire {
    event_time_ns: i64,
    rows: Vec<WireRow>,
}

#[derive(Serialize, Deserialize)]
struct WireRow {
    dtype: DType,
    shape: Vec<u64>,
    /// The elements, little-endian.
    bytes: Vec<u8>,
}

// The wire has little-endian elements, and a tensor has the machine's.
#[cfg(target_endian = "big")]
compile_error!("the changelog of stream state needs a little-endian machine");

/// The key of a unit's state in a stream.
pub fn key(unit: &UnitId, stream: &StreamKey) -> Bytes {
    format!("{unit}:{stream}").into()
}

impl StoredState {
    /// Encodes the state as the value of a record.
    pub fn encode(&self) -> Bytes {
        let row = |tensor: &Tensor| WireRow {
            dtype: tensor.dtype(),
            shape: tensor.shape().iter().map(|extent| *extent as u64).collect(),
            bytes: tensor.bytes().to_vec(),
        };
        let wire =
            Wire { event_time_ns: self.event_time.as_nanos(), rows: self.rows.iter().map(row).collect() };
        // Writing to memory fails only for values whose length is unknown beforehand; all lengths are known here.
        postcard::to_extend(&wire, vec![VERSION]).unwrap_or_default().into()
    }

    /// Decodes the state from the value of a record.
    ///
    /// # Errors
    /// If the record has another version or is corrupt.
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
            return Err(broken("it has trailing bytes"));
        }
        let row = |row: WireRow| {
            let shape: Option<Vec<usize>> =
                row.shape.iter().map(|extent| usize::try_from(*extent).ok()).collect();
            let shape = shape.ok_or_else(|| broken("an extent is too large"))?;
            Tensor::from_bytes(row.dtype, shape, &row.bytes)
                .ok_or_else(|| broken("a shape is not that of its elements"))
        };
        let rows = wire.rows.into_iter().map(row).collect::<Result<_, _>>()?;
        Ok(Self { event_time: Timestamp::from_nanos(wire.event_time_ns), rows })
    }
}

/// Restored states that no bundle has used yet.
#[derive(Debug, Default)]
pub struct RestoredStates {
    /// The partition and the value, by key.
    states: FxHashMap<Bytes, (i32, Bytes)>,
    /// Keys in the order of reading, so that the oldest can be dropped.
    order: VecDeque<Bytes>,
    /// The largest distance in event time at which the state still counts; a bundle further away is of another epoch.
    /// `None` without epochs.
    near: Option<Duration>,
}

impl RestoredStates {
    /// An empty collection. A bundle whose event time is further than `near` from that of its stream's state begins
    /// anew, as a stream does after a step of its clock.
    pub fn new(near: Option<Duration>) -> Self {
        Self { near, ..Self::default() }
    }

    /// Adds the changelog of an assigned partition: the latest value of each key.
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

    /// Removes the states of a revoked partition.
    pub fn forget(&mut self, partition: i32) {
        self.states.retain(|_, (of, _)| *of != partition);
        self.order.retain(|key| self.states.contains_key(key));
    }

    /// Takes the state of a unit in a stream, if known, for the stream's next bundle, which has this event time. The
    /// state is returned once.
    ///
    /// # Errors
    /// If the record cannot be decoded; it is not returned again either.
    pub fn take(
        &mut self,
        unit: &UnitId,
        stream: &StreamKey,
        event_time: Timestamp,
    ) -> Result<Option<Vec<Tensor>>, ChangelogError> {
        if self.states.is_empty() {
            return Ok(None);
        }
        let Some((_, value)) = self.states.remove(&key(unit, stream)) else { return Ok(None) };
        if self.states.is_empty() {
            self.order.clear();
        }
        let carried = StoredState::decode(&value)?;
        let apart = event_time.since(carried.event_time).max(carried.event_time.since(event_time));
        Ok(self.near.is_none_or(|near| apart <= near).then_some(carried.rows))
    }

    /// The number of states not used yet.
    pub fn len(&self) -> usize {
        self.states.len()
    }

    /// True if no state is left.
    pub fn is_empty(&self) -> bool {
        self.states.is_empty()
    }
}

#[cfg(test)]
#[path = "changelog_tests.rs"]
mod tests;
