//! Promises of the loop that benchmarks compare with.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on says why and ends")]

use std::collections::BTreeMap;

use lockstep_engine::pipeline::{KafkaSpec, StartAt};
use lockstep_kafka::baseline::{ClientBaseline, RecordShape, consume_and_produce, fill, shape};
use lockstep_kafka::embedded::EmbeddedBroker;

#[test]
fn baseline_produces_one_record_of_the_shape_for_each() {
    let broker = EmbeddedBroker::start(&[("in".into(), 3), ("out".into(), 2)]).expect("a broker");
    let spec = KafkaSpec {
        brokers: broker.address().to_owned(),
        group: "bare".into(),
        start: StartAt::Earliest,
        group_protocol: Default::default(),
        consumer: BTreeMap::new(),
        producer: BTreeMap::new(),
    };
    fill(broker.address(), "in", 3, 100, &[7; 1000]).expect("filled");
    assert_eq!(
        shape(&spec, "in", 3, 300).expect("300 records"),
        RecordShape { value: 1000, headers: Vec::new() }
    );
    let wanted = RecordShape { value: 123, headers: vec![("ce_id".into(), 30), ("content-type".into(), 16)] };
    let bare = ClientBaseline {
        spec: spec.clone(),
        input: "in".into(),
        output: "out".into(),
        partitions: 3,
        records: 300,
        shape: wanted.clone(),
        read_ahead: 16 << 20,
        send_queue: 16 << 20,
    };
    let seconds = consume_and_produce(&bare).expect("all are acknowledged");
    assert!(seconds > 0.0);
    assert_eq!(shape(&spec, "out", 2, 300).expect("300 results"), wanted);
}
