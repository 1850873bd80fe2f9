//! Promises of transactions, over a real broker: the embedded one does not isolate them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

mod common;

use std::collections::BTreeMap;
use std::time::Instant;

use common::{Broker, PATIENCE, Writer};
use lockstep_engine::publish::sink::{Ended, Ending};
use lockstep_kafka::tail::{From, Tail};
use lockstep_kafka::transactional_id::TransactionalId;

/// The time for which a broker keeps an abandoned transaction open: longer than the test waits.
const NEVER: &str = "900000";

#[test]
fn next_producer_of_a_name_aborts_an_open_transaction() {
    if std::env::var("KAFKA_BOOTSTRAP_SERVERS").is_err() {
        return;
    }
    let broker = Broker::any();
    let topic = broker.topic("left-open", 1);
    let mut spec = broker.spec("g");
    spec.producer.insert("transaction.timeout.ms".into(), NEVER.into());
    let id = TransactionalId::new(&spec);
    let mut gone = Writer::transactional(&spec, &id);
    gone.send(&topic, "k", "left open", &[]);
    gone.flush();

    let mut next = Writer::transactional(&spec, &id);
    next.send(&topic, "k", "committed", &[]);
    next.flush();
    assert_eq!(next.end(Ending::Commit(Vec::new())), Ended::AsAsked);

    let mut tail = Tail::open(&broker.address, &BTreeMap::new(), &topic, From::Beginning).expect("a client");
    let until = Instant::now() + PATIENCE;
    let first = loop {
        assert!(Instant::now() < until, "it is not to be read");
        if let Some(record) = tail.next(PATIENCE).expect("it can be read") {
            break record;
        }
    };
    assert_eq!(first.value, "committed");
    assert!(matches!(gone.end(Ending::Commit(Vec::new())), Ended::Failed(_)), "it is fenced");
}
