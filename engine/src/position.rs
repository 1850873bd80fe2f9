//! Positions of records in Kafka. Separate types stand for *this record* and for *the next one to read*.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The index of an input in [`crate::pipeline::Pipeline::inputs`]. Each input has its own topic, so an input also
/// names a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InputId(pub u16);

impl InputId {
    /// The index into the pipeline's inputs.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// A partition of an input's topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionId {
    /// The input whose topic it is.
    pub input: InputId,
    /// Kafka's number of the partition.
    pub partition: i32,
}

/// The offset of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(pub i64);

impl Offset {
    /// The offset to commit once this record and all before it are finished.
    pub fn next(self) -> NextOffset {
        NextOffset(self.0.saturating_add(1))
    }
}

/// The offset of the next record to read: in Kafka's words, a committed offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NextOffset(pub i64);

/// An offset commit of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The partition.
    pub partition: PartitionId,
    /// The first record that has not ended. After a restart, reading starts there.
    pub next: NextOffset,
    /// The completion map of the records after it, as written by
    /// [`Progress::encode`](crate::completion::Progress::encode).
    pub metadata: String,
}

/// One record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The record's partition.
    pub partition: PartitionId,
    /// The record's offset in the partition.
    pub offset: Offset,
}

impl Position {
    /// The record at `offset` of a partition of an input's topic.
    pub fn new(input: InputId, partition: i32, offset: i64) -> Self {
        Self { partition: PartitionId { input, partition }, offset: Offset(offset) }
    }

    /// The input of the record.
    pub fn input(&self) -> InputId {
        self.partition.input
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "partition {} offset {}", self.partition.partition, self.offset.0)
    }
}
