//! Bundles that are emitted before they are final, and emitted again when they change.
//!
//! The rules of a pivot (see `pivot`) decide when a bundle is final, with the allowed lateness added to all waits.
//! This module emits the same bundles earlier: *on time*, when they would close without that lateness, or *early*,
//! when each required input has enough. After that a late sample may change them. If samples are used once or lie between
//! pivots, it may also change the bundles after them. A bundle that would be dropped or dead-lettered by its policies is not
//! emitted until it is final, since it could not be withdrawn.
//!
//! Each sample makes a pass over all open pivots, so its cost grows with the number of pivots within the lateness.

use smallvec::SmallVec;

use super::bundle::Lack;
use super::cover::Places;
use super::event::Event;
use super::input_buffer::{FoundSamples, InputBuffer};
use super::pivot::{Pivot, part_of_pivot};
use super::policy::Missing;
use super::verdict::{Closing, Emission, begin, counts, cut_short, lack};
use super::view::{NEVER, StreamView};

/// The last emitted result of a bundle that is not final.
#[derive(Debug)]
pub(super) struct Provisional {
    /// The number of times it was emitted.
    pub(super) times: u32,
    /// Set if it was emitted on time, and not only early.
    on_time: bool,
    content: Content,
}

/// The numbers of the samples of a bundle, input by input. A word that is no number precedes those of each input.
type Content = Vec<u32>;

/// The samples that each asked input has for a pivot.
type Finds = SmallVec<[FoundSamples; 3]>;

/// Some of the inputs.
type InputSet = SmallVec<[usize; 4]>;

impl Provisional {
    /// Adds the found samples of one input.
    pub(super) fn note<T>(content: &mut Content, buffer: &InputBuffer<T>, found: &FoundSamples) {
        content.push(if found.held { u32::MAX } else { u32::MAX - 1 });
        content.extend(buffer.numbers(found));
    }

    /// The place of the final result, given the earlier results and the content that the bundle has now.
    pub(super) fn last(emitted: Option<&Self>, content: Option<Content>) -> Emission {
        let Some((emitted, content)) = emitted.zip(content) else { return Emission::ONLY };
        let is_repeated = emitted.content == content;
        let revision = if is_repeated { emitted.times.saturating_sub(1) } else { emitted.times };
        Emission { revision, is_final: true, is_repeated }
    }
}

impl<T: Clone> Pivot<T> {
    /// Emits the bundles that are on time or early for the first time, and those that have changed.
    pub(super) fn emit_ahead(&mut self, view: &StreamView<'_>, out: &mut Vec<Event<T>>) {
        let mut reserved: SmallVec<[Places; 3]> = self.buffers.iter().map(|_| Places::new()).collect();
        let mut before = self.closed.time;
        let mut all_on_time = true;
        for index in 0..self.open.len() {
            let Some(pivot) = self.open.get(index) else { break };
            let time = pivot.time;
            if pivot.item.is_none() {
                before = time;
                continue;
            }
            let waited =
                pivot.waits_since.saturating_add(view.rules.max_wait - view.rules.lateness) <= view.now;
            all_on_time &= waited || self.is_on_time(view, time, &reserved);
            let finds = self.find_all(view, before, time, &reserved);
            let cut_inputs = if all_on_time {
                self.cut_on_time(view, time, waited, &finds, &reserved)
            } else {
                InputSet::new()
            };
            for (reserved, found) in reserved.iter_mut().zip(&finds) {
                if !found.held {
                    reserved.extend_from_slice(&found.places);
                }
            }
            self.emit_one(view, index, before, finds, (all_on_time, waited, &cut_inputs), out);
            before = time;
        }
    }

    /// Returns true if no sample that comes in time changes what a pivot finds.
    fn is_on_time(&self, view: &StreamView<'_>, t: i64, reserved: &[Places]) -> bool {
        let watermark = |input| view.watermark(input).saturating_add(view.rules.lateness);
        let idle = |input| view.is_idle_on_time(input);
        let own = view.rules.pivot;
        let mut buffers = self.buffers.iter().zip(&view.rules.asked).zip(reserved);
        (watermark(own) >= t || idle(own))
            && buffers.all(|((buffer, (input, rule)), reserved)| {
                buffer.settled(rule, watermark(*input), t, reserved) || idle(*input)
            })
    }

    /// The inputs that might have brought more in time to a bundle that is emitted as it is.
    fn cut_on_time(
        &self,
        view: &StreamView<'_>,
        t: i64,
        waited: bool,
        finds: &Finds,
        reserved: &[Places],
    ) -> InputSet {
        let buffers = self.buffers.iter().zip(&view.rules.asked).zip(finds).zip(reserved);
        let cut = buffers.filter(|(((buffer, (input, rule)), found), reserved)| {
            let idle = view.is_idle_on_time(*input);
            let watermark = view.watermark(*input).saturating_add(view.rules.lateness);
            (waited || idle)
                && !(idle && found.holds_on(rule))
                && !buffer.settled(rule, watermark, t, reserved)
        });
        cut.map(|(((_, (input, _)), _), _)| *input).collect()
    }

    fn find_all(&self, view: &StreamView<'_>, before: i64, t: i64, reserved: &[Places]) -> Finds {
        let buffers = self.buffers.iter().zip(&view.rules.asked).zip(reserved);
        buffers.map(|((buffer, (_, rule)), reserved)| buffer.find(rule, before, t, reserved)).collect()
    }

    /// Emits one bundle if it is due.
    fn emit_one(
        &mut self,
        view: &StreamView<'_>,
        index: usize,
        before: i64,
        finds: Finds,
        (on_time, waited, cut_inputs): (bool, bool, &InputSet),
        out: &mut Vec<Event<T>>,
    ) {
        let mut content = Content::new();
        let (mut enough, mut withheld) = (true, false);
        for ((buffer, (_, rule)), found) in self.buffers.iter().zip(&view.rules.asked).zip(&finds) {
            Provisional::note(&mut content, buffer, found);
            if let Some(lack) = lack(rule, found.places.len(), found.coverage, found.held) {
                enough = false;
                withheld |= counts(lack, rule) && matches!(rule.missing, Missing::Drop | Missing::DeadLetter);
            }
        }
        let Some(pivot) = self.open.get_mut(index) else { return };
        let Some(item) = pivot.item.clone() else { return };
        let (times, due) = match pivot.emitted.as_deref_mut() {
            None => (0, !withheld && (on_time || (view.rules.early && enough))),
            Some(emitted) => {
                emitted.on_time |= on_time;
                (emitted.times, emitted.on_time && emitted.content != content)
            }
        };
        if !due {
            return;
        }
        let on_time = on_time || pivot.emitted.as_ref().is_some_and(|emitted| emitted.on_time);
        pivot.emitted = Some(Box::new(Provisional { times: times.saturating_add(1), on_time, content }));
        let (time, arrived, record) = (pivot.time, pivot.arrived, pivot.record(view));
        let mut bundle = begin(view, time, record, view.rules.inputs.len());
        let buffers = self.buffers.iter_mut().zip(finds);
        bundle.parts.extend(buffers.map(|(buffer, found)| buffer.take(&found, false)));
        bundle.parts.insert(view.rules.pivot.min(bundle.parts.len()), part_of_pivot(time, item));
        let closing = Closing {
            bundle,
            first: before == i64::MIN,
            opened_at: arrived,
            // Late samples do not count here.
            cut_short: cut_short(waited, (!cut_inputs.is_empty()).then_some(Lack::Idle)),
            emission: Emission { revision: times, is_final: false, is_repeated: false },
        };
        out.push(closing.into_event(view, |input| !cut_inputs.contains(&input)));
    }
}

impl<T> Pivot<T> {
    /// The time at which time alone makes a bundle on time. It may be early, never late.
    pub(super) fn ahead_deadline(&self, view: &StreamView<'_>) -> i64 {
        let lateness = view.rules.lateness;
        let to_come = |at: i64| Some(at.saturating_sub(lateness)).filter(|at| *at > view.now);
        let idle = (0..view.rules.inputs.len()).filter_map(|input| to_come(view.idle_at(input)));
        let waits =
            self.open.iter().filter(|pivot| pivot.emitted.as_ref().is_none_or(|emitted| !emitted.on_time));
        let waited = waits.filter_map(|pivot| to_come(pivot.waits_since.saturating_add(view.rules.max_wait)));
        idle.chain(waited).min().unwrap_or(NEVER)
    }
}
