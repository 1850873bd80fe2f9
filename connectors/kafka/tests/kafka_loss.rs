//! Promises of the source about records that retention has deleted. Over the embedded broker, whose retention is small.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

mod common;

use std::sync::atomic::Ordering;

use common::{Broker, PATIENCE, Reader, Writer, commit, part};
use lockstep_engine::ingest::source::{SourceControl, SourceEvent};

/// 9 MiB in records of 64 KiB: the broker keeps the last 5 MiB.
fn fill(writer: &mut Writer, topic: &str) {
    for _ in 0..144 {
        writer.send(topic, "k", vec![7_u8; 64 << 10], &[]);
        writer.flush();
    }
}

#[test]
fn source_reports_a_deleted_position_as_data_loss() {
    let broker = Broker::embedded();
    let topic = broker.topic("in", 1);
    let spec = broker.spec("g");
    let mut writer = Writer::start(&spec);
    writer.send(&topic, "k", "0", &[]);
    writer.flush();
    let first = Reader::start(&spec, &[&topic]);
    first.records(1);
    first.source.close(vec![commit(0, 1)], PATIENCE).expect("closes");
    fill(&mut writer, &topic);
    let second = Reader::start(&spec, &[&topic]);
    let (partition, start) = second.assigned()[0];
    assert!(start > 1);
    let loss = second.until("data loss", |event| match event {
        SourceEvent::DataLoss { partition, from, to } => Some((partition, from.0, to.0)),
        SourceEvent::Records { .. } => panic!("records before the loss was reported"),
        _ => None,
    });
    assert_eq!(loss, (partition, 1, start));
    assert_eq!(second.records(1)[0].position.offset.0, start);
}

#[test]
fn source_reports_the_records_that_retention_deleted() {
    let broker = Broker::embedded();
    let topic = broker.topic("in", 1);
    let spec = broker.spec("g");
    let mut writer = Writer::start(&spec);
    let reader = Reader::start(&spec, &[&topic]);
    reader.assigned();
    writer.send(&topic, "k", "0", &[]);
    reader.records(1);
    reader.shut.store(true, Ordering::Release);
    // More than the reader's prefetch and the broker's retention together.
    for _ in 0..3 {
        fill(&mut writer, &topic);
    }
    reader.shut.store(false, Ordering::Release);
    let mut next = 1;
    let mut missed = 0;
    while next < 1 + 3 * 144 {
        reader.until("records or a loss", |event| match event {
            SourceEvent::Records { records, .. } => {
                for record in records {
                    assert_eq!(record.position.offset.0, next, "a gap without a report");
                    next += 1;
                }
                Some(())
            }
            SourceEvent::DataLoss { partition, from, to } => {
                assert_eq!((partition, from.0), (part(0, 0), next));
                missed += to.0 - from.0;
                next = to.0;
                Some(())
            }
            _ => None,
        });
    }
    assert!(missed > 0, "nothing was missed, so this has tested nothing");
}

#[test]
fn source_fails_with_a_remedy_if_a_topic_ends_too_early() {
    let broker = Broker::embedded();
    let topic = broker.topic("in", 1);
    let spec = broker.spec("g");
    let first = Reader::start(&spec, &[&topic]);
    first.assigned();
    first.source.close(vec![commit(0, 1000)], PATIENCE).expect("closes");
    let second = Reader::start(&spec, &[&topic]);
    let until = std::time::Instant::now() + PATIENCE;
    let why = loop {
        if let SourceEvent::Failed(why) = second.events.recv_deadline(until).expect("a failure") {
            break why;
        }
    };
    assert!(why.contains("1000") && why.contains("kafka.group"), "{why}");
}
