//! Runs: consecutive chunks joined to sound without a gap.

use std::sync::Arc;

use smallvec::SmallVec;

use super::super::fault::{RowFault, undecodable};
use super::decode::SoundHeader;
use super::pace::{Pace, PaceLine, RunPlace};
use super::stretch::Stretcher;
use super::units::{JITTER_NS, SECOND, div_round};
use crate::ingest::OnDrift;
use crate::sample::Sample;
use crate::time::Timestamp;

/// Consecutive chunks of one rate without a gap.
pub(super) struct SoundRun<'a> {
    /// The place of its beginning in the row, in samples of the row; negative if the run begins before the row.
    pub(super) at: i128,
    /// The time of its beginning.
    from: Timestamp,
    pub(super) rate: u32,
    /// Its length in frames at its own rate.
    pub(super) length: u64,
    pieces: SmallVec<[Piece<'a>; 4]>,
    /// The pace of its frames, if the source drifts.
    pace: Option<Pace>,
}

/// The share of one chunk in its run.
struct Piece<'a> {
    /// The index of the sample in its part.
    sample: usize,
    source: SoundHeader<'a>,
    /// Frames of the source that the chunk before it has already given.
    skip: u64,
    /// Its beginning in the run, in frames of chunks.
    at: u64,
}

/// An opened chunk.
struct Chunk<'a> {
    sample: usize,
    time: Timestamp,
    source: SoundHeader<'a>,
}

/// Joins consecutive chunks. `from` is the time of the row's first sample, and `rate` the rate of the row.
pub(super) fn runs<'a>(
    samples: &'a [Arc<Sample>],
    from: Timestamp,
    rate: u32,
    drift: OnDrift,
) -> Result<Vec<SoundRun<'a>>, RowFault> {
    let mut order: SmallVec<[usize; 8]> = (0..samples.len()).collect();
    // The sort is stable: of two chunks with the same time, the one that arrived first comes first.
    order.sort_by_key(|index| samples.get(*index).map(|sample| sample.event_time));
    let mut made = Runs { runs: Vec::new(), from, rate };
    let mut group: Vec<Chunk<'a>> = Vec::new();
    for index in order {
        let Some(sample) = samples.get(index) else { continue };
        let source = SoundHeader::open(&sample.media, &sample.record.payload)
            .map_err(|error| RowFault::of_sample(index, undecodable(error)))?;
        let chunk = Chunk { sample: index, time: sample.event_time, source };
        match drift {
            OnDrift::Ignore => made.join(chunk),
            OnDrift::Resample => {
                if group.last().is_some_and(|last| !chunk.may_follow(last)) {
                    made.join_drifting(&mut group);
                }
                group.push(chunk);
            }
        }
    }
    made.join_drifting(&mut group);
    Ok(made.runs)
}

struct Runs<'a> {
    runs: Vec<SoundRun<'a>>,
    from: Timestamp,
    rate: u32,
}

impl<'a> Runs<'a> {
    fn join(&mut self, chunk: Chunk<'a>) {
        let Chunk { sample, time, source } = chunk;
        let rate = i128::from(source.rate);
        match self.runs.last_mut() {
            Some(run) if run.rate == source.rate && run.pace.is_none() => {
                let since = since(time, run.from);
                let gap = since - div_round(i128::from(run.length) * SECOND, rate);
                if gap <= JITTER_NS.max(SECOND / (2 * rate)) {
                    let overlaps = gap < -JITTER_NS.max(SECOND / (2 * rate));
                    let skip =
                        if overlaps { i128::from(run.length) - div_round(since * rate, SECOND) } else { 0 };
                    let skip = u64::try_from(skip).unwrap_or(0);
                    if skip < source.frames {
                        let at = run.length;
                        run.length += source.frames - skip;
                        run.pieces.push(Piece { sample, source, skip, at });
                    }
                    return;
                }
            }
            _ => {}
        }
        self.runs.push(SoundRun {
            at: div_round(since(time, self.from) * i128::from(self.rate), SECOND),
            from: time,
            rate: source.rate,
            length: source.frames,
            pieces: SmallVec::from_iter([Piece { sample, source, skip: 0, at: 0 }]),
            pace: None,
        });
    }

    /// Joins chunks that may be one sound of a drifting source. They become one run if a drift explains their times.
    fn join_drifting(&mut self, group: &mut Vec<Chunk<'a>>) {
        let Some((first, rate)) = group.first().map(|chunk| (chunk.time, chunk.source.rate)) else { return };
        let mut frames = 0;
        let mut begins: SmallVec<[(u64, i64); 8]> = SmallVec::new();
        for chunk in group.iter() {
            begins.push((frames, since(chunk.time, first) as i64));
            frames += chunk.source.frames;
        }
        let Some(line) = PaceLine::through(&begins, rate) else {
            group.drain(..).for_each(|chunk| self.join(chunk));
            return;
        };
        let RunPlace { at, pace, length } = line.laid_out(since(first, self.from), self.rate, rate, frames);
        let pieces = group.drain(..).zip(begins);
        let pieces =
            pieces.map(|(Chunk { sample, source, .. }, (at, _))| Piece { sample, source, skip: 0, at });
        let pieces = pieces.collect();
        self.runs.push(SoundRun { at, from: first, rate, length, pieces, pace: Some(pace) });
    }
}

impl Chunk<'_> {
    /// True if it begins near the end of the one before it, with a drift of at most 2 %.
    fn may_follow(&self, last: &Self) -> bool {
        let duration = div_round(i128::from(last.source.frames) * SECOND, i128::from(last.source.rate));
        let gap = since(self.time, last.time) - duration;
        let slack = OnDrift::Resample.slack(i64::try_from(duration).unwrap_or(i64::MAX));
        self.source.rate == last.source.rate && gap.abs() <= i128::from(slack)
    }
}

impl SoundRun<'_> {
    /// The index of the sample of its first chunk.
    pub(super) fn sample(&self) -> usize {
        self.pieces.first().map_or(0, |piece| piece.sample)
    }

    /// Appends the run's frames from `begin` to `end` to `out`.
    pub(super) fn read(
        &self,
        begin: u64,
        end: u64,
        out: &mut Vec<f32>,
        stretcher: &mut Stretcher,
    ) -> Result<(), RowFault> {
        match &self.pace {
            None => self.read_chunks(begin, end, out),
            Some(pace) => {
                let frames = self.pieces.last().map_or(0, |last| last.at + last.source.frames);
                stretcher
                    .stretch(pace, begin..end, frames, out, |from, to, raw| self.read_chunks(from, to, raw))
            }
        }
    }

    /// Appends the frames of the chunks without correction.
    fn read_chunks(&self, begin: u64, end: u64, out: &mut Vec<f32>) -> Result<(), RowFault> {
        for piece in &self.pieces {
            let length = piece.source.frames - piece.skip;
            let (from, to) = (begin.max(piece.at), end.min(piece.at + length));
            if from < to {
                let offset = piece.skip;
                piece
                    .source
                    .read(from - piece.at + offset..to - piece.at + offset, out)
                    .map_err(|fault| RowFault::of_sample(piece.sample, fault))?;
            }
        }
        Ok(())
    }
}

fn since(time: Timestamp, earlier: Timestamp) -> i128 {
    i128::from(time.as_nanos()) - i128::from(earlier.as_nanos())
}
