//! The records of 64 consecutive offsets: which exist, which have ended, and the state of the others.

use crate::completion::{CompletionMap, Progress, Run};
use crate::position::{NextOffset, Offset};

/// The number of offsets in a block.
pub(super) const OFFSETS: i64 = 64;

/// The state of a record that has not ended.
#[derive(Debug, Default)]
pub(super) struct RecordState {
    /// The number of its bundles that have ended.
    pub(super) settled: u32,
    /// The number of all its bundles, once the buffers have released the record.
    pub(super) used: Option<u32>,
}

/// The state of a record before it is consumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Before {
    Nothing,
    Published,
    Ended,
}

/// Bit `i` of a mask is the offset `start + i`.
#[derive(Debug)]
pub(super) struct OffsetBlock {
    pub(super) start: i64,
    /// Consumed records. The other offsets do not exist: compacted away, a transaction's marker, or before the first
    /// record.
    present: u64,
    ended: u64,
    /// Records in a published result, ended or not.
    published: u64,
    /// One slot for each record, in order; none once all have ended.
    slots: Vec<RecordState>,
    /// True once the block takes no more records and all have ended.
    pub(super) is_closed: bool,
}

/// The first offset of the block that contains an offset.
pub(super) fn start_of(offset: Offset) -> i64 {
    offset.0 & !(OFFSETS - 1)
}

impl OffsetBlock {
    /// An empty block from `start` on. `slots` is empty memory to reuse.
    pub(super) fn new(start: i64, slots: Vec<RecordState>) -> Self {
        Self { start, present: 0, ended: 0, published: 0, slots, is_closed: false }
    }

    fn bit(&self, offset: Offset) -> u64 {
        1 << (offset.0.abs_diff(self.start) % 64)
    }

    /// Adds a consumed record, after all others.
    pub(super) fn open(&mut self, offset: Offset, before: Before) {
        let bit = self.bit(offset);
        self.present |= bit;
        match before {
            Before::Nothing => {}
            Before::Published => self.published |= bit,
            Before::Ended => self.ended |= bit,
        }
        self.slots.push(RecordState::default());
    }

    /// The state of a record; `None` if it has ended or does not exist.
    pub(super) fn slot(&mut self, offset: Offset) -> Option<&mut RecordState> {
        let bit = self.bit(offset);
        if self.open_mask() & bit == 0 {
            return None;
        }
        self.slots.get_mut((self.present & (bit - 1)).count_ones() as usize)
    }

    /// Marks a record that has not ended as published; true if it was not before.
    pub(super) fn publish(&mut self, offset: Offset) -> bool {
        let bit = self.bit(offset);
        let is_first = self.published & bit == 0;
        self.published |= bit;
        is_first
    }

    /// True if a record is in a published result.
    pub(super) fn is_published(&self, offset: Offset) -> bool {
        self.published & self.bit(offset) != 0
    }

    /// Ends a record; true if it had not ended before.
    pub(super) fn end(&mut self, offset: Offset) -> bool {
        let bit = self.bit(offset);
        let ends = self.open_mask() & bit != 0;
        if ends {
            self.ended |= bit;
        }
        ends
    }

    fn open_mask(&self) -> u64 {
        self.present & !self.ended
    }

    /// True if all its records have ended.
    pub(super) fn has_ended(&self) -> bool {
        self.open_mask() == 0
    }

    pub(super) fn records(&self) -> u32 {
        self.present.count_ones()
    }

    /// Closes the block: no more records come, and all have ended. Returns its memory.
    pub(super) fn close(&mut self) -> Vec<RecordState> {
        self.is_closed = true;
        let mut slots = std::mem::take(&mut self.slots);
        slots.clear();
        slots
    }

    /// The offset after the last record up to which all have ended; `None` if the first has not.
    pub(super) fn next(&self) -> Option<NextOffset> {
        let open = self.open_mask();
        let before = self.ended & ((open & open.wrapping_neg()).wrapping_sub(1));
        (before != 0).then(|| self.after(before))
    }

    /// The offset after the last bit of a mask that is not empty.
    fn after(&self, mask: u64) -> NextOffset {
        self.at(63 - mask.leading_zeros()).next()
    }

    fn at(&self, bit: u32) -> Offset {
        Offset(self.start + i64::from(bit))
    }
}

/// Builds runs from the records of consecutive blocks.
#[derive(Debug)]
pub(super) struct MapBuilder<'a> {
    ended: RunBuilder<'a>,
    published: RunBuilder<'a>,
}

impl<'a> MapBuilder<'a> {
    pub(super) fn new(progress: &'a mut Progress) -> Self {
        progress.clear();
        let Progress { ended, published } = progress;
        Self {
            ended: RunBuilder { set: ended, run: None },
            published: RunBuilder { set: published, run: None },
        }
    }

    /// Adds the records of a block.
    pub(super) fn add(&mut self, block: &OffsetBlock) {
        let open = block.open_mask();
        self.ended.add(block, block.ended, open);
        let published = open & block.published;
        self.published.add(block, published, block.present & !published);
    }

    /// Adds the runs of records that have not been consumed yet.
    pub(super) fn add_progress(
        &mut self,
        ended: impl Iterator<Item = Run>,
        published: impl Iterator<Item = Run>,
    ) {
        ended.for_each(|run| self.ended.add_run(run));
        published.for_each(|run| self.published.add_run(run));
    }

    pub(super) fn finish(mut self) {
        self.ended.flush();
        self.published.flush();
    }
}

/// Builds one set.
#[derive(Debug)]
struct RunBuilder<'a> {
    set: &'a mut CompletionMap,
    /// The run that may still grow.
    run: Option<Run>,
}

impl RunBuilder<'_> {
    /// Adds the `those` records of a block. A run grows until one of `others`, whatever offsets are missing.
    fn add(&mut self, block: &OffsetBlock, mut those: u64, mut others: u64) {
        while those | others != 0 {
            // The bits below the next of the others.
            let below = (others & others.wrapping_neg()).wrapping_sub(1);
            let now = those & below;
            if now != 0 {
                let from = self.run.map_or(block.at(now.trailing_zeros()), |run| run.from);
                self.run = Some(Run { from, to: block.after(now) });
            }
            if others == 0 {
                return;
            }
            self.flush();
            if those == 0 {
                return;
            }
            those &= !below;
            others &= others - 1;
        }
    }

    fn add_run(&mut self, run: Run) {
        match &mut self.run {
            Some(before) if run.from.0 <= before.to.0 => before.to = run.to.max(before.to),
            _ => {
                self.flush();
                self.run = Some(run);
            }
        }
    }

    fn flush(&mut self) {
        if let Some(Run { from, to }) = self.run.take() {
            self.set.insert(from, to);
        }
    }
}
