//! Promises of the source, over a broker.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

mod common;

use std::sync::atomic::Ordering;
use std::time::Instant;

use common::{Broker, PATIENCE, Reader, Writer, commit, part};
use lockstep_engine::condition::Work;
use lockstep_engine::ingest::source::{Pause, SourceControl, SourceEvent};
use lockstep_engine::pipeline::{GroupProtocol, StartAt};
use lockstep_engine::position::NextOffset;

fn numbers(records: &[lockstep_engine::sample::Record]) -> Vec<u32> {
    records.iter().map(|r| std::str::from_utf8(&r.payload).unwrap().parse().unwrap()).collect()
}

#[test]
fn source_delivers_records_in_order_with_keys_and_headers() {
    let broker = Broker::any();
    let topic = broker.topic("in", 1);
    let spec = broker.spec("g");
    let mut writer = Writer::start(&spec);
    for n in 0..1000 {
        let header = n.to_string();
        writer.send(&topic, "cam", n.to_string(), &[("content-type", "text/plain"), ("n", &header)]);
    }
    writer.flush();
    let reader = Reader::start(&spec, &[&topic]);
    assert_eq!(reader.assigned(), [(part(0, 0), 0)]);
    let records = reader.records(1000);
    assert_eq!(numbers(&records), (0..1000).collect::<Vec<_>>());
    for (n, record) in records.iter().enumerate() {
        assert_eq!(record.position.offset.0, n as i64);
        assert_eq!(record.key.as_deref(), Some(b"cam".as_slice()));
        assert_eq!(record.header("content-type"), Some(b"text/plain".as_slice()));
        assert_eq!(record.header("n"), Some(n.to_string().as_bytes()));
        assert!(record.timestamp.is_some());
    }
    reader.source.close(vec![], PATIENCE).expect("closes");
}

#[test]
fn source_offers_refused_records_again_and_loses_none() {
    let broker = Broker::any();
    let topic = broker.topic("in", 2);
    let spec = broker.spec("g");
    let reader = Reader::start(&spec, &[&topic]);
    reader.assigned();
    reader.shut.store(true, Ordering::Release);
    let mut writer = Writer::start(&spec);
    for n in 0..2000 {
        writer.send(&topic, &format!("key-{}", n % 7), n.to_string(), &[]);
    }
    writer.flush();
    while reader.refused.load(Ordering::Acquire) < 20 {
        std::thread::yield_now();
    }
    assert!(reader.events.try_iter().all(|event| !matches!(event, SourceEvent::Records { .. })));
    reader.shut.store(false, Ordering::Release);
    let mut all = numbers(&reader.records(2000));
    all.sort_unstable();
    assert_eq!(all, (0..2000).collect::<Vec<_>>());
}

#[test]
fn paused_partition_resumes_without_loss_or_repeat() {
    let broker = Broker::any();
    let (held, free) = (broker.topic("held", 1), broker.topic("free", 1));
    let spec = broker.spec("g");
    let mut writer = Writer::start(&spec);
    let reader = Reader::start(&spec, &[&held, &free]);
    reader.assigned();
    writer.send(&held, "k", "0", &[]);
    writer.flush();
    assert_eq!(numbers(&reader.records(1)), [0]);
    reader.source.set_paused(Pause::Memory, vec![part(0, 0)]);
    for n in 1..500 {
        writer.send(&held, "k", n.to_string(), &[]);
        writer.send(&free, "k", n.to_string(), &[]);
    }
    writer.flush();
    // The pause was asked for before any of these was sent.
    let others = reader.records(499);
    assert!(others.iter().all(|r| r.position.partition == part(1, 0)), "a paused partition delivered");
    assert_eq!(numbers(&others), (1..500).collect::<Vec<_>>());
    reader.source.set_paused(Pause::Memory, vec![]);
    assert_eq!(numbers(&reader.records(499)), (1..500).collect::<Vec<_>>());
}

#[test]
fn source_goes_on_at_the_committed_position_after_a_restart() {
    let broker = Broker::any();
    let topic = broker.topic("in", 1);
    let spec = broker.spec("g");
    let mut writer = Writer::start(&spec);
    for n in 0..100 {
        writer.send(&topic, "k", n.to_string(), &[]);
    }
    writer.flush();
    let first = Reader::start(&spec, &[&topic]);
    first.records(100);
    first.source.commit(vec![commit(0, 10)]);
    first.source.close(vec![commit(0, 40)], PATIENCE).expect("commits and closes");
    let second = Reader::start(&spec, &[&topic]);
    assert_eq!(second.assigned(), [(part(0, 0), 40)]);
    assert_eq!(numbers(&second.records(60)), (40..100).collect::<Vec<_>>());
    second.source.close(vec![], PATIENCE).expect("closes");
}

#[test]
fn source_joins_by_the_protocol_that_its_brokers_know() {
    let read_ten = |broker: &Broker| {
        let topic = broker.topic("in", 1);
        let spec = broker.plain_spec("g");
        let mut writer = Writer::start(&spec);
        for n in 0..10 {
            writer.send(&topic, "k", n.to_string(), &[]);
        }
        writer.flush();
        let reader = Reader::start(&spec, &[&topic]);
        assert_eq!(reader.assigned(), [(part(0, 0), 0)]);
        assert_eq!(numbers(&reader.records(10)), (0..10).collect::<Vec<_>>());
        reader.source.close(vec![commit(0, 4)], PATIENCE).expect("commits and closes");
        (spec, topic)
    };
    read_ten(&Broker::old());
    let broker = Broker::any();
    let (spec, topic) = read_ten(&broker);
    let second = Reader::start(&spec, &[&topic]);
    assert_eq!(second.assigned(), [(part(0, 0), 4)]);
    second.source.close(vec![], PATIENCE).expect("closes");
}

#[test]
fn source_names_a_missing_group_protocol_with_the_remedy() {
    let broker = Broker::old();
    let topic = broker.topic("in", 1);
    let mut spec = broker.plain_spec("g");
    spec.group_protocol = GroupProtocol::Consumer;
    let reader = Reader::start(&spec, &[&topic]);
    let until = Instant::now() + PATIENCE;
    let why = loop {
        match reader.events.recv_deadline(until).expect("it fails") {
            SourceEvent::Failed(why) => break why,
            _ => continue,
        }
    };
    assert!(why.contains("write kafka.group_protocol = \"auto\""), "{why}");
}

#[test]
fn source_that_starts_at_latest_reads_only_newer_records() {
    let broker = Broker::any();
    let topic = broker.topic("in", 1);
    let mut spec = broker.spec("g");
    spec.start = StartAt::Latest;
    let mut writer = Writer::start(&spec);
    writer.send(&topic, "k", "1", &[]);
    writer.flush();
    let reader = Reader::start(&spec, &[&topic]);
    assert_eq!(reader.assigned(), [(part(0, 0), 1)]);
    writer.send(&topic, "k", "2", &[]);
    assert_eq!(numbers(&reader.records(1)), [2]);
}

#[test]
fn second_member_gets_its_share_after_the_first_releases() {
    let broker = Broker::any();
    let topic = broker.topic("in", 2);
    let spec = broker.spec("g");
    let mut writer = Writer::start(&spec);
    let first = Reader::start(&spec, &[&topic]);
    assert_eq!(first.assigned().len(), 2);
    for n in 0..100 {
        writer.send(&topic, &format!("key-{n}"), n.to_string(), &[]);
    }
    writer.flush();
    let read = first.records(100);
    // The embedded broker refuses commits during a rebalance, Apache Kafka does not.
    let ends: Vec<_> = (0..2)
        .map(|n| {
            let own = read.iter().filter(|r| r.position.partition == part(0, n));
            (part(0, n), NextOffset(own.map(|r| r.position.offset.0 + 1).max().unwrap_or(0)))
        })
        .collect();
    first.source.commit(ends.iter().map(|(p, next)| commit(p.partition, next.0)).collect());
    let second = Reader::start(&spec, &[&topic]);
    let (partitions, done) = first.until("a revocation", |event| match event {
        SourceEvent::Revoked { partitions, done, .. } => Some((partitions, done)),
        _ => None,
    });
    assert_eq!(partitions.len(), 2);
    assert!(second.events.is_empty(), "partitions were assigned before they were released");
    drop(done);
    // The embedded broker may give one of them everything for a moment, until the other has joined again.
    let share = |reader: &Reader| loop {
        let assigned = reader.assigned();
        if assigned.len() == 1 {
            break assigned;
        }
    };
    let mut all = share(&first);
    all.extend(share(&second));
    all.sort();
    let mut expected: Vec<_> = ends.into_iter().map(|(p, next)| (p, next.0)).collect();
    expected.sort();
    for ((partition, next), (own, end)) in all.iter().zip(&expected) {
        assert_eq!(partition, own);
        // From the beginning where the rebalance was quicker than the commit, which was refused then.
        assert!(next == end || *next == 0, "{partition:?} is read from {next} on");
    }
    assert_eq!(all.len(), expected.len());
    second.source.close(vec![], PATIENCE).expect("closes");
    assert_eq!(first.assigned().len(), 2, "the partitions of the second come back when it leaves");
}

#[test]
fn source_reports_the_lag() {
    let broker = Broker::any();
    let topic = broker.topic("in", 1);
    let spec = broker.spec("g");
    let mut writer = Writer::start(&spec);
    for n in 0..10 {
        writer.send(&topic, "k", n.to_string(), &[]);
    }
    writer.flush();
    let reader = Reader::start(&spec, &[&topic]);
    reader.assigned();
    reader.source.set_paused(Pause::Memory, vec![part(0, 0)]);
    for n in 10..30 {
        writer.send(&topic, "k", n.to_string(), &[]);
    }
    writer.flush();
    let mut read = 0;
    reader.until("a lag that fits the records read", |event| match event {
        SourceEvent::Records { records, .. } => {
            read += records.len() as i64;
            None
        }
        SourceEvent::Ends(ends) => {
            let lag: Vec<_> = ends.into_iter().map(|(partition, end)| (partition, end.lag)).collect();
            (lag == [(part(0, 0), 30 - read)]).then_some(())
        }
        _ => None,
    });
}

#[test]
fn source_reports_unreachable_brokers_and_goes_on_trying() {
    let mut spec = Broker::embedded().spec("g");
    spec.brokers = "127.0.0.1:1".into();
    let reader = Reader::start(&spec, &["in"]);
    reader.until("that nothing can be read", |event| {
        matches!(event, SourceEvent::Readable(false)).then_some(())
    });
    let cause = reader.reports.of(Work::Connect).expect("a condition");
    assert_eq!(cause.what, "127.0.0.1:1: no process listens there");
    reader.source.close(vec![], PATIENCE).expect("closes without brokers");
}
