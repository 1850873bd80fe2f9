//! The lag of a reader of committed records behind transactions upstream, over a real broker: the embedded one does not isolate them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

mod common;

use common::{Broker, Reader, Writer, part};
use lockstep_engine::ingest::source::{PartitionEnd, SourceEvent};
use lockstep_engine::position::NextOffset;
use lockstep_engine::publish::sink::{Ended, Ending};
use lockstep_kafka::transactional_id::TransactionalId;

fn until_end(reader: &Reader, what: &str, is_right: impl Fn(&PartitionEnd) -> bool) {
    reader.until(what, |event| match event {
        SourceEvent::Ends(ends) => {
            ends.iter().any(|(partition, end)| *partition == part(0, 0) && is_right(end)).then_some(())
        }
        _ => None,
    });
}

/// Ten records and a marker, ten aborted records and a marker, one in an open transaction, and ten behind it.
#[test]
fn lag_ends_behind_aborted_and_before_open_transactions() {
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
    let read = PartitionEnd { lag: 0, stable: NextOffset(22), high: NextOffset(22) };
    until_end(&reader, "nothing left to read", |end| *end == read);
    upstream.send(&topic, "k", "open", &[]);
    upstream.flush();
    let mut plain = Writer::start(&spec);
    for n in 0..10 {
        plain.send(&topic, "k", n.to_string(), &[]);
    }
    plain.flush();
    let held_back = PartitionEnd { lag: 0, stable: NextOffset(22), high: NextOffset(33) };
    until_end(&reader, "records behind an open transaction are no lag", |end| *end == held_back);
}
