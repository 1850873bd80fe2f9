//! The cost for streams of resharding while records arrive.

use std::time::Duration;

use lockstep_assemble::Failure;
use lockstep_engine::scaling::Policy;
use lockstep_engine::sharding::ShardResize;
use lockstep_engine::time::Timestamp;
use lockstep_telemetry::{HistogramSnapshot, Metrics};

use super::pairs::{Feeder, PairTopics, Workload, fill};
use crate::drive::{Span, drive, flood};
use crate::ground::Ground;
use crate::pipelines::Folder;
use crate::report::{Case, Goal, quantile};

/// The numbers of shards that are requested in turn.
const SHARDS: [usize; 4] = [3, 2, 4, 1];
/// The load as a share of the sustainable rate. The constant below bounds it to the pairs a second that a feeder can send.
const LOAD: f64 = 0.5;
const MOST: f64 = 4000.0;
/// In the flood that finds out.
const FLOOD: u64 = 20_000;
/// The time after a request during which samples count as affected. The process sees it within 100 ms.
const WINDOW: Duration = Duration::from_millis(250);

/// Streams do this when a number of shards is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    Move,
    Stay,
}

pub(super) fn run(ground: &Ground) -> Result<Vec<Case>, Failure> {
    let folder = Folder::new()?;
    folder.add_identity()?;
    let workload = Workload::identity();
    let topics = PairTopics::new(ground)?;
    let pipeline = workload.pipeline(ground, &folder, &topics, Policy::Fixed)?;
    let pairs = workload.room(ground).map_or(FLOOD, |room| room.min(FLOOD));
    fill(Feeder::start(&pipeline.kafka, &topics, &workload.values)?, pairs, MOST)?;
    let takes = pairs as f64 / flood(pipeline, pairs, false)?.seconds;
    let rate = (takes * LOAD).min(MOST);
    eprintln!("load: the identity takes {takes:.0} pairs/s; shards change at {rate:.0}");

    let topics = PairTopics::new(ground)?;
    let pipeline = workload.pipeline(ground, &folder, &topics, Policy::Fixed)?;
    let kafka = pipeline.kafka.clone();
    let lasts = ground.budget.min(Duration::from_secs(60));
    let every = (lasts / 16).clamp(Duration::from_millis(500), Duration::from_secs(1));
    let pairs = (rate * lasts.as_secs_f64()).ceil() as u64;
    let before = pauses(&ground.metrics);
    let mut asked: Vec<(Timestamp, ShardResize)> = Vec::new();
    let round = drive(pipeline, pairs, true, |live| {
        let mut feeder = Feeder::start(&kafka, &topics, &workload.values)?;
        let (mut next, mut numbers) = (Timestamp::now().after(every), SHARDS.into_iter().cycle());
        feeder.pace_behind_first(live, rate, pairs, |due| {
            if due >= next
                && let Some(to) = numbers.next()
            {
                asked.push((Timestamp::now(), ShardResize { from: live.status.shards.current(), to }));
                live.status.shards.override_with(to);
                next = due.after(every);
            }
        })?;
        feeder.finish()
    })?;
    Ok(cases(&round.spans, &asked, every, &pauses(&ground.metrics).since(&before)))
}

/// The pauses of streams that have moved so far.
fn pauses(metrics: &Metrics) -> HistogramSnapshot {
    let mut all = metrics.histograms().into_iter();
    let found = all.find(|histogram| histogram.name() == "lockstep_moved_stream_pause_seconds");
    found.map(|histogram| histogram.value).unwrap_or_default()
}

/// The times of samples, in milliseconds, from the poll of the later of a pair until its bundle had closed and been decoded.
fn waits<'a>(spans: impl Iterator<Item = &'a Span>) -> Vec<f64> {
    spans.map(|span| span.closing as f64 / 1e6).collect()
}

fn cases(
    spans: &[Span],
    asked: &[(Timestamp, ShardResize)],
    every: Duration,
    pauses: &HistogramSnapshot,
) -> Vec<Case> {
    let within = |span: &Span, from: Timestamp| {
        let after = span.complete_at.nanos_since(from);
        after >= 0 && Duration::from_nanos(after.unsigned_abs()) < WINDOW
    };
    let meanwhile = |span: &Span| {
        let (_, resize) = asked.iter().find(|(at, _)| within(span, *at))?;
        Some(if resize.moves(&span.stream).is_some() { Then::Move } else { Then::Stay })
    };
    // As long, half way to the next: the same load at about the same time, without a change.
    let quiet = |span: &Span| asked.iter().any(|(at, _)| within(span, at.after(every / 2)));
    let moved = waits(spans.iter().filter(|span| meanwhile(span) == Some(Then::Move)));
    let stayed = waits(spans.iter().filter(|span| meanwhile(span) == Some(Then::Stay)));
    let unchanged = waits(spans.iter().filter(|span| quiet(span)));
    let streams = pauses.mean().zip(pauses.quantile(0.99)).map(|(mean, p99)| {
        [
            Case::alone("shards: pause of a moved stream, mean", mean * 1e3, "ms"),
            Case::alone("shards: pause of a moved stream, p99 at most", p99 * 1e3, "ms")
                .goal(Goal::AtMost(10.0)),
        ]
    });
    let against = |name: &str, of: &[f64], share: f64| {
        Case::against(name, quantile(of, share), quantile(&unchanged, share), "ms")
    };
    let figures = [
        Case::alone("shards: changes of their number", asked.len() as f64, "changes"),
        against("shards: samples that move, p50, by those at rest", &moved, 0.5),
        against("shards: samples that move, p99, by those at rest", &moved, 0.99),
        against("shards: samples that stay, p50, by those at rest", &stayed, 0.5),
        against("shards: samples that stay, p99, by those at rest", &stayed, 0.99),
    ];
    streams.into_iter().flatten().chain(figures).collect()
}
