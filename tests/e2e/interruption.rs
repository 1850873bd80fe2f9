//! A process that is stopped, or dies, in the middle of a stream.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::broker::{Broker, Follower};
use crate::clip::FRAMES;
use crate::pipeline::Pipeline;
use crate::process::Lockstep;

over_each_broker!(
    nothing_is_lost_when_the_process_is_stopped_in_the_middle,
    nothing_is_lost_when_the_process_dies_in_the_middle,
);

fn nothing_is_lost_when_the_process_is_stopped_in_the_middle(broker: &Broker) {
    let results = interrupted(broker, |run| {
        let ended = run.terminate();
        assert_eq!(ended.code, Some(0), "{ended:?}");
    });
    let twice = results.len() - ids(&results).len();
    assert!(twice <= FRAMES / 4, "{twice} results came twice after an orderly stop");
    // The sound before the stop was read again for the frames after it: windows are cut short at the stream's
    // beginning alone, by 512 ms or 7 frames.
    let partial = results.iter().filter(|result| result["complete"] == false).count();
    assert!(partial <= FRAMES / 4, "{partial} bundles lack sound");
}

fn nothing_is_lost_when_the_process_dies_in_the_middle(broker: &Broker) {
    let results = interrupted(broker, |process| drop(process.kill()));
    // A repeated result is the same: an id has one event time and one place.
    let mut frames = BTreeMap::new();
    for result in &results {
        let place = &result["inputs"]["video"]["samples"];
        let first = frames.entry(result["id"].to_string()).or_insert_with(|| place.clone());
        assert_eq!(first, place, "{result}");
    }
}

/// All results of a stream in the middle of which a process has ended in the given way.
fn interrupted(broker: &Broker, end: impl Fn(Lockstep)) -> Vec<Value> {
    let pipeline = Pipeline::shipped(broker, "talking-face");
    pipeline.create_topics(&["video", "audio"], 2);
    let mut first = pipeline.run(&[]);
    first.says("partitions assigned");
    let publish = pipeline.publish_clip("cam-1", &["--rate", "2"]);
    let mut follower = broker.follow(&pipeline.topic("results"));
    follower.count(&mut first, 20);
    end(first);

    let mut second = pipeline.run(&[]);
    let published = publish.wait();
    assert_eq!(published.code, Some(0), "{published:?}");
    wait_for_all(&mut follower, &mut second);
    assert_eq!(second.terminate().code, Some(0));
    let results = follower.json();
    assert_eq!(ids(&results).len(), FRAMES, "no result that is no frame's");
    results
}

fn wait_for_all(follower: &mut Follower, process: &mut Lockstep) {
    follower.until(&mut [process], |records| {
        let ids: BTreeSet<String> = records
            .iter()
            .filter_map(|record| serde_json::from_slice::<Value>(&record.value).ok())
            .map(|result| result["id"].to_string())
            .collect();
        ids.len() >= FRAMES
    });
}

fn ids(results: &[Value]) -> BTreeSet<String> {
    results.iter().map(|result| result["id"].to_string()).collect()
}
