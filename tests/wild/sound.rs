//! Sound and text as devices and tools really send them.

use std::collections::BTreeMap;
use std::path::Path;

use lockstep_engine::time::Timestamp;
use serde_json::Value;
use tempfile::TempDir;

use crate::broker::{Broker, header};
use crate::process::{Ended, Lockstep};

/// A pipeline that shows the first samples of each record of sound, through an identity model.
struct Samples<'b> {
    broker: &'b Broker,
    name: String,
    directory: TempDir,
}

const SHOWN: usize = 4;

impl<'b> Samples<'b> {
    fn of(broker: &'b Broker, name: &str) -> Self {
        let name = format!("wild-{name}-{:x}", Timestamp::now().as_nanos());
        let directory = tempfile::tempdir().expect("a directory");
        let model = directory.path().join("models/identity/1");
        std::fs::create_dir_all(&model).expect("a directory");
        let tensor = |kind: &str| {
            format!("[[{kind}]]\nname = \"wave\"\ndtype = \"f32\"\nshape = [\"batch\", {SHOWN}]\n")
        };
        let manifest = format!(
            "backend = \"builtin\"\ndescription = \"The identity\"\nlicence = \"Apache-2.0\"\norigin = \"a test\"\n{}{}",
            tensor("inputs"),
            tensor("outputs")
        );
        std::fs::write(model.join("model.toml"), manifest).expect("it can be written");
        let pipeline = format!(
            "[pipeline]\nname = \"{name}\"\n[kafka]\nbrokers = \"127.0.0.1:9092\"\n[inputs.audio]\ntopic = \
             \"{name}.audio\"\ncontent_type = \"audio/pcm;rate=8000\"\n[models]\nrepository = \"models\"\n\
             [steps.sound]\nmodel = \"identity\"\n[steps.sound.inputs]\nwave = {{ from = \"audio\", waveform = \
             {{ rate = 8000, samples = {SHOWN} }} }}\n"
        );
        std::fs::write(directory.path().join("pipeline.toml"), pipeline).expect("it can be written");
        let samples = Self { broker, name, directory };
        assert_eq!(samples.lockstep(&["topics", "create"], &["--partitions", "1"]).code, Some(0));
        samples
    }

    fn lockstep(&self, command: &[&str], more: &[&str]) -> Ended {
        let file = self.directory.path().join("pipeline.toml");
        let args = [command, &[file.to_str().expect("UTF-8")], more].concat();
        let variables = [
            ("LOCKSTEP_BROKERS", self.broker.address.as_str()),
            ("LOCKSTEP_GROUP", self.name.as_str()),
            ("LOCKSTEP_HTTP", "off"),
            ("NO_COLOR", "1"),
        ];
        Lockstep::run(&args, &variables)
    }

    /// The outcome of all records so far: samples, and messages of dead-lettered records, by stream.
    fn outcome(&self) -> (BTreeMap<String, Vec<f64>>, BTreeMap<String, String>) {
        let ended = self.lockstep(&["run", "--until-end"], &[]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let mut results = self.broker.follow(&format!("{}.results", self.name));
        results.for_now();
        let shown = results.json().into_iter().map(|result| {
            let values = result["outputs"]["sound"]["wave"]["values"].as_array().cloned().unwrap_or_default();
            let stream = result["stream"].as_str().unwrap_or_default().to_owned();
            (stream, values.iter().flat_map(numbers).collect())
        });
        let shown = shown.collect();
        let mut letters = self.broker.follow(&format!("{}.dead-letters", self.name));
        letters.for_now();
        let told = letters.records.iter().map(|letter| {
            let stream = String::from_utf8_lossy(letter.key.as_deref().unwrap_or_default()).into_owned();
            (stream, header(letter, "lockstep-message"))
        });
        (shown, told.collect())
    }

    /// `lockstep publish` of files.
    fn publish(&self, stream: &str, paths: &[&Path]) -> Ended {
        let topic = format!("audio={}.audio", self.name);
        let mut args =
            vec!["publish", "--brokers", &self.broker.address, "--stream", stream, "--topic", &topic];
        args.extend(paths.iter().map(|path| path.to_str().expect("UTF-8")));
        Lockstep::run(&args, &[])
    }
}

/// A stream, the headers and the payload of its record, and the expected outcome.
type Case<T> = (&'static str, &'static [(&'static str, &'static str)], Vec<u8>, T);

/// Numbers of lists within lists, in order.
fn numbers(value: &Value) -> Vec<f64> {
    match value.as_array() {
        Some(list) => list.iter().flat_map(numbers).collect(),
        None => value.as_f64().into_iter().collect(),
    }
}

fn golden(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/preprocess").join(name);
    std::fs::read(path).expect(name)
}

/// The first samples that are expected of a golden file.
fn expected(name: &str) -> Vec<f64> {
    let bytes = golden(name);
    let floats = bytes.as_chunks::<4>().0.iter().map(|four| f64::from(f32::from_le_bytes(*four)));
    floats.take(SHOWN).collect()
}

/// The fields of a WAV header of 8-bit mu-law.
fn ulaw_wav(frames: &[u8], claimed: u32) -> Vec<u8> {
    let mut bytes =
        b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x07\0\x01\0\x40\x1f\0\0\x40\x1f\0\0\x01\0\x08\0data".to_vec();
    bytes.extend(claimed.to_le_bytes());
    bytes.extend(frames);
    bytes
}

#[test]
fn sound_is_right_or_refused_by_a_true_message() {
    let Some(broker) = Broker::apache_kafka() else { return };
    let samples = Samples::of(&broker, "sound");
    let big_endian: Vec<u8> = [8_192i16, -16_384, 0, 4_096].into_iter().flat_map(i16::to_be_bytes).collect();
    let plain = vec![0.25, -0.5, 0.0, 0.125];
    let floats: Vec<u8> = [0.25f32, -0.5, 0.0, 0.125].into_iter().flat_map(f32::to_le_bytes).collect();
    let codes: Vec<u8> = (0..SHOWN as u8).collect();
    const GSTREAMER: &str =
        "audio/x-raw, format=(string)S16BE, rate=(int)8000, channels=(int)1, layout=interleaved";
    let taken: [Case<Vec<f64>>; 11] = [
        (
            "endianness",
            &[("content-type", "audio/pcm;rate=8000;endianness=big-endian")],
            big_endian.clone(),
            plain.clone(),
        ),
        ("l16", &[("Content-Type", "audio/L16;rate=8000")], big_endian.clone(), plain.clone()),
        ("x-raw", &[("contentType", GSTREAMER)], big_endian.clone(), plain.clone()),
        (
            "float",
            &[("ce_datacontenttype", "audio/pcm;encoding=float;bits=32;big-endian=false;rate=8000")],
            floats,
            plain.clone(),
        ),
        ("pcmu", &[("content-type", "audio/PCMU")], codes.clone(), expected("g711-ulaw.f32")),
        (
            "alaw",
            &[("content-type", "audio/pcm;encoding=alaw;rate=8000")],
            codes.clone(),
            expected("g711-alaw.f32"),
        ),
        ("f64", &[("content-type", "audio/wav")], golden("wild-f64.wav"), expected("wild-f64.f32")),
        ("rf64", &[("content-type", "audio/wav")], golden("wild-rf64.wav"), expected("wild-rf64.f32")),
        ("arecord", &[("content-type", "audio/wav")], golden("wild-s24-low.wav"), expected("wild-s24.f32")),
        ("pipe", &[("content-type", "audio/flac")], golden("wild-pipe.flac"), expected("wild-flac.f32")),
        ("tags", &[("content-type", "audio/flac")], golden("wild-tagged.flac"), expected("wild-flac.f32")),
    ];
    let refused: [Case<&str>; 9] = [
        (
            "bits",
            &[("content-type", "audio/pcm;rate=8000;bits=32")],
            vec![0; 64],
            "32 bits may be meant in several ways",
        ),
        ("unknown", &[("content-type", "audio/pcm;rate=8000;compression=g")], vec![0; 64], "compression=g"),
        (
            "two-headers",
            &[("content-type", "audio/wav"), ("ce_datacontenttype", "audio/flac")],
            golden("wild-f64.wav"),
            "content-type is audio/wav and ce_datacontenttype is audio/flac",
        ),
        ("gzip", &[("content-encoding", "gzip")], vec![0; 64], "content-encoding is \"gzip\""),
        ("riff-as-pcm", &[], golden("wild-f64.wav"), "the payload is a WAV file (audio/wav), not raw sound"),
        (
            "flac-as-wav",
            &[("content-type", "audio/wav")],
            golden("wild-tagged.flac")[31..].to_vec(),
            "FLAC file",
        ),
        ("ogg", &[("content-type", "audio/flac")], b"OggS\0\x02abcdefgh".to_vec(), "an Ogg file"),
        (
            "claims-more",
            &[("content-type", "audio/wav")],
            ulaw_wav(&[1; 100], 116),
            "claims 116 bytes of samples and 100 are there",
        ),
        (
            "cut-flac",
            &[("content-type", "audio/flac")],
            golden("stereo-44k1.flac")[..20_000].to_vec(),
            "cut or garbled",
        ),
    ];
    let mut producer = broker.producer();
    let topic = format!("{}.audio", samples.name);
    let owned = |headers: &[(&'static str, &str)]| -> Vec<(&'static str, String)> {
        headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect()
    };
    for (stream, headers, payload, _) in &taken {
        producer.send(&topic, Some(stream), &owned(headers), payload.clone());
    }
    for (stream, headers, payload, _) in &refused {
        producer.send(&topic, Some(stream), &owned(headers), payload.clone());
    }
    producer.finish();
    let (shown, told) = samples.outcome();
    for (stream, _, _, wanted) in taken {
        let found = shown.get(stream).unwrap_or_else(|| panic!("{stream}: {:?}", told.get(stream)));
        let near = found.iter().zip(&wanted).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(found.len() == SHOWN && near, "{stream}: {found:?}, not {wanted:?}");
    }
    for (stream, _, _, named) in refused {
        let message = told.get(stream).unwrap_or_else(|| panic!("{stream}: {:?}", shown.get(stream)));
        assert!(message.contains(named), "{stream}: {message}");
    }
}

/// `publish` takes each WAV that `run` takes, with the same outcome.
#[test]
fn publish_and_run_read_the_same_files() {
    let Some(broker) = Broker::apache_kafka() else { return };
    let samples = Samples::of(&broker, "publish");
    let mut told_of = Vec::new();
    for (name, wanted) in [
        ("short-u8", "short-u8"),
        ("short-s24", "short-s24"),
        ("wild-alaw", "wild-alaw"),
        ("wild-rf64", "wild-rf64"),
        ("wild-s24-low", "wild-s24"),
        ("wild-extensible", "wild-extensible"),
    ] {
        let path = samples.directory.path().join(format!("{name}.wav"));
        std::fs::write(&path, golden(&format!("{name}.wav"))).expect("it can be written");
        let ended = samples.publish(name, &[&path]);
        assert_eq!(ended.code, Some(0), "{name}: {ended:?}");
        told_of.push((name, wanted));
    }
    let (shown, told) = samples.outcome();
    assert_eq!(told, BTreeMap::new());
    // Each is shorter than a chunk, so that it is one record.
    for (name, wanted) in told_of {
        let wanted = expected(&format!("{wanted}.f32"));
        let found = &shown[name];
        let near = found.iter().zip(&wanted).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(found.len() == SHOWN && near, "{name}: {found:?}, not {wanted:?}");
    }
}

#[test]
fn a_file_of_which_nothing_is_published_is_an_error() {
    let Some(broker) = Broker::apache_kafka() else { return };
    let samples = Samples::of(&broker, "nothing");
    let at = |name: &str| samples.directory.path().join(name);
    let pictures = at("pictures");
    std::fs::create_dir(&pictures).expect("a directory");
    std::fs::write(pictures.join("._frame.jpg"), b"left by a system").expect("it can be written");
    std::fs::write(at("empty.txt"), b"\n\n").expect("it can be written");
    std::fs::write(at("cut.wav"), ulaw_wav(&[1; 100], 116)).expect("it can be written");
    std::fs::write(at("good.wav"), ulaw_wav(&[1; 800], 800)).expect("it can be written");
    for (paths, named) in [
        (vec![at("empty.txt")], "empty.txt: there is nothing in it to publish"),
        (vec![at("good.wav"), at("empty.txt")], "empty.txt: there is nothing in it to publish"),
        (vec![at("cut.wav")], "cut.wav: the WAV header claims 116 bytes"),
        (vec![pictures], "no JPEG, PNG or WebP is in it"),
    ] {
        let paths: Vec<&Path> = paths.iter().map(std::path::PathBuf::as_path).collect();
        let ended = samples.publish("s", &paths);
        assert!(!matches!(ended.code, Some(0) | None), "{ended:?}");
        assert!(ended.err.contains(named), "{}", ended.err);
    }
}
