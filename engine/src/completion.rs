//! The completion map: the records at or after a committed offset that have ended, or that are published and have
//! not ended. A commit carries it in its metadata, beside the offset.
//!
//! [`Progress`] holds both sets. `completion/text.rs` has its [`encode`](Progress::encode) and
//! [`decode`](Progress::decode), `completion/body.rs` the format of the bytes, and `completion/plan.rs` the search
//! for the shortest encoding.

mod body;
mod map;
mod plan;
mod progress;
mod stretch;
mod text;
mod varint;

pub use map::{CompletionMap, Run};
pub use progress::Progress;
pub(crate) use text::capacity;
pub use text::{MAX_BODY, MAX_TEXT, MapError};
pub(crate) use varint::varint_len;

#[cfg(test)]
mod tests;
