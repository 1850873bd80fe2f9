//! Promises of the recording of a process: bounded, in order, and with every peak.

use std::time::Duration;

use lockstep_http::{InputStatus, StatusDocument, StepStatus};

use super::*;
use crate::commands::top::testing::{latencies, with_input};

fn recording(began: Instant) -> Recording {
    Recording::new("host:1", began, Timestamp::from_millis(1_250))
}

fn of_lag(lag: u64) -> StatusDocument {
    with_input("video", lag, None)
}

fn look(recording: &mut Recording, status: &StatusDocument, at: Instant) -> Moment {
    recording.seen(&Look::new(status, at, None))
}

fn step(current: usize, wanted: Option<usize>) -> StepStatus {
    StepStatus { scaling: StageScaling { current, wanted, ..Default::default() }, ..Default::default() }
}

#[test]
fn moment_has_the_measures_of_the_plot() {
    let began = Instant::now();
    let status = |results: u64| {
        let mut status = with_input("a", 30, Some(1.5));
        status.inputs.insert("b".into(), InputStatus { lag_records: Some(12), ..InputStatus::default() });
        status.results.acknowledged = results;
        status.results.latency_seconds = [("total".to_owned(), latencies(results, 0.02))].into();
        status.load.arrival_records_per_second = Some(120.0);
        status.load.desired_replicas = Some(0.75);
        status.shards.scaling = step(2, Some(3)).scaling;
        status.steps = [("faces".to_owned(), step(1, Some(4))), ("voice".to_owned(), step(2, None))].into();
        status
    };
    let mut recording = recording(began);
    let before = (status(100), began);
    let first = look(&mut recording, &before.0, began);
    assert!(first.results.is_nan() && first.latency.is_nan(), "nothing was before it: {first:?}");
    let now = status(300);
    let second = recording.seen(&Look::new(&now, began + Duration::from_secs(2), Some(&before)));
    assert_eq!((second.at, second.arrivals, second.results), (2.0, 120.0, 100.0));
    assert_eq!((second.lag, second.age, second.latency, second.replicas), (42.0, 1.5, 0.05, 0.75));
    assert_eq!(second.shards, Count { now: 2.0, wanted: 3.0 });
    assert_eq!(second.instances[0], Count { now: 1.0, wanted: 4.0 });
    assert!(second.instances[1].now == 2.0 && second.instances[1].wanted.is_nan(), "{second:?}");
    let picture = recording.picture().expect("it has answered");
    assert_eq!(picture.steps, ["faces", "voice"]);
    assert_eq!((picture.seconds, picture.courses[0].moments.len()), (2.0, 2));
    assert!(picture.words.starts_with("host:1, 2 s from 1970-01-01T00:00:01Z on"), "{}", picture.words);
}

#[test]
fn process_that_never_answered_has_no_plot() {
    let began = Instant::now();
    let mut recording = recording(began);
    recording.away(began);
    assert!(!recording.has_answered() && recording.picture().is_none());
}

#[test]
fn recording_bounds_the_number_of_steps() {
    let began = Instant::now();
    let steps = (0..1_000).map(|place| (place.to_string(), step(1, None)));
    let status = StatusDocument { steps: steps.collect(), ..StatusDocument::default() };
    let mut recording = recording(began);
    let moment = look(&mut recording, &status, began);
    assert_eq!(moment.instances.len(), STEPS);
}

#[test]
fn recording_bounds_memory_and_keeps_every_peak() {
    let (quiet, busy) = (of_lag(5), of_lag(900));
    for looks in [1, 2, 3, MOST - 1, MOST, MOST + 1, 2 * MOST - 1, 2 * MOST, 2 * MOST + 3, 7 * MOST + 77] {
        for peak in [0, looks / 3, looks - 1] {
            let began = Instant::now();
            let mut recording = recording(began);
            for place in 0..looks {
                let at = began + Duration::from_secs(place as u64);
                match place {
                    _ if place == peak => drop(look(&mut recording, &busy, at)),
                    _ if place % 7 == 3 => recording.away(at),
                    _ => drop(look(&mut recording, &quiet, at)),
                }
                assert!(recording.moments.len() < MOST);
            }
            let each = recording.looks_each as usize;
            assert!(looks < MOST || recording.moments.len() >= MOST / 2, "no coarser than it has to be");
            let moments = recording.picture().expect("it has answered").courses.remove(0).moments;
            assert_eq!(moments.len(), looks.div_ceil(each));
            assert!(moments.windows(2).all(|pair| pair[0].at < pair[1].at), "in the order of time");
            assert_eq!(moments.last().map(|moment| moment.at), Some((looks - 1) as f64));
            let highest = moments.iter().position(|moment| moment.lag == 900.0);
            assert_eq!(highest, Some(peak / each), "the peak is where it was: {looks}, {peak}");
        }
    }
}
