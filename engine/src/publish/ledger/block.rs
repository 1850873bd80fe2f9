//! The records of 64 offsets in a row: which there are, which have ended, and what is known of the others.

use crate::completion::{CompletionMap, Progress, Run};
use crate::position::{NextOffset, Offset};

/// How many offsets a block has.
pub(super) const OFFSETS: i64 = 64;

/// What is known of a record that has not ended.
#[derive(Debug, Default)]
pub(super) struct Slot {
    /// Bundles that have ended.
    pub(super) settled: u32,
    /// Bundles that there are in all, once the buffers have let the record go.
    pub(super) used: Option<u32>,
}

/// What is known of a record when it is consumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Before {
    Nothing,
    Published,
    Ended,
}

/// Bit `i` of a mask is the offset `start + i`.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) start: i64,
    /// Consumed. The others do not exist: compacted away, a transaction's marker, or before the first.
    present: u64,
    ended: u64,
    /// In a published result, whether ended or not.
    published: u64,
    /// One for each record, in order; none once all have ended.
    slots: Vec<Slot>,
    /// Whether it takes no more records and all have ended.
    pub(super) is_closed: bool,
}

/// The first offset of the block that an offset is in.
pub(super) fn start_of(offset: Offset) -> i64 {
    offset.0 & !(OFFSETS - 1)
}

impl Block {
    /// The block of `start`, without records. `slots` is empty memory.
    pub(super) fn new(start: i64, slots: Vec<Slot>) -> Self {
        Self { start, present: 0, ended: 0, published: 0, slots, is_closed: false }
    }

    fn bit(&self, offset: Offset) -> u64 {
        1 << (offset.0.abs_diff(self.start) % 64)
    }

    /// A record was consumed. It comes after all others.
    pub(super) fn open(&mut self, offset: Offset, before: Before) {
        let bit = self.bit(offset);
        self.present |= bit;
        match before {
            Before::Nothing => {}
            Before::Published => self.published |= bit,
            Before::Ended => self.ended |= bit,
        }
        self.slots.push(Slot::default());
    }

    /// What is known of a record, unless it has ended or never was.
    pub(super) fn slot(&mut self, offset: Offset) -> Option<&mut Slot> {
        let bit = self.bit(offset);
        if self.open_mask() & bit == 0 {
            return None;
        }
        self.slots.get_mut((self.present & (bit - 1)).count_ones() as usize)
    }

    /// A record that has not ended is in a published result. Says whether it was in none before.
    pub(super) fn publish(&mut self, offset: Offset) -> bool {
        let bit = self.bit(offset);
        let is_first = self.published & bit == 0;
        self.published |= bit;
        is_first
    }

    /// Whether a record is in a published result.
    pub(super) fn is_published(&self, offset: Offset) -> bool {
        self.published & self.bit(offset) != 0
    }

    /// A record has ended. Says whether it had not before.
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

    /// Whether all its records have ended.
    pub(super) fn has_ended(&self) -> bool {
        self.open_mask() == 0
    }

    pub(super) fn records(&self) -> u32 {
        self.present.count_ones()
    }

    /// No more records come, and all have ended. Gives the memory back.
    pub(super) fn close(&mut self) -> Vec<Slot> {
        self.is_closed = true;
        let mut slots = std::mem::take(&mut self.slots);
        slots.clear();
        slots
    }

    /// The offset after the last record before which all have ended; `None` if the first has not.
    pub(super) fn next(&self) -> Option<NextOffset> {
        let open = self.open_mask();
        let before = self.ended & ((open & open.wrapping_neg()).wrapping_sub(1));
        (before != 0).then(|| self.after(before))
    }

    /// The offset after the last of a mask that is not empty.
    fn after(&self, mask: u64) -> NextOffset {
        self.at(63 - mask.leading_zeros()).next()
    }

    fn at(&self, bit: u32) -> Offset {
        Offset(self.start + i64::from(bit))
    }
}

/// Makes runs of the records of blocks that come in order.
#[derive(Debug)]
pub(super) struct Runs<'a> {
    ended: Row<'a>,
    published: Row<'a>,
}

impl<'a> Runs<'a> {
    pub(super) fn new(progress: &'a mut Progress) -> Self {
        progress.clear();
        let Progress { ended, published } = progress;
        Self { ended: Row { set: ended, run: None }, published: Row { set: published, run: None } }
    }

    /// Adds the records of a block.
    pub(super) fn add(&mut self, block: &Block) {
        let open = block.open_mask();
        self.ended.add(block, block.ended, open);
        let published = open & block.published;
        self.published.add(block, published, block.present & !published);
    }

    /// Adds what is said of records that have not been consumed yet.
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

/// Makes one set.
#[derive(Debug)]
struct Row<'a> {
    set: &'a mut CompletionMap,
    /// The run that may go on.
    run: Option<Run>,
}

impl Row<'_> {
    /// Adds some records of a block. A run goes on until one of the others, whatever offsets are missing.
    fn add(&mut self, block: &Block, mut those: u64, mut others: u64) {
        while those | others != 0 {
            // Below the next of the others.
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
