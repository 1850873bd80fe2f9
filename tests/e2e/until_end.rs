//! Runs with `--until-end`, which process the records in the topics and end by themselves.

use bytes::Bytes;
use lockstep_engine::time::Timestamp;

use crate::broker::Broker;
use crate::pipeline::{BYTES, Pipeline};

over_each_broker!(a_run_until_the_end_processes_what_is_there_commits_and_ends);

fn a_run_until_the_end_processes_what_is_there_commits_and_ends(broker: &Broker) {
    // Nothing closes before five minutes of event time have passed, but by the end.
    let text = BYTES.replace("[inputs.bytes]", "[inputs.bytes]\nout_of_orderness = \"5m\"");
    let pipeline = Pipeline::of(broker, &text);
    pipeline.create_topics(&["bytes"], 3);
    let publish = |records: i64| {
        let mut producer = broker.producer();
        for number in 0..records {
            let headers = [("ce_time", Timestamp::now().to_string())];
            let key = format!("stream-{}", number % 7);
            producer.send(&pipeline.topic("bytes"), Some(&key), &headers, Bytes::from_static(&[7; 16]));
        }
        producer.finish();
    };
    let mut follower = broker.follow(&pipeline.topic("results"));
    for (records, results) in [(500, 500), (0, 500), (20, 520)] {
        publish(records);
        let ended = pipeline.run_until_end();
        assert_eq!(ended.code, Some(0), "{ended:?}");
        follower.until(&mut [], |all| all.len() >= results);
        follower.for_now();
        assert_eq!(follower.records.len(), results, "each once: what a run has done it has committed");
    }
}
