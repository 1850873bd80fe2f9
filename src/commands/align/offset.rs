//! `--estimate-offset`: how far the clock of an input is off, by stream and over all.

use std::collections::BTreeMap;

use lockstep_engine::align::AlignPolicy;
use lockstep_engine::align::offset::{Basis, Estimate, OffsetEstimator, Outcome, Side, agree, together};
use lockstep_engine::position::InputId;
use lockstep_engine::sample::StreamKey;
use lockstep_engine::time::Timestamp;
use serde_json::{Map, Value, json};

use super::lines::DryRunSample;
use super::report::{columns, printable, show, show_signed};

/// The most streams that have a line for people.
const STREAMS: usize = 20;

/// An input that is compared with another, in every stream.
pub(super) struct Comparison {
    input: InputId,
    reference: InputId,
    /// The configured `clock_offset` in nanoseconds, which the estimate replaces.
    configured: i64,
    streams: BTreeMap<StreamKey, OffsetEstimator>,
}

/// The estimates of both methods, and of both together.
struct OffsetEstimates {
    by_events: Outcome,
    by_arrivals: Outcome,
}

impl Comparison {
    /// Reads `INPUT[=REFERENCE]`. The reference is the pivot if not named, or the first other input.
    ///
    /// # Errors
    /// Which input is not there, and which are.
    pub(super) fn new(
        text: &str,
        names: &[String],
        offsets: &[i64],
        policy: &AlignPolicy,
    ) -> Result<Self, String> {
        let find = |name: &str| {
            (0_u16..).zip(names).find_map(|(id, known)| (known == name).then_some(InputId(id))).ok_or_else(
                || {
                    format!(
                        "--estimate-offset: there is no input {name:?} in the pipeline; it has {}",
                        names.join(", ")
                    )
                },
            )
        };
        let (input, reference) = match text.split_once('=') {
            Some((input, reference)) => (find(input)?, Some(find(reference)?)),
            None => (find(text)?, None),
        };
        let others = || (0_u16..).zip(names).map(|(id, _)| InputId(id)).find(|other| *other != input);
        let reference = reference.or_else(|| policy.pivot().filter(|pivot| *pivot != input)).or_else(others);
        match reference {
            Some(reference) if reference != input => {
                let configured = offsets.get(input.index()).copied().unwrap_or(0);
                Ok(Self { input, reference, configured, streams: BTreeMap::new() })
            }
            _ => Err(format!(
                "--estimate-offset: {text:?} compares an input with itself; name another, as INPUT=REFERENCE"
            )),
        }
    }

    pub(super) fn sample(&mut self, item: &DryRunSample) {
        let side = match item.input {
            input if input == self.input => Side::Input,
            input if input == self.reference => Side::Reference,
            _ => return,
        };
        if !self.streams.contains_key(&item.stream) {
            self.streams.insert(item.stream.clone(), OffsetEstimator::new());
        }
        let mut time = item.stamp.event_time;
        if side == Side::Input {
            time = Timestamp::from_nanos(time.as_nanos().saturating_sub(self.configured));
        }
        if let Some(estimator) = self.streams.get_mut(&item.stream) {
            estimator.observe(side, time, item.stamp.duration, item.arrival);
        }
    }

    /// The estimates by stream, and over all streams.
    fn estimates(&self) -> (Vec<(&StreamKey, OffsetEstimates)>, OffsetEstimates) {
        let streams: Vec<(&StreamKey, OffsetEstimates)> = self
            .streams
            .iter()
            .map(|(stream, estimator)| {
                (
                    stream,
                    OffsetEstimates {
                        by_events: estimator.by_events(),
                        by_arrivals: estimator.by_arrivals(),
                    },
                )
            })
            .collect();
        let all = |pick: &dyn Fn(&OffsetEstimates) -> Outcome| {
            let outcomes: Vec<Outcome> = streams.iter().map(|(_, told)| pick(told)).collect();
            together(&outcomes)
        };
        let all = OffsetEstimates {
            by_events: all(&|told| told.by_events.clone()),
            by_arrivals: all(&|told| told.by_arrivals.clone()),
        };
        (streams, all)
    }

    /// For people.
    pub(super) fn report(&self, names: &[String]) -> String {
        let (input, reference) = (name(names, self.input), name(names, self.reference));
        let (streams, all) = self.estimates();
        let mut text =
            format!("clock offset of {input} against {reference}: what to add to the times of {input}\n\n");
        let mut rows = vec![["stream", "by events", "by arrivals"].map(String::from).to_vec()];
        let row = |name: &str, told: &OffsetEstimates| {
            vec![name.to_owned(), say(&told.by_events), say(&told.by_arrivals)]
        };
        rows.extend(
            streams.iter().take(STREAMS).map(|(stream, told)| row(&printable(stream.as_str()), told)),
        );
        rows.push(row("all", &all));
        text.push_str(&columns(&rows));
        if streams.len() > STREAMS {
            text.push_str(&format!("{} more streams are not shown.\n", streams.len() - STREAMS));
        }
        text.push('\n');
        match agree(&all.by_events, &all.by_arrivals) {
            Some((estimate, basis)) if estimate.confidence >= 0.3 => {
                let by = match (basis, &all.by_events) {
                    (Basis::Events, _) => "the pattern of events".to_owned(),
                    (Basis::Both, Outcome::Ambiguous { period_ns: Some(period), .. }) => format!(
                        "the pattern of events, and by arrivals which of the offsets that fit; right if the quickest \
                         ways of the two inputs differ by less than {}",
                        show(period / 2)
                    ),
                    _ => "the least delays from event to arrival; what the quickest ways of the two inputs differ goes \
                          into it unseen"
                        .to_owned(),
                };
                text.push_str(&format!("To correct it, as told by {by}:\n\n{}\n", lines(input, &estimate)));
            }
            Some(_) => text.push_str("The streams differ: one offset for all of them would be wrong.\n"),
            None => text.push_str(&match &all.by_events {
                Outcome::Ambiguous { nearest, period_ns } => {
                    let others = period_ns.map_or_else(
                        || "Other offsets fit as well".to_owned(),
                        |period| format!("Any multiple of {} more or less fits as well", show(period)),
                    );
                    format!(
                        "{others}: no offset is named. If it is known to be nearest to zero:\n\n{}\n",
                        lines(input, nearest)
                    )
                }
                Outcome::TooFew { .. } => "There are too few events to tell: at least 10 of each are needed, and 20 \
                    with arrival_ns.\n"
                    .to_owned(),
                _ => "No offset stands out: the two may not notice the same things, or at times too regular to tell.\n"
                    .to_owned(),
            }),
        }
        text
    }

    /// For programs. Times are in nanoseconds.
    pub(super) fn json(&self, names: &[String]) -> Value {
        let (streams, all) = self.estimates();
        let told = |told: &OffsetEstimates| {
            let best = agree(&told.by_events, &told.by_arrivals).map(|(estimate, _)| estimate.offset_ns);
            json!({
                "offset_ns": best,
                "by_events": outcome(&told.by_events),
                "by_arrivals": outcome(&told.by_arrivals),
            })
        };
        let streams: Map<String, Value> =
            streams.iter().map(|(stream, of_stream)| (stream.as_str().to_owned(), told(of_stream))).collect();
        json!({
            "input": name(names, self.input),
            "reference": name(names, self.reference),
            "all": told(&all),
            "streams": streams,
        })
    }
}

fn name(names: &[String], input: InputId) -> &str {
    names.get(input.index()).map_or("", String::as_str)
}

fn say(outcome: &Outcome) -> String {
    let estimate = |estimate: &Estimate| {
        format!(
            "{} ± {}, confidence {:.2}, {} events",
            show_signed(estimate.offset_ns),
            show(estimate.spread_ns),
            estimate.confidence,
            estimate.events
        )
    };
    match outcome {
        Outcome::Found(found) => estimate(found),
        Outcome::Ambiguous { nearest, period_ns: Some(period) } => {
            format!("ambiguous: {} modulo {}", show_signed(nearest.offset_ns), show(*period))
        }
        Outcome::Ambiguous { nearest, period_ns: None } => {
            format!("ambiguous: {} and others", show_signed(nearest.offset_ns))
        }
        Outcome::Unclear => "unclear".to_owned(),
        Outcome::TooFew { input, reference } => format!("too few: {input} and {reference}"),
    }
}

fn outcome(outcome: &Outcome) -> Value {
    let estimate = |outcome: &str, estimate: &Estimate| {
        json!({
            "outcome": outcome,
            "offset_ns": estimate.offset_ns,
            "spread_ns": estimate.spread_ns,
            "confidence": estimate.confidence,
            "events": estimate.events,
        })
    };
    match outcome {
        Outcome::Found(found) => estimate("found", found),
        Outcome::Ambiguous { nearest, period_ns } => {
            let mut value = estimate("ambiguous", nearest);
            if let Some(object) = value.as_object_mut() {
                object.insert("period_ns".into(), (*period_ns).into());
            }
            value
        }
        Outcome::Unclear => json!({"outcome": "unclear"}),
        Outcome::TooFew { input, reference } => {
            json!({"outcome": "too few", "input": input, "reference": reference})
        }
    }
}

/// The lines of the configuration, rounded to what the estimate is worth.
fn lines(input: &str, estimate: &Estimate) -> String {
    let offset = if estimate.spread_ns >= 100_000 || estimate.offset_ns % 1_000_000 == 0 {
        format!("{}ms", (estimate.offset_ns as f64 / 1e6).round() + 0.0)
    } else {
        format!("{}us", (estimate.offset_ns as f64 / 1e3).round() + 0.0)
    };
    format!("[inputs.{input}]\nclock_offset = \"{offset}\"")
}
