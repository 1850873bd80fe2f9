//! Stream state: the tensors that a recurrent model carries from one bundle of a stream to the next. An unknown stream
//! begins with zeros, so evicting a stream costs only its memory of the past.
//!
//! State stored under one assignment of a partition does not count under another: meanwhile another process may have
//! advanced the stream.

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
    streams: FxHashMap<StreamKey, StreamState>,
    /// The streams by their last use, the least recently used first.
    by_use: BTreeMap<u64, StreamKey>,
    uses: u64,
    most: usize,
    forgotten: u64,
}

#[derive(Debug)]
struct StreamState {
    used: u64,
    rows: Vec<Tensor>,
    /// The assignment under which the state holds.
    assignment: u32,
    /// True if the state comes from the changelog and no bundle has used it yet.
    is_restored: bool,
}

/// The state of one stream, in transfer from one store to another.
#[derive(Debug)]
pub struct HandedOver {
    stream: StreamKey,
    entry: StreamState,
}

impl HandedOver {
    /// The stream.
    pub fn stream(&self) -> &StreamKey {
        &self.stream
    }
}

impl StateStore {
    /// A store for at most `most` streams (at least one). Beyond that it evicts the least recently used stream, but
    /// never one of the batch being stored.
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

    /// Prepares the state for a bundle that was read under this assignment. If the bundle is the `first` of its stream
    /// or of a new epoch, the state begins anew. If it is the first bundle under its assignment, the state begins with
    /// `restored`, provided that fits the signature. May be called again for a bundle that is retried. Returns true if
    /// the restored state was refused.
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
            // The bundle's assignment has ended; its result is discarded.
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
            self.insert(stream, StreamState { used: 0, rows, assignment, is_restored: true });
        }
        !fits
    }

    /// The state of a batch, one row for each stream: the index of each state input with its tensor.
    ///
    /// # Errors
    /// If a stream occurs twice: its second bundle needs the state after its first.
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

    /// Stores the model's new state for each stream of a batch, as split by [`crate::infer::rows::split`]. A failed
    /// batch is not stored: its streams keep their state. Each stream comes with the assignment under which its bundle
    /// was read; an assignment that has ended changes nothing.
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
            self.insert(stream, StreamState { used: 0, rows, assignment: *assignment, is_restored: false });
        }
        // A batch larger than the bound would otherwise evict a part of itself.
        self.keep(self.most.max(streams.len()));
    }

    fn insert(&mut self, stream: &StreamKey, entry: StreamState) {
        self.uses += 1;
        if let Some(before) = self.streams.insert(stream.clone(), StreamState { used: self.uses, ..entry }) {
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

    /// Removes and returns the state of the streams that `moves` picks, the least recently used first.
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

    /// Adds state handed over by a store of the same signature. It counts as used now, in that order.
    pub fn adopt(&mut self, given: Vec<HandedOver>) {
        for HandedOver { stream, entry } in given {
            if self.streams.get(&stream).is_none_or(|there| there.assignment <= entry.assignment) {
                self.insert(&stream, entry);
            }
        }
        self.keep(self.most);
    }

    /// Removes one stream, as when its partition has moved to another process.
    pub fn forget(&mut self, stream: &StreamKey) {
        if let Some(entry) = self.streams.remove(stream) {
            self.by_use.remove(&entry.used);
        }
    }

    /// The number of streams with state.
    pub fn len(&self) -> usize {
        self.streams.len()
    }

    /// True if no stream has state.
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// The number of evicted streams: above 0, the bound is too small.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }
}

/// The reason why the state of a batch cannot be assembled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// Two bundles of one stream in one batch.
    #[error("stream {0} is in the batch twice; a model with state takes one bundle of a stream at a time")]
    Twice(StreamKey),
    /// The stored state does not fit the signature.
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
