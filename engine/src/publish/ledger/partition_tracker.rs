//! The records in flight of one partition, in blocks of 64 offsets, and what its position and map are.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use super::block::{Before, Block, OFFSETS, Runs, Slot, start_of};
use super::metadata_pressure::MetadataPressure;
use super::restored::Restored;
use super::{Settled, Verdict};
use crate::completion::{Progress, varint_len};
use crate::fault::Fault;
use crate::position::{NextOffset, Offset};

/// How many blocks' memory is kept for those to come.
const SPARE: usize = 64;

/// One assignment of a partition.
#[derive(Debug)]
pub(super) struct PartitionTracker<T> {
    pub(super) assignment: u32,
    /// The position as last told, or as the blocks that are gone have left it.
    next: NextOffset,
    /// The last record that was consumed.
    opened: Option<Offset>,
    /// How many records have not ended.
    open: usize,
    /// By offset. None is closed at the front, and the last never is.
    blocks: VecDeque<Block>,
    /// Records that a bundle failed with and that no other has published.
    failed: FxHashMap<Offset, (T, Fault)>,
    restored: Restored,
    /// Blocks that are not closed, and rows of such blocks.
    live: usize,
    rows: usize,
    /// How many records a block has, times 256: a moving average.
    fill: u32,
    spare: Vec<Vec<Slot>>,
    /// Whether the position or the map may have changed since told.
    pub(super) is_dirty: bool,
    /// Whether its bounds may have changed since [`Self::pressure`] was last decided.
    pub(super) is_reshaped: bool,
    pub(super) pressure: Option<MetadataPressure>,
    pub(super) is_withheld: bool,
}

/// What the map of a track may take, at most, however its records end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Worst {
    /// Of the records that were consumed, in bytes; 0 if none is in flight.
    pub(super) known: usize,
    /// Of those under way.
    pub(super) coming: usize,
    /// Whether all those under way were consumed once before, so that they add nothing.
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
            restored: Restored::new(start, progress),
            live: 0,
            rows: 0,
            fill: 64 << 8,
            spare: Vec::new(),
            // Where reading began is committed before anything has ended: whoever comes next must not begin behind it.
            is_dirty: true,
            is_reshaped: false,
            pressure: None,
            is_withheld: false,
        }
    }

    pub(super) fn open(&mut self, offset: Offset) {
        // What is there already keeps what is known of it.
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

    /// The buffers have let a record go; `used` bundles contained it.
    pub(super) fn release(&mut self, offset: Offset, used: u32) -> Option<Verdict<T>> {
        let index = self.find(offset)?;
        self.blocks.get_mut(index)?.slot(offset)?.used = Some(used);
        self.verdict(index, offset)
    }

    pub(super) fn settle(&mut self, offset: Offset, how: Settled<T>) -> Option<Verdict<T>> {
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

    fn verdict(&mut self, index: usize, offset: Offset) -> Option<Verdict<T>> {
        let block = self.blocks.get_mut(index)?;
        let published = block.is_published(offset);
        let slot = block.slot(offset)?;
        let settled = slot.settled;
        if slot.used? > settled {
            return None;
        }
        let failed = if self.failed.is_empty() { None } else { self.failed.remove(&offset) };
        match failed {
            Some((record, fault)) if !published => Some(Verdict::DeadLetter(record, fault)),
            _ => {
                self.end_in(index, offset);
                Some(if published { Verdict::Published } else { Verdict::Dropped { used: settled > 0 } })
            }
        }
    }

    pub(super) fn end(&mut self, offset: Offset) {
        if let Some(index) = self.find(offset) {
            self.end_in(index, offset);
        }
    }

    /// Ends a record if it is in a published result. Says whether it is.
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
        // Blocks follow one another unless many offsets in a row are missing: the guess is mostly right.
        let guess = usize::try_from(start.checked_sub(first)? / OFFSETS).ok()?;
        match self.blocks.get(guess) {
            Some(block) if block.start == start => Some(guess),
            _ => self.blocks.binary_search_by_key(&start, |block| block.start).ok(),
        }
    }

    fn append(&mut self, start: i64) {
        self.is_reshaped = true;
        self.blocks.push_back(Block::new(start, self.spare.pop().unwrap_or_default()));
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

    /// Whether a block is the first of a row of blocks that are not closed and follow one another.
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

    /// The first record that has not ended.
    pub(super) fn position(&mut self) -> NextOffset {
        let front = self.blocks.front().and_then(Block::next);
        self.next = front.unwrap_or(self.next).max(self.next);
        if self.open == 0 {
            self.next = self.restored.through(self.next);
        }
        self.next
    }

    /// Writes what has ended, and what is published and has not, into `progress`, in place of what is there.
    pub(super) fn progress(&self, progress: &mut Progress) {
        let mut runs = Runs::new(progress);
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

    /// What the map may take at most, if `under_way` records are yet to be consumed before intake has paused.
    ///
    /// Whatever becomes of the records, the map can be written so: of each row of blocks that are not closed a stretch
    /// with a digit of three for each offset, five to a byte; and between them, where all has ended, runs, which
    /// only become longer. Or all of it as one such stretch. What is written is never longer than either.
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

/// How many bytes blocks take with a digit of three for each offset, five to a byte.
fn of_blocks(blocks: usize) -> usize {
    (64 * blocks).div_ceil(5)
}
