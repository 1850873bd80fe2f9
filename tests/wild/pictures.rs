//! Pictures as cameras and tools really send them.

use std::collections::BTreeMap;

use lockstep_engine::time::Timestamp;
use serde_json::Value;

use crate::broker::{Broker, header};
use crate::pipeline::{FACES, Pipeline};
use crate::process::Lockstep;

fn golden(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/golden/preprocess/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(path).expect("it is there")
}

/// The JPEG without its Huffman tables, as Motion JPEG leaves them away. They are the usual ones.
fn without_tables(jpeg: &[u8]) -> Vec<u8> {
    let (mut bare, mut at) = (jpeg[..2].to_vec(), 2);
    while jpeg[at + 1] != 0xda {
        let end = at + 2 + usize::from(u16::from_be_bytes([jpeg[at + 2], jpeg[at + 3]]));
        if jpeg[at + 1] != 0xc4 {
            bare.extend(&jpeg[at..end]);
        }
        at = end;
    }
    bare.extend(&jpeg[at..]);
    bare
}

/// An EXIF block that says: turn by 90° clockwise.
const ON_ITS_SIDE: &[u8] =
    b"\xff\xe1\x00\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";

/// The records to send, by offset: the payload, and the words of the reason if it is dead-lettered.
fn sent() -> Vec<(Vec<u8>, &'static str)> {
    let whole = golden("scene.jpg");
    let turned = [&whole[..2], ON_ITS_SIDE, &whole[2..]].concat();
    let cut = [&whole[..whole.len() / 2], b"\xff\xd9"].concat();
    let next = [&whole[..whole.len() / 2], &whole[..]].concat();
    let stray = [&whole[..20], b"\0\0\0", &whole[20..]].concat();
    vec![
        (whole.clone(), ""),
        (without_tables(&whole), ""),
        (cut, "the JPEG is damaged: its data ends in MCU"),
        (stray, ""),
        (next, "another image begins at byte"),
        (
            golden("scene.png"),
            "the payload is a PNG, but its content type is image/jpeg; send it as image/png",
        ),
        (turned, ""),
        (golden("scene-progressive.jpg"), ""),
    ]
}

/// Sends all records. Returns the results, and the messages of dead-lettered records, by offset.
fn outcomes(broker: &Broker, damaged: &str, letters: usize) -> (BTreeMap<i64, Value>, BTreeMap<i64, String>) {
    let text = FACES.replace("max_bytes", &format!("damaged = {damaged:?}\nmax_bytes"));
    let pipeline = Pipeline::of(broker, &text);
    pipeline.create_topics(&["video"], 1);
    let mut run: Lockstep = pipeline.run(&[]);
    let mut producer = broker.producer();
    let sent = sent();
    let now = Timestamp::now().as_nanos();
    for (frame, (payload, _)) in (0..).zip(&sent) {
        let time = Timestamp::from_nanos(now + frame * 40_000_000).to_string();
        let headers = [("content-type", "image/jpeg".to_owned()), ("ce_time", time)];
        producer.send(&pipeline.topic("video"), Some("cam-1"), &headers, payload.clone());
    }
    producer.finish();
    let mut results = broker.follow(&pipeline.topic("results"));
    results.count(&mut run, sent.len() - letters);
    let mut dead = broker.follow(&pipeline.topic("dead-letters"));
    dead.count(&mut run, letters);
    assert_eq!(run.terminate().code, Some(0));
    let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/result.schema.json");
    let schema: Value = serde_json::from_slice(&std::fs::read(schema).expect("a schema")).expect("JSON");
    let schema = jsonschema::validator_for(&schema).expect("a valid schema");
    let results = results.json().into_iter().map(|result| {
        let wrong: Vec<String> = schema.iter_errors(&result).map(|error| error.to_string()).collect();
        assert!(wrong.is_empty(), "{result}: {wrong:?}");
        (result["inputs"]["video"]["samples"][0]["offset"].as_i64().expect("an offset"), result)
    });
    let dead = dead.records.iter().map(|letter| {
        assert_eq!(header(letter, "lockstep-reason"), "undecodable");
        let offset = header(letter, "lockstep-source-offset").parse().expect("an offset");
        (offset, header(letter, "lockstep-message"))
    });
    (results.collect(), dead.collect())
}

fn damage_of(result: &Value) -> Option<bool> {
    result["inputs"]["video"]["samples"][0]["damaged"].as_bool()
}

#[test]
fn pictures_are_right_or_dead_letters_that_say_why() {
    let Some(broker) = Broker::apache_kafka() else { return };
    let (results, letters) = outcomes(&broker, "refuse", 3);
    for (offset, (_, words)) in (0i64..).zip(sent()) {
        match words {
            "" => assert_eq!(damage_of(&results[&offset]), None),
            words => assert!(letters[&offset].contains(words), "{offset}: {}", letters[&offset]),
        }
    }
    let faces = |offset: i64| &results[&offset]["outputs"]["faces"];
    assert_eq!(faces(0), faces(1), "without tables it is the same picture");
    assert_eq!(faces(0), faces(3), "and so it is with stray bytes");
}

#[test]
fn damaged_pictures_are_marked_where_they_are_accepted() {
    let Some(broker) = Broker::apache_kafka() else { return };
    let (results, letters) = outcomes(&broker, "accept", 1);
    assert!(letters[&5].contains("the payload is a PNG"), "{letters:?}");
    let marked: Vec<i64> = results
        .iter()
        .filter(|(_, result)| damage_of(result) == Some(true))
        .map(|(offset, _)| *offset)
        .collect();
    assert_eq!(marked, [2, 4]);
}
