//! The records in flight of one partition, in blocks of 64 offsets; its offset and map.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use super::block::{Before, MapBuilder, OFFSETS, OffsetBlock, RecordState, start_of};
use super::metadata_pressure::MetadataPressure;
use super::restored::RestoredMap;
use super::{RecordOutcome, Settled};
use crate::completion::{Progress, varint_len};
use crate::fault::Fault;
use crate::position::{NextOffset, Offset};

/// The number of blocks whose memory is kept for reuse.
const SPARE: usize = 64;

/// One assignment of a partition.
#[derive(Debug)]
pub(super) struct PartitionTracker<T> {
    pub(super) assignment: u32,
    /// The offset as last reported, or as the removed blocks have left it.
    next: NextOffset,
    /// The last consumed record.
    opened: Option<Offset>,
    /// The number of records that have not ended.
    open: usize,
    /// Blocks by offset. The first is not closed, and the last never is.
    blocks: VecDeque<OffsetBlock>,
    /// Records of failed bundles that no other bundle has published.
    failed: FxHashMap<Offset, (T, Fault)>,
    restored: RestoredMap,
    /// Open blocks, and rows of adjacent open blocks.
    live: usize,
    rows: usize,
    /// The average number of records in a block, times 256: a moving average.
    fill: u32,
    spare: Vec<Vec<RecordState>>,
    /// True if the offset or the map may have changed since the last report.
    pub(super) is_dirty: bool,
    /// True if the bounds may have changed since [`Self::pressure`] was last decided.
    pub(super) is_reshaped: bool,
    pub(super) pressure: Option<MetadataPressure>,
    pub(super) is_withheld: bool,
}

/// Upper bounds of the size of a partition's map, however its records end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Worst {
    /// Bound for the consumed records, in bytes; 0 if none is in flight.
    pub(super) known: usize,
    /// Bound for the records under way.
    pub(super) coming: usize,
    /// True if all records under way were consumed once before, so that they add nothing.
    pub(super) is_replay: bool,
}

impl<T> PartitionTracker<T> {
    pub(super) fn new(start: NextOffset, progress: &Progress, assignment: u32) -> Self {
        Self {
            assignment,
            next: start,
            opened: None,
            open: 0,
            blocks: VecDeque::new(),
            failed: FxHashMap::default(),
            restored: RestoredMap::new(start, progress),
            live: 0,
            rows: 0,
            fill: 64 << 8,
            spare: Vec::new(),
            // The initial offset is committed before any record has ended: the next owner must not begin behind it.
            is_dirty: true,
            is_reshaped: false,
            pressure: None,
            is_withheld: false,
        }
    }

    pub(super) fn open(&mut self, offset: Offset) {
        // A known record keeps its state.
        if self.opened.is_some_and(|opened| offset <= opened) {
            return;
        }
        self.opened = Some(offset);
        let before = self.restored.take(offset);
        let start = start_of(offset);
        if self.blocks.back().is_none_or(|last| last.start != start) {
            self.append(start);
        }
        if let Some(last) = self.blocks.back_mut() {
            last.open(offset, before);
        }
        if before != Before::Ended {
            self.is_reshaped |= self.open == 0;
            self.open += 1;
        } else if self.open == 0 {
            self.is_dirty = true;
        }
    }

    /// Records that the buffers have released a record that `used` bundles contained.
    pub(super) fn release(&mut self, offset: Offset, used: u32) -> Option<RecordOutcome<T>> {
        let index = self.find(offset)?;
        self.blocks.get_mut(index)?.slot(offset)?.used = Some(used);
        self.verdict(index, offset)
    }

    pub(super) fn settle(&mut self, offset: Offset, how: Settled<T>) -> Option<RecordOutcome<T>> {
        let index = self.find(offset)?;
        let block = self.blocks.get_mut(index)?;
        block.slot(offset)?.settled += 1;
        match how {
            Settled::Published => self.is_dirty |= block.publish(offset),
            Settled::Dropped => {}
            Settled::Failed(record, fault) => {
                self.failed.entry(offset).or_insert((record, fault));
            }
        }
        self.verdict(index, offset)
    }

    fn verdict(&mut self, index: usize, offset: Offset) -> Option<RecordOutcome<T>> {
        let block = self.blocks.get_mut(index)?;
        let published = block.is_published(offset);
        let slot = block.slot(offset)?;
        let settled = slot.settled;
        if slot.used? > settled {
            return None;
        }
        let failed = if self.failed.is_empty() { None } else { self.failed.remove(&offset) };
        match failed {
            Some((record, fault)) if !published => Some(RecordOutcome::DeadLetter(record, fault)),
            _ => {
                self.end_in(index, offset);
                Some(if published {
                    RecordOutcome::Published
                } else {
                    RecordOutcome::Dropped { used: settled > 0 }
                })
            }
        }
    }

    pub(super) fn end(&mut self, offset: Offset) {
        if let Some(index) = self.find(offset) {
            self.end_in(index, offset);
        }
    }

    /// Ends a record if it is in a published result; true if it is.
    pub(super) fn end_if_published(&mut self, offset: Offset) -> bool {
        let Some(index) = self.find(offset) else { return false };
        let is_published = self.blocks.get(index).is_some_and(|block| block.is_published(offset));
        if is_published {
            self.end_in(index, offset);
        }
        is_published
    }

    fn end_in(&mut self, index: usize, offset: Offset) {
        let is_last = index + 1 == self.blocks.len();
        let Some(block) = self.blocks.get_mut(index) else { return };
        if !block.end(offset) {
            return;
        }
        let has_ended = block.has_ended();
        self.open -= 1;
        self.is_dirty = true;
        self.is_reshaped |= self.open == 0;
        if has_ended && !is_last {
            self.close(index);
        }
    }

    fn find(&self, offset: Offset) -> Option<usize> {
        let start = start_of(offset);
        let first = self.blocks.front()?.start;
        // Blocks are adjacent unless many offsets in a row are missing: the guess is mostly right.
        let guess = usize::try_from(start.checked_sub(first)? / OFFSETS).ok()?;
        match self.blocks.get(guess) {
            Some(block) if block.start == start => Some(guess),
            _ => self.blocks.binary_search_by_key(&start, |block| block.start).ok(),
        }
    }

    fn append(&mut self, start: i64) {
        self.is_reshaped = true;
        self.blocks.push_back(OffsetBlock::new(start, self.spare.pop().unwrap_or_default()));
        self.live += 1;
        let index = self.blocks.len() - 1;
        self.rows += usize::from(self.begins_row(index));
        let Some(before) = index.checked_sub(1) else { return };
        let Some(block) = self.blocks.get(before) else { return };
        self.fill = self.fill - self.fill / 8 + (block.records() << 8) / 8;
        if block.has_ended() {
            self.close(before);
        }
    }

    /// True if a block is the first of a row of adjacent open blocks.
    fn begins_row(&self, index: usize) -> bool {
        let Some(block) = self.blocks.get(index).filter(|block| !block.is_closed) else { return false };
        let before = index.checked_sub(1).and_then(|before| self.blocks.get(before));
        before.is_none_or(|before| before.is_closed || before.start + OFFSETS != block.start)
    }

    fn close(&mut self, index: usize) {
        let begun =
            |track: &Self| usize::from(track.begins_row(index)) + usize::from(track.begins_row(index + 1));
        let before = begun(self);
        let Some(block) = self.blocks.get_mut(index) else { return };
        let slots = block.close();
        if self.spare.len() < SPARE {
            self.spare.push(slots);
        }
        self.live -= 1;
        self.rows = self.rows + begun(self) - before;
        self.is_reshaped = true;
        while let Some(block) = self.blocks.front().filter(|block| block.is_closed) {
            self.next = block.next().unwrap_or(self.next).max(self.next);
            self.blocks.pop_front();
        }
    }

    /// The offset of the first record that has not ended.
    pub(super) fn position(&mut self) -> NextOffset {
        let front = self.blocks.front().and_then(OffsetBlock::next);
        self.next = front.unwrap_or(self.next).max(self.next);
        if self.open == 0 {
            self.next = self.restored.through(self.next);
        }
        self.next
    }

    /// Writes the ended records, and the published ones that have not ended, into `progress`, replacing its content.
    pub(super) fn progress(&self, progress: &mut Progress) {
        let mut runs = MapBuilder::new(progress);
        for block in &self.blocks {
            runs.add(block);
        }
        let read_to = self.read_to();
        runs.add_progress(self.restored.ended(read_to), self.restored.published(read_to));
        runs.finish();
    }

    pub(super) fn in_flight(&self) -> usize {
        self.open
    }

    fn read_to(&self) -> NextOffset {
        self.opened.map_or(self.next, Offset::next)
    }

    /// The largest size of the map if `under_way` more records are consumed before intake has paused.
    ///
    /// Two ways to write the map are always possible. In the first, each row of open blocks is a stretch with a base-3
    /// digit for each offset, five to a byte. Between rows, where all records have ended, are runs, which only grow. In
    /// the second, the whole map is one such stretch. The map is never longer than the shorter of the two.
    pub(super) fn worst(&self, under_way: usize) -> Worst {
        let read_to = self.read_to();
        let fill = (self.fill >> 8).max(1) as usize;
        let coming_blocks = under_way.div_ceil(fill);
        let end = self.restored.end().map_or(read_to, |end| end.max(read_to));
        let span = end.0.abs_diff(self.next.0).saturating_add(64 * coming_blocks as u64);
        let number = usize::try_from(varint_len(span.saturating_mul(4))).unwrap_or(usize::MAX);
        // A gap, a length of at most three bytes, rounding; and the gap and the length of a run.
        let of_row = number + 3 + 1 + 2 * number;
        let first = self.blocks.front().map_or(read_to.0, |block| block.start);
        let whole = usize::try_from(read_to.0.abs_diff(first) / 5).unwrap_or(usize::MAX);
        let rows = of_blocks(self.live) + of_row * self.rows;
        let ahead = self.restored.end().map_or(0, |end| end.0.saturating_sub(read_to.0));
        let known = rows.min(whole.saturating_add(8)) + self.restored.bytes(read_to) + 3 * of_row;
        Worst {
            known: if self.open == 0 { 0 } else { known },
            coming: of_blocks(coming_blocks) + 16,
            is_replay: u64::try_from(ahead).is_ok_and(|ahead| ahead > 64 * coming_blocks as u64),
        }
    }
}

/// The number of bytes for blocks with a base-3 digit for each offset, five to a byte.
fn of_blocks(blocks: usize) -> usize {
    (64 * blocks).div_ceil(5)
}
