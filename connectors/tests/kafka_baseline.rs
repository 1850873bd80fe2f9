//! The loop that benchmarks compare with does what it says.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on says why and ends")]

use std::collections::BTreeMap;

use lockstep_connectors::kafka::baseline::{Baseline, Shape, consume_and_produce, fill, shape};
use lockstep_connectors::kafka::embedded::EmbeddedBroker;
use lockstep_engine::pipeline::{KafkaSpec, StartAt};

#[test]
fn the_bare_loop_produces_one_record_of_the_asked_shape_for_each() {
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
    assert_eq!(shape(&spec, "in", 3, 300).expect("300 records"), Shape { value: 1000, headers: Vec::new() });
    let asked = Shape { value: 123, headers: vec![("ce_id".into(), 30), ("content-type".into(), 16)] };
    let bare = Baseline {
        spec: spec.clone(),
        input: "in".into(),
        output: "out".into(),
        partitions: 3,
        records: 300,
        shape: asked.clone(),
        read_ahead: 16 << 20,
        send_queue: 16 << 20,
    };
    let seconds = consume_and_produce(&bare).expect("all are acknowledged");
    assert!(seconds > 0.0);
    assert_eq!(shape(&spec, "out", 2, 300).expect("300 results"), asked);
}
