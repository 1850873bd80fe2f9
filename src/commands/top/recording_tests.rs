//! Promises of the recording of a process: bounded, in order, and with every peak.

use std::time::Duration;

use super::*;
use lockstep_http::client::Scrape;

fn recording(began: Instant) -> Recording {
    Recording::new("host:1", began, Timestamp::from_millis(1_250))
}

fn of_lag(lag: u32) -> Scrape {
    Scrape::parse(&format!("lockstep_consumer_lag_records{{input=\"video\"}} {lag}\n"))
}

fn look(recording: &mut Recording, scrape: &Scrape, at: Instant) -> Moment {
    recording.seen(&Look::new(scrape, at, None))
}

#[test]
fn moment_has_the_measures_of_the_plot() {
    let began = Instant::now();
    let scrape = |results: u32| {
        Scrape::parse(&format!(
            "lockstep_arrival_records_per_second 120\nlockstep_results_total {results}\n\
             lockstep_consumer_lag_records{{input=\"a\"}} 30\nlockstep_consumer_lag_records{{input=\"b\"}} 12\n\
             lockstep_oldest_event_age_seconds{{input=\"a\"}} 1.5\nlockstep_oldest_event_age_seconds{{input=\"b\"}} NaN\n\
             lockstep_shards 2\nlockstep_scaling_wanted{{of=\"shards\"}} 3\n\
             lockstep_scaling_wanted{{of=\"instances of faces\"}} 4\nlockstep_instances{{step=\"faces\"}} 1\n\
             lockstep_instances{{step=\"voice\"}} 2\nlockstep_desired_replicas 0.75\n\
             lockstep_latency_seconds_bucket{{part=\"total\",le=\"0.05\"}} {results}\n\
             lockstep_latency_seconds_sum{{part=\"total\"}} 1\nlockstep_latency_seconds_count{{part=\"total\"}} {results}\n",
        ))
    };
    let mut recording = recording(began);
    let before = (scrape(100), began);
    let first = look(&mut recording, &before.0, began);
    assert!(first.results.is_nan() && first.latency.is_nan(), "nothing was before it: {first:?}");
    let now = scrape(300);
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
    let names: String =
        (0..1_000).map(|step| format!("lockstep_scaling_wanted{{of=\"instances of {step}\"}} 1\n")).collect();
    let mut recording = recording(began);
    let moment = look(&mut recording, &Scrape::parse(&names), began);
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
