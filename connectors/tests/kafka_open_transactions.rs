//! What a reader of committed records says of transactions upstream, over a real broker: the embedded one only takes note of
//! them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

mod common;

use common::{Broker, Reader, Writer, part};
use lockstep_connectors::kafka::transactions::TransactionalId;
use lockstep_engine::ingest::source::{End, SourceEvent};
use lockstep_engine::position::NextOffset;
use lockstep_engine::publish::sink::{Ended, Ending};

fn until_end(reader: &Reader, what: &str, is_right: impl Fn(&End) -> bool) {
    reader.until(what, |event| match event {
        SourceEvent::Ends(ends) => {
            ends.iter().any(|(partition, end)| *partition == part(0, 0) && is_right(end)).then_some(())
        }
        _ => None,
    });
}

/// Ten records and a marker, ten that are aborted and a marker, then one that nobody commits, and ten behind it.
#[test]
fn lag_ends_behind_markers_and_aborted_records_and_before_an_open_transaction() {
    if std::env::var("KAFKA_BOOTSTRAP_SERVERS").is_err() {
        return;
    }
    let broker = Broker::any();
    let topic = broker.topic("markers", 1);
    let spec = broker.spec("g");
    let reader = Reader::start(&spec, &[&topic]);
    reader.assigned();
    let mut upstream = Writer::transactional(&spec, &TransactionalId::new(&spec));
    for how in [Ending::Commit(Vec::new()), Ending::Abort] {
        for n in 0..10 {
            upstream.send(&topic, "k", n.to_string(), &[]);
        }
        upstream.flush();
        assert_eq!(upstream.end(how), Ended::AsAsked);
    }
    let read = End { lag: 0, stable: NextOffset(22), high: NextOffset(22) };
    until_end(&reader, "nothing left to read", |end| *end == read);
    upstream.send(&topic, "k", "open", &[]);
    upstream.flush();
    let mut plain = Writer::start(&spec);
    for n in 0..10 {
        plain.send(&topic, "k", n.to_string(), &[]);
    }
    plain.flush();
    let held_back = End { lag: 0, stable: NextOffset(22), high: NextOffset(33) };
    until_end(&reader, "what is held back is no lag", |end| *end == held_back);
}
