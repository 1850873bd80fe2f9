//! The recording of a process for its plot: from the first look to the last, in bounded memory.

use std::time::Instant;

use lockstep_engine::time::Timestamp;
use lockstep_http::StageScaling;

use super::look::Look;
use crate::plot::course::{Count, Course, Moment, POINTS, Picture};

/// The number of points at which each two are merged into one.
const MOST: usize = 2 * POINTS;
/// The most steps that are drawn: their names come from outside.
const STEPS: usize = 16;

/// The looks at a process, drawn as points in time.
#[derive(Debug)]
pub(super) struct Recording {
    address: String,
    began: Instant,
    began_at: Timestamp,
    /// The steps that have instances, in order of first appearance.
    steps: Vec<String>,
    moments: Vec<Moment>,
    /// The number of looks merged into one point.
    looks_each: u32,
    /// The maximum of the looks of the next point, and their number.
    next: Option<(Moment, u32)>,
    /// True once the process has answered.
    answered: bool,
}

impl Recording {
    pub(super) fn new(address: &str, began: Instant, began_at: Timestamp) -> Self {
        Self {
            address: address.to_owned(),
            began,
            began_at,
            steps: Vec::new(),
            moments: Vec::new(),
            looks_each: 1,
            next: None,
            answered: false,
        }
    }

    /// Returns true once the process has answered.
    pub(super) fn has_answered(&self) -> bool {
        self.answered
    }

    /// Records an answer and returns its measures.
    pub(super) fn seen(&mut self, look: &Look<'_>) -> Moment {
        self.answered = true;
        let moment = self.moment(look);
        self.add(moment.clone());
        moment
    }

    /// Records a look without an answer, a gap in the lines of the plot.
    pub(super) fn away(&mut self, at: Instant) {
        self.add(Moment::unknown(self.seconds(at)));
    }

    /// The plot of all looks. None if the process has never answered.
    pub(super) fn picture(mut self) -> Option<Picture> {
        self.moments.extend(self.next.take().map(|(moment, _)| moment));
        let seconds = self.moments.last().filter(|_| self.answered)?.at;
        let from = Timestamp::from_millis(self.began_at.as_millis().div_euclid(1_000) * 1_000);
        let mut words = format!("{}, {seconds:.0} s from {from} on", self.address);
        if self.looks_each > 1 {
            words.push_str(&format!("; each point is the greatest of {} looks", self.looks_each));
        }
        Some(Picture {
            title: "Scaling".to_owned(),
            words,
            seconds,
            target: None,
            steps: self.steps,
            courses: vec![Course { name: String::new(), moments: self.moments }],
        })
    }

    fn seconds(&self, at: Instant) -> f64 {
        at.duration_since(self.began).as_secs_f64()
    }

    fn moment(&mut self, look: &Look<'_>) -> Moment {
        let now = look.now;
        let known = |value: Option<f64>| value.unwrap_or(f64::NAN);
        let count = |scaling: &StageScaling| Count {
            now: scaling.current as f64,
            wanted: known(scaling.wanted.map(|wanted| wanted as f64)),
        };
        for step in now.steps.keys() {
            if self.steps.len() < STEPS && !self.steps.contains(step) {
                self.steps.push(step.clone());
            }
        }
        let instances = self
            .steps
            .iter()
            .map(|step| now.steps.get(step).map_or(Count::UNKNOWN, |step| count(&step.scaling)));
        let latency = look.latency("total").and_then(|latency| latency.quantile(0.99));
        Moment {
            at: self.seconds(look.at),
            arrivals: known(now.load.arrival_records_per_second),
            results: known(look.per_second(|status| status.results.acknowledged)),
            lag: known(now.lag_records().map(|lag| lag as f64)),
            age: known(now.oldest_event_age_seconds()),
            shards: count(&now.shards.scaling),
            instances: instances.collect(),
            // A value beyond the last bucket is unknown.
            latency: known(latency.filter(|p99| p99.is_finite())),
            replicas: known(now.load.desired_replicas),
        }
    }

    fn add(&mut self, moment: Moment) {
        let (moment, looks) = match self.next.take() {
            Some((before, looks)) => (before.merge(moment), looks + 1),
            None => (moment, 1),
        };
        if looks < self.looks_each {
            self.next = Some((moment, looks));
            return;
        }
        self.moments.push(moment);
        if self.moments.len() >= MOST {
            let mut moments = std::mem::take(&mut self.moments).into_iter();
            while let Some(first) = moments.next() {
                self.moments.push(match moments.next() {
                    Some(second) => first.merge(second),
                    None => first,
                });
            }
            self.looks_each = self.looks_each.saturating_mul(2);
        }
    }
}

#[cfg(test)]
#[path = "recording_tests.rs"]
mod tests;
