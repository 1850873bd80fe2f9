//! More than there is room for.

use std::collections::BTreeMap;

use lockstep_engine::time::Timestamp;

use crate::broker::Broker;
use crate::clip::{FRAMES, JPEG, clip};
use crate::pipeline::{FACES, Pipeline};

over_each_broker!(a_full_queue_loses_nothing);

fn a_full_queue_loses_nothing(broker: &Broker) {
    // Three times as many bytes as the process may hold, and a model that is slower than Kafka.
    const STREAMS: [&str; 3] = ["cam-1", "cam-2", "cam-3"];
    const MEMORY: u64 = 2 << 20;
    let pipeline = Pipeline::of(broker, FACES);
    pipeline.create_topics(&["video"], 3);
    let mut producer = broker.producer();
    let mut bytes = 0;
    for frame in &clip().frames {
        for stream in STREAMS {
            let headers = [("content-type", JPEG.into()), ("ce_time", Timestamp::now().to_string())];
            producer.send(&pipeline.topic("video"), Some(stream), &headers, frame.clone());
            bytes += frame.len() as u64;
        }
    }
    producer.finish();
    assert!(bytes > MEMORY, "{bytes} bytes would fit");

    let mut run = pipeline.run(&[("LOCKSTEP_MEMORY", "2MiB")]);
    let mut follower = broker.follow(&pipeline.topic("results"));
    follower.count(&mut run, FRAMES * STREAMS.len());
    // Mostly libtorch, the model and its batches.
    if let Some(peak) = run.peak_memory() {
        assert!(peak < 1 << 30, "{} MiB were resident", peak >> 20);
    }
    assert_eq!(run.terminate().code, Some(0));

    let mut times: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for result in follower.json() {
        let time = result["event_time_ns"].as_i64().expect("a time");
        times.entry(result["stream"].to_string()).or_default().push(time);
    }
    assert_eq!(times.len(), STREAMS.len());
    for (stream, times) in times {
        assert_eq!(times.len(), FRAMES, "{stream}");
        assert!(times.is_sorted_by(|a, b| a < b), "{stream} in order: {times:?}");
    }
}
