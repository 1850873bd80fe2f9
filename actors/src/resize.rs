//! Shards that become more or fewer while the pipeline runs: what ingest, givers and takers share. The rules, and why
//! nobody waits in a circle, are in [`lockstep_engine::sharding`].

use lockstep_engine::align::Bounds;
use lockstep_engine::sharding::{MOST_SHARDS, Resize};
use lockstep_engine::time::Timestamp;
use parking_lot::Mutex;

use crate::align::AlignMessage;
use crate::desired::Desired;
use crate::mailbox::Mailbox;

/// How many shards there are and are to be. Streams begin to move within a tenth of a second after another number is asked for;
/// what is asked for while others move comes after these.
pub type Shards = Desired<MOST_SHARDS>;

/// Streams on the move.
pub struct Moving {
    /// From how many shards to how many.
    pub(crate) resize: Resize,
    /// The bounds of alignment, of the whole process.
    pub(crate) bounds: Bounds,
    /// To each shard, those that come and those that leave included.
    pub(crate) links: Vec<Mailbox<AlignMessage>>,
    /// When it was told to givers and takers.
    pub(crate) began: Timestamp,
    /// The takers that have all that is theirs and of which ingest has not heard. They do not tell it by a message: ingest
    /// may be waiting for room in their links.
    pub(crate) adopted: Mutex<Vec<usize>>,
}
