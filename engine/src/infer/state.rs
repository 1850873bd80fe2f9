//! What recurrent models carry from one bundle of a stream to the next. A stream that is not known
//! begins with zeros, so forgetting one costs only its memory of the past.
//!
//! What was stored under one assignment of a partition does not count under another: meanwhile the stream may have
//! gone on elsewhere.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use crate::infer::extents::{Extents, Mismatch};
use crate::infer::rows::{StepOutput, assemble};
use crate::infer::signature::Signature;
use crate::sample::StreamKey;
use crate::tensor::Tensor;

/// The carried tensors of every stream of one step.
#[derive(Debug)]
pub struct StateStore {
    /// For each pair of the signature: the input, the output, and the row that a new stream begins with.
    carried: Vec<(usize, usize, Tensor)>,
    signature: Signature,
    streams: FxHashMap<StreamKey, Entry>,
    /// The streams by when they were used last, the longest unused first.
    by_use: BTreeMap<u64, StreamKey>,
    uses: u64,
    most: usize,
    forgotten: u64,
}

#[derive(Debug)]
struct Entry {
    used: u64,
    rows: Vec<Tensor>,
    /// The assignment that it holds under.
    assignment: u32,
    /// It comes from the changelog, and no bundle has gone on from it yet.
    is_restored: bool,
}

/// What one stream carries on, on its way from one store to another.
#[derive(Debug)]
pub struct HandedOver {
    stream: StreamKey,
    entry: Entry,
}

impl HandedOver {
    /// Whose it is.
    pub fn stream(&self) -> &StreamKey {
        &self.stream
    }
}

impl StateStore {
    /// A store for at most so many streams (at least one). Beyond that the one unused for longest is
    /// forgotten, but never one of the batch that is being stored.
    pub fn new(signature: &Signature, most: usize) -> Self {
        let zeros = |input: usize| {
            let spec = signature.inputs.get(input)?;
            // Checked at load: beside the batch axis all extents of a carried input are numbers.
            let row: Option<Vec<usize>> = Extents::default().row(spec).into_iter().collect();
            row.map(|row| Tensor::zeros(spec.dtype, &row))
        };
        let pairs = signature.state_pairs().into_iter();
        Self {
            carried: pairs.filter_map(|(input, output)| Some((input, output, zeros(input)?))).collect(),
            signature: signature.clone(),
            streams: FxHashMap::default(),
            by_use: BTreeMap::new(),
            uses: 0,
            most: most.max(1),
            forgotten: 0,
        }
    }

    /// A bundle of a stream comes, read under this assignment. If it is the `first` of its stream, or of a new epoch, what
    /// is carried begins anew; if it is the first under its assignment, with what was `restored` for it, should that fit the
    /// signature. May be said again of a bundle that is tried again. Whether what was restored had to be refused.
    pub fn admit(
        &mut self,
        stream: &StreamKey,
        assignment: u32,
        first: bool,
        restored: impl FnOnce() -> Option<Vec<Tensor>>,
    ) -> bool {
        if self.carried.is_empty() {
            return false;
        }
        match self.streams.get(stream) {
            // It is of an assignment that has ended; nothing will come of it.
            Some(entry) if entry.assignment > assignment => return false,
            Some(entry) if entry.assignment == assignment => {
                if first && !entry.is_restored {
                    self.forget(stream);
                }
                return false;
            }
            Some(_) => self.forget(stream),
            None => {}
        }
        let Some(rows) = restored() else { return false };
        let fits = rows.len() == self.carried.len()
            && rows
                .iter()
                .zip(&self.carried)
                .all(|(row, (.., zeros))| row.dtype() == zeros.dtype() && row.shape() == zeros.shape());
        if fits {
            self.insert(stream, Entry { used: 0, rows, assignment, is_restored: true });
        }
        !fits
    }

    /// The state of a batch, one row for each stream: the index of each carried input with its tensor.
    ///
    /// # Errors
    /// When a stream occurs twice: its second bundle needs what its first has yet to give.
    pub fn batch(&mut self, streams: &[&StreamKey]) -> Result<Vec<(usize, Tensor)>, StateError> {
        let mut seen: Vec<&StreamKey> = streams.to_vec();
        seen.sort_unstable();
        if let Some([twice, _]) = seen.windows(2).find(|pair| pair.first() == pair.last()) {
            return Err(StateError::Twice((*twice).clone()));
        }
        let mut tensors = Vec::with_capacity(self.carried.len());
        for (place, (input, _, zeros)) in self.carried.iter().enumerate() {
            let row = |stream: &&StreamKey| {
                self.streams.get(*stream).and_then(|entry| entry.rows.get(place)).unwrap_or(zeros)
            };
            let rows: Vec<&Tensor> = streams.iter().map(row).collect();
            if let Some(spec) = self.signature.inputs.get(*input) {
                tensors.push((*input, assemble(spec, &rows)?));
            }
        }
        Ok(tensors)
    }

    /// Takes up what the model gave for each stream of a batch, as [`crate::infer::rows::split`] took it
    /// apart. A batch that failed is not stored: its streams go on with what they had. Each stream comes with the
    /// assignment that its bundle was read under; one that has ended changes nothing any more.
    pub fn store(&mut self, streams: &[(&StreamKey, u32)], outputs: &[StepOutput]) {
        for ((stream, assignment), output) in streams.iter().zip(outputs) {
            if self.streams.get(*stream).is_some_and(|entry| entry.assignment > *assignment) {
                continue;
            }
            let rows: Vec<Tensor> = self
                .carried
                .iter()
                .map(|(_, place, zeros)| output.get(*place).unwrap_or(zeros).clone())
                .collect();
            self.insert(stream, Entry { used: 0, rows, assignment: *assignment, is_restored: false });
        }
        // A batch larger than the bound would otherwise forget a part of itself.
        self.keep(self.most.max(streams.len()));
    }

    fn insert(&mut self, stream: &StreamKey, entry: Entry) {
        self.uses += 1;
        if let Some(before) = self.streams.insert(stream.clone(), Entry { used: self.uses, ..entry }) {
            self.by_use.remove(&before.used);
        }
        self.by_use.insert(self.uses, stream.clone());
    }

    fn keep(&mut self, most: usize) {
        while self.streams.len() > most {
            let Some((_, stream)) = self.by_use.pop_first() else { break };
            self.streams.remove(&stream);
            self.forgotten += 1;
        }
    }

    /// Gives away what those streams carry on that `moves` picks, the longest unused first, and forgets them.
    pub fn hand_over(&mut self, moves: impl Fn(&StreamKey) -> bool) -> Vec<HandedOver> {
        let picked = self.by_use.iter().filter(|(_, stream)| moves(stream));
        let picked: Vec<(u64, StreamKey)> = picked.map(|(used, stream)| (*used, stream.clone())).collect();
        let given = picked.into_iter().filter_map(|(used, stream)| {
            self.by_use.remove(&used);
            let entry = self.streams.remove(&stream)?;
            Some(HandedOver { stream, entry })
        });
        given.collect()
    }

    /// Takes up what a store of the same signature has given away. It counts as used now, in that order.
    pub fn adopt(&mut self, given: Vec<HandedOver>) {
        for HandedOver { stream, entry } in given {
            if self.streams.get(&stream).is_none_or(|there| there.assignment <= entry.assignment) {
                self.insert(&stream, entry);
            }
        }
        self.keep(self.most);
    }

    /// Forgets one stream, as when its partition has gone to another process.
    pub fn forget(&mut self, stream: &StreamKey) {
        if let Some(entry) = self.streams.remove(stream) {
            self.by_use.remove(&entry.used);
        }
    }

    /// Streams with a state.
    pub fn len(&self) -> usize {
        self.streams.len()
    }

    /// Whether no stream has a state.
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// How many streams were forgotten for want of room: a figure above 0 says that the bound is too small.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }
}

/// Why a batch's state cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// Two bundles of one stream in one batch.
    #[error("stream {0} is in the batch twice; a model with state takes one bundle of a stream at a time")]
    Twice(StreamKey),
    /// What was stored does not fit the signature.
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
