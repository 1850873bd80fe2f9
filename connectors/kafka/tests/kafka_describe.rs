//! The settings of topics on the embedded broker.

#![allow(clippy::expect_used, reason = "a test may end with a panic")]

use std::collections::BTreeMap;
use std::time::Duration;

use lockstep_kafka::describe::{DescribeError, Describer};
use lockstep_kafka::embedded::EmbeddedBroker;

#[test]
fn describer_does_not_ask_the_embedded_broker() {
    let broker = EmbeddedBroker::start(&[("in".into(), 1)]).expect("a broker");
    // An answer to the question itself would never come.
    let describer =
        Describer::new(broker.address(), &BTreeMap::new(), Duration::from_secs(120)).expect("a client");
    let rules = describer.topics(&["in"]);
    assert_eq!(rules["in"], Err(DescribeError::Unsupported));
}
