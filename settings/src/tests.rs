//! Promises of the settings: each kind of mistake is reported at its place, with its remedy.

use std::time::Duration;

use lockstep_engine::align::{Join, Missing};
use lockstep_engine::infer::load_model::Device;
use lockstep_engine::infer::manifest::Description;
use lockstep_engine::infer::step::{Binding, Reduce, View};
use lockstep_engine::position::InputId;
use lockstep_engine::preprocess::Preprocess;

use super::*;

mod align;
mod conditions;
mod delivery;
mod each;
mod kafka;
mod models;
mod outputs;
mod provider;
mod reference;
mod residency;
mod scaling;
mod schema;
mod text;

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn tells_nothing(file: &Path) -> Result<Description, String> {
    Err(format!("{} tells nothing", file.display()))
}

fn shipped(name: &str) -> String {
    let text = std::fs::read_to_string(root().join("config").join(name)).expect("a shipped file");
    let models = root().join("models");
    text.replace("\"../models\"", &format!("{:?}", models.to_str().expect("a plain path")))
}

/// Loads a text as the file `p.toml` in a folder of its own. If it is accepted, the JSON Schema accepts it too.
fn load_text(text: &str, overrides: &Overrides) -> Result<Pipeline, Problems> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("p.toml");
    std::fs::write(&path, text).expect("a writable file");
    let loaded = load(&path, overrides, &tells_nothing);
    if loaded.is_ok() {
        let errors = schema::refused(text);
        assert!(errors.is_empty(), "the schema refuses what check accepts: {errors:#?}\n{text}");
    }
    loaded
}

fn problems(text: &str) -> Vec<problem::Problem> {
    match load_text(text, &Overrides::default()) {
        Ok(_) => panic!("no mistake was found in\n{text}"),
        Err(problems) => problems.list().to_vec(),
    }
}

#[test]
fn shipped_pipelines_load_with_their_settings() {
    let pipeline = load(&root().join("config/talking-face.toml"), &Overrides::default(), &tells_nothing)
        .unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(pipeline.name, "talking-face");
    assert_eq!(pipeline.kafka.group, "talking-face");
    assert_eq!(pipeline.align.pivot(), Some(InputId(0)));
    let audio = &pipeline.align.inputs[1];
    assert_eq!(audio.join, Join::Window { before: Duration::from_millis(512), after: Duration::ZERO });
    assert_eq!(audio.missing, Missing::Emit);
    let [faces, voice] = pipeline.steps.as_slice() else { panic!("two steps: {:?}", pipeline.steps) };
    assert!(matches!(
        faces.outputs[0].view,
        View::Detections { boxes: 0, scores: 1, landmarks: Some(2), .. }
    ));
    let length = |binding: &Binding| match binding {
        Binding::Input { input: InputId(1), preprocess: Preprocess::Waveform(spec), .. } => spec.length,
        other => panic!("sound is expected: {other:?}"),
    };
    assert_eq!(length(&voice.bindings[0]), 8192);
    assert_eq!(voice.bindings[1..], [Binding::Zeros, Binding::Zeros]);
    assert_eq!(voice.unit.model.extents.named().get("n"), Some(&16));
    assert!(!voice.is_stateful());

    let pipeline = load(&root().join("config/voice.toml"), &Overrides::default(), &tells_nothing)
        .unwrap_or_else(|problems| panic!("{problems}"));
    let [voice] = pipeline.steps.as_slice() else { panic!("one step: {:?}", pipeline.steps) };
    assert_eq!(voice.bindings[1..], [Binding::State { output: 1 }, Binding::State { output: 2 }]);
    assert!(matches!(voice.outputs[0].view, View::Scores { output: 0, reduce: Reduce::All, .. }));
}

/// Each case replaces the first text of the shipped pipeline by the second. It expects one mistake at the third text, with
/// this key and all of these words.
#[test]
fn settings_report_each_mistake_at_its_place_with_a_remedy() {
    let image = "image = { width = 320, height = 240, resize = \"fit\" }";
    let window = "{ window = { before = \"512ms\", after = \"0ms\" }, missing = \"emit\" }";
    let cases: &[(&str, &str, &str, &str, &[&str])] = &[
        // Values of the wrong kind.
        ("name = \"talking-face\"", "name = 7", "7", "pipeline.name", &["is 7", "text in quotes"]),
        ("name = \"talking-face\"", "", "pipeline]", "pipeline.name", &["is missing", "name = "]),
        (
            "name = \"talking-face\"",
            "name = \"talking-face\"\nshards = 0",
            "0",
            "pipeline.shards",
            &["0 is out of range 1..=256"],
        ),
        ("\"512ms\"", "\"512 millis\"", "\"512 millis\"", "align.audio.window.before", &["\"200ms\""]),
        ("memory = \"256MiB\"", "memory = \"256 megs\"", "\"256 megs\"", "limits.memory", &["\"8MiB\""]),
        ("missing = \"emit\"", "missing = \"omit\"", "\"omit\"", "align.audio.missing", &["\"dead-letter\""]),
        (
            "batch = { max_size = 8, max_delay = \"5ms\" }",
            "batch = 3",
            "3",
            "steps.faces.batch",
            &["is 3", "write a table"],
        ),
        // Keys.
        (
            "min_score = 0.9",
            "min_scor = 0.9",
            "min_scor ",
            "steps.faces.outputs.faces.detections.min_scor",
            &["unknown key", "\"min_score\"?"],
        ),
        (
            "min_score = 0.9",
            "min_score = 0.9, nms = 45",
            "45",
            "steps.faces.outputs.faces.detections.nms",
            &["45 is out of range 0..=1"],
        ),
        (
            "min_score = 0.9",
            "candidates = 100",
            "100",
            "steps.faces.outputs.faces.detections.candidates",
            &["has no effect without nms", "remove it"],
        ),
        ("[limits]", "[limit]", "limit]", "limit", &["did you mean \"limits\"?"]),
        (
            "warm_up = [1]\n\n[steps.faces.inputs]",
            "warm_up = [1]\nxyzzy = 1\n[steps.faces.inputs]",
            "xyzzy",
            "steps.faces.xyzzy",
            &["known keys are", "batch"],
        ),
        // Failures.
        (
            "[limits]",
            "[supervision]\nbackoff = \"1m\"\nbackoff_max = \"1s\"\n[limits]",
            "\"1s\"",
            "supervision.backoff_max",
            &["less than backoff"],
        ),
        (
            "[limits]",
            "[supervision]\nbreaker_failures = 0\n[limits]",
            "0",
            "supervision.breaker_failures",
            &["0 is out of range 1..="],
        ),
        (
            "batch = { max_size = 8, max_delay = \"5ms\" }",
            "tries = 0",
            "0",
            "steps.faces.tries",
            &["0 is out of range 1..=100"],
        ),
        (
            "batch = { max_size = 8, max_delay = \"5ms\" }",
            "on_open_circuit = \"fallback\"",
            "\"fallback\"",
            "steps.faces.on_open_circuit",
            &["fallback = { model ="],
        ),
        (
            "batch = { max_size = 8, max_delay = \"5ms\" }",
            "on_open_circuit = \"fallback\"\nfallback = { model = \"voice\" }",
            "fallback =",
            "steps.faces.fallback",
            &["other inputs or outputs"],
        ),
        (
            "batch = { max_size = 8, max_delay = \"5ms\" }",
            "fallback = { model = \"faces\" }",
            "fallback =",
            "steps.faces.fallback",
            &["never used", "on_open_circuit"],
        ),
        // Inputs and joins.
        (
            "content_type = \"image/jpeg\"",
            "content_type = \"image/jpeg\"\nclock_offset = \"37\"",
            "\"37\"",
            "inputs.video.clock_offset",
            &["\"-37ms\""],
        ),
        (
            "content_type = \"image/jpeg\"",
            "content_type = \"image/jpeg\"\ndrift = \"resample\"",
            "\"resample\"",
            "inputs.video.drift",
            &["for sound"],
        ),
        (
            "content_type = \"image/jpeg\"",
            "content_type = \"image/jpeg\"\ndamaged = \"keep\"",
            "\"keep\"",
            "inputs.video.damaged",
            &["\"refuse\" or \"accept\""],
        ),
        (
            "content_type = \"image/jpeg\"",
            "content_type = \"text/plain\"\norientation = \"ignore\"",
            "\"ignore\"",
            "inputs.video.orientation",
            &["for pictures", "remove it"],
        ),
        (
            "content_type = \"image/jpeg\"",
            "content_type = \"image/jpeg\"\nepoch_after = \"0s\"",
            "\"0s\"",
            "inputs.video.epoch_after",
            &["above 0", "or false"],
        ),
        (
            "content_type = \"image/jpeg\"",
            "content_type = \"image/jpeg\"\nout_of_orderness = \"1s\"\nout_of_orderness_max = \"1ms\"",
            "\"1ms\"",
            "inputs.video.out_of_orderness_max",
            &["less than out_of_orderness"],
        ),
        (
            "content_type = \"image/jpeg\"",
            "content_type = \"video/mp4\"",
            "\"video/mp4\"",
            "inputs.video.content_type",
            &["image/jpeg"],
        ),
        ("pivot = \"video\"", "pivot = \"vidoe\"", "\"vidoe\"", "align.pivot", &["did you mean \"video\"?"]),
        (&format!("audio = {window}"), "", "align]", "align.audio", &["is missing", "window = {"]),
        (
            "pivot = \"video\"",
            "pivot = \"video\"\nvideo = { latest = { max_age = \"1s\" } }",
            "{ latest",
            "align.video",
            &["is the pivot"],
        ),
        (
            window,
            "{ window = { before = \"512ms\" }, latest = { max_age = \"1s\" } }",
            "{ window",
            "align.audio",
            &["window and latest"],
        ),
        (window, "{ missing = \"drop\" }", "{ missing", "align.audio", &["none of window, nearest, latest"]),
        (
            "pivot = \"video\"",
            "method = \"approximate\"",
            "\"approximate\"",
            "align.method",
            &["\"approximate-time\""],
        ),
        (
            "pivot = \"video\"",
            "pivot = \"video\"\nqueue = 9",
            "queue = 9",
            "align.queue",
            &["belongs to method = \"approximate-time\"", "here it is \"pivot\""],
        ),
        (
            "content_type = \"image/jpeg\"",
            "content_type = \"image/jpeg\"\nmin_period = \"10ms\"",
            "\"10ms\"",
            "inputs.video.min_period",
            &["approximate-time", "remove this"],
        ),
        ("pivot = \"video\"", "method = \"exakt\"", "\"exakt\"", "align.method", &["\"pivot\"", "\"exact\""]),
        (
            "pivot = \"video\"",
            "pivot = \"video\"\nmethod = \"exact\"",
            "\"video\"",
            "align.pivot",
            &["contradicts method = \"exact\"", "remove one of them"],
        ),
        (
            "pivot = \"video\"",
            "method = \"exact\"",
            "{ before",
            "align.audio.window",
            &["joins a pivot", "remove it"],
        ),
        (
            "pivot = \"video\"",
            "method = \"tumbling\"",
            "align]",
            "align.size",
            &["is missing", "size = \"1s\""],
        ),
        ("pivot = \"video\"", "method = \"tumbling\"\nsize = \"0s\"", "\"0s\"", "align.size", &["above 0"]),
        (
            "pivot = \"video\"",
            "method = \"session\"\nsize = \"1s\"",
            "size = ",
            "align.size",
            &["belongs to method = \"tumbling\"", "here it is \"session\""],
        ),
        (
            "pivot = \"video\"",
            "method = \"session\"\ngap = \"2s\"\nmax = \"1s\"",
            "\"1s\"",
            "align.max",
            &["less than align.gap", "2s or more"],
        ),
        (
            "content_type = \"image/jpeg\"",
            "content_type = \"image/jpeg\"\nmust_keep = true\nshed = { keep_latest = \"1s\" }",
            "{ keep_latest",
            "inputs.video.shed",
            &["must_keep", "remove one of them"],
        ),
        (
            "content_type = \"image/jpeg\"",
            "content_type = \"image/jpeg\"\nshed = { sample = 1 }",
            "1 }",
            "inputs.video.shed.sample",
            &["1 is out of range 2..=1000000"],
        ),
        // Brokers and topics.
        ("\"127.0.0.1:9092\"", "\"localhost\"", "\"localhost\"", "kafka.brokers", &["host1:9092"]),
        (
            "\"talking-face.late\"",
            "\"talking-face.results\"",
            "\"talking-face.results\"",
            "results.late",
            &["already the topic of results.topic"],
        ),
        ("\"talking-face.late\"", "\"a topic\"", "\"a topic\"", "results.late", &["hyphens"]),
        (
            "brokers = \"127.0.0.1:9092\"",
            "properties = { \"group.id\" = \"x\" }",
            "\"x\"",
            "kafka.properties.group.id",
            &["set by Lockstep itself", "named by kafka.group"],
        ),
        ("listen = \"127.0.0.1:9464\"", "listen = \"9464\"", "\"9464\"", "http.listen", &["127.0.0.1:9464"]),
        // Models.
        (
            "model = \"faces\"",
            "model = \"face\"",
            "\"face\"",
            "steps.faces.model",
            &["did you mean \"faces\"?", "voice"],
        ),
        ("model = \"faces\"", "model = \"../x\"", "\"../x\"", "steps.faces.model", &["one folder"]),
        (
            "model = \"faces\"",
            "model = \"faces\"\nversion = 9",
            "9",
            "steps.faces.version",
            &["versions there: 1"],
        ),
        (
            "model = \"faces\"",
            "model = \"faces\"\ndevice = \"gpu\"",
            "\"gpu\"",
            "steps.faces.device",
            &["\"cuda:0\""],
        ),
        (
            "batch = { max_size = 8, max_delay = \"5ms\" }\nwarm_up = [1]\n\n[steps.faces.inputs]",
            "batch = { max_size = 8, preferred = [4, 9] }\n[steps.faces.inputs]",
            "[4, 9]",
            "steps.faces.batch.preferred",
            &["has 9", "which is 8"],
        ),
        (
            "batch = { max_size = 8, max_delay = \"5ms\" }",
            "batch = { mode = \"static\", max_delay = \"5ms\" }",
            "\"5ms\"",
            "steps.faces.batch.max_delay",
            &["for dynamic batches", "static_max_delay"],
        ),
        (
            "batch = { max_size = 8, max_delay = \"5ms\" }",
            "batch = { target_latency = \"40ms\" }",
            "\"40ms\"",
            "steps.faces.batch.target_latency",
            &["for dynamic batches", "mode = \"dynamic\""],
        ),
        (
            "batch = { max_size = 8, max_delay = \"5ms\" }",
            "batch = { mode = \"hybrid\", static_between = \"22-6\" }",
            "\"22-6\"",
            "steps.faces.batch.static_between",
            &["is \"22-6\"", "\"22:00-06:00\""],
        ),
        // Bindings.
        (
            "context = { zeros = true }",
            "",
            "inputs]\naudio",
            "steps.voice.inputs.context",
            &["is missing", "carry = \"context\""],
        ),
        (
            "context = { zeros = true }",
            "context = { zeros = true }\nctx = { zeros = true }",
            "ctx",
            "steps.voice.inputs.ctx",
            &["known keys are audio, context, state"],
        ),
        (
            "context = { zeros = true }",
            "context = { carry = \"state\" }",
            "\"state\"",
            "steps.voice.inputs.context.carry",
            &["no [[state]]", "carry = \"context\""],
        ),
        (
            "from = \"video\"",
            "from = \"viedo\"",
            "\"viedo\"",
            "steps.faces.inputs.frames.from",
            &["\"video\"?"],
        ),
        (
            "from = \"video\"",
            "from = \"voice\"",
            "\"voice\"",
            "steps.faces.inputs.frames.from",
            &["\"voice.scores\""],
        ),
        (
            image,
            "waveform = { rate = 16000 }",
            "{ rate",
            "steps.faces.inputs.frames.waveform",
            &["carries images"],
        ),
        (
            "resize = \"fit\" }",
            "resize = \"fit\", layout = \"hwc\" }",
            "frames = {",
            "steps.faces.inputs.frames",
            &["f32 [240, 320, 3] a row, expected f32 [3, height, width] a row"],
        ),
        (
            "samples = 8192",
            "samples = 8000",
            "8000",
            "steps.voice.inputs.audio.waveform.samples",
            &["512ms", "write samples = 8192"],
        ),
        (
            window,
            "{ latest = { max_age = \"1s\" } }",
            "{ rate",
            "steps.voice.inputs.audio.waveform",
            &["needs a window"],
        ),
        // Outputs.
        (
            "boxes = \"boxes\"",
            "boxes = \"box\"",
            "\"box\"",
            "steps.faces.outputs.faces.detections.boxes",
            &["outputs: boxes, scores"],
        ),
        (
            "scores = \"scores\"",
            "scores = \"landmarks\"",
            "\"landmarks\"",
            "steps.faces.outputs.faces.detections.scores",
            &["that is floating point and holds [N]"],
        ),
        (
            "scores = { output = \"speech_probability\", reduce = \"max\", threshold = 0.5 }",
            "detections = { boxes = \"speech_probability\", scores = \"x\" }",
            "detections = { boxes = \"speech",
            "steps.voice.outputs.speech.detections",
            &["made from an image"],
        ),
    ];
    let mut failures = Vec::new();
    for (before, after, at, key, words) in cases {
        let text = shipped("talking-face.toml");
        assert!(text.contains(before), "{before:?} is not in the pipeline");
        // The replacement goes to the section that the key names.
        let section =
            key.split('.').take(if key.starts_with("steps") { 2 } else { 1 }).collect::<Vec<_>>().join(".");
        let start = text.find(&format!("[{section}")).unwrap_or(0);
        let start = text[start..]
            .find(before)
            .map_or_else(|| text.find(before).expect("a readable file"), |i| start + i);
        let changed = format!("{}{after}{}", &text[..start], &text[start + before.len()..]);
        let offset = (start.saturating_sub(60)..changed.len())
            .find(|offset| {
                changed.is_char_boundary(*offset) && *offset >= start && changed[*offset..].starts_with(at)
            })
            .or_else(|| changed[..start].rfind(at))
            .unwrap_or_else(|| panic!("{at:?} is not in the changed pipeline"));
        let line = changed[..offset].matches('\n').count() + 1;
        let found = problems(&changed);
        let Some(problem) = found.iter().find(|problem| problem.key == *key) else {
            failures.push(format!("no mistake at {key}: {found:?}"));
            continue;
        };
        if problem.place.map(|(line, _)| line) != Some(line) {
            failures.push(format!("line {line} was expected: {problem:?}"));
        }
        failures.extend(
            words
                .iter()
                .filter(|word| !problem.message.contains(**word))
                .map(|word| format!("{word:?} is not in {problem:?}")),
        );
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn settings_report_all_mistakes_in_the_order_of_lines() {
    let text = shipped("talking-face.toml")
        .replace("image/jpeg", "image/gif")
        .replace("threshold = 0.5", "threshold = \"high\"")
        .replace("max_bytes = \"1MiB\"", "max_byte = \"1MiB\"")
        .replace("[limits]\nmemory = \"256MiB\"", "[limits]\nmemory = 0");
    let error = load_text(&text, &Overrides { group: Some(String::new()), ..Overrides::default() })
        .expect_err("five mistakes");
    let keys: Vec<&str> = error.list().iter().map(|problem| problem.key.as_str()).collect();
    assert_eq!(
        keys,
        [
            "inputs.video.content_type",
            "inputs.audio.max_byte",
            "steps.voice.outputs.speech.scores.threshold",
            "limits.memory",
            "--group (or LOCKSTEP_GROUP)"
        ]
    );
    let shown = error.to_string();
    assert!(shown.contains("5 errors"), "{shown}");
    assert!(shown.contains("p.toml:16:16: inputs.video.content_type: "), "{shown}");
}

#[test]
fn shapes_are_checked_beside_other_mistakes() {
    let found = |changes: &[(&str, &str)]| {
        let text = changes.iter().fold(shipped("talking-face.toml"), |text, (from, to)| {
            assert!(text.contains(from), "{from}");
            text.replace(from, to)
        });
        problems(&text).into_iter().map(|problem| problem.key + ": " + &problem.message).collect::<Vec<_>>()
    };
    let zeros = (
        "[steps.faces.inputs]",
        "[steps.voice.scratch]\n[steps.faces.inputs]\nframes = { zeros = true }\n[x]",
    );
    let all = found(&[zeros, ("max_bytes = \"1MiB\"", "max_byte = \"1MiB\"")]);
    let has = |words: &str| all.iter().filter(|problem| problem.contains(words)).count();
    assert_eq!((has("it cannot be zeros"), has("max_byte")), (1, 1), "{all:#?}");
}

#[test]
fn outputs_are_checked_without_the_model() {
    let text = shipped("talking-face.toml")
        .replace("model = \"voice\"", "model = \"nowhere\"")
        .replace("threshold = 0.5", "threshold = \"high\", other = 1");
    let keys: Vec<String> = problems(&text).into_iter().map(|problem| problem.key).collect();
    for key in ["model", "outputs.speech.scores.threshold", "outputs.speech.scores.other"] {
        assert!(keys.iter().any(|found| *found == format!("steps.voice.{key}")), "{key}: {keys:?}");
    }
    assert_eq!(keys.len(), 3, "{keys:?}");
}

#[test]
fn syntax_mistakes_have_their_line() {
    let found = problems("[pipeline]\nname = \n[kafka\n");
    assert_eq!(found[0].place.map(|(line, _)| line), Some(2), "{found:?}");
    assert!(found.iter().all(|problem| problem.message.contains("not TOML")), "{found:?}");
}

#[test]
fn missing_file_is_named() {
    let error = load(Path::new("/nowhere/p.toml"), &Overrides::default(), &tells_nothing)
        .expect_err("it is not there");
    assert!(error.to_string().contains("/nowhere/p.toml"), "{error}");
}

#[test]
fn stateful_step_cannot_take_from_another_step() {
    let text = shipped("voice.toml")
        .replace("audio = { from = \"audio\", waveform = { rate = 16000, samples = 1536 } }", "audio = { from = \"other.speech_probability\" }")
        .replace("[results]", "[steps.other]\nmodel = \"voice\"\n[steps.other.inputs]\naudio = { from = \"audio\", waveform = { rate = 16000, samples = 512 } }\nstate = { zeros = true }\ncontext = { zeros = true }\n[results]");
    let found = problems(&text);
    assert!(found.iter().any(|problem| problem.message.contains("take from inputs only")), "{found:#?}");
}

#[test]
fn steps_that_wait_for_each_other_are_a_cycle() {
    let step = |name: &str, from: &str| {
        format!(
            "[steps.{name}]\nmodel = \"voice\"\n[steps.{name}.inputs]\naudio = {{ from = \"{from}.speech_probability\" \
             }}\nstate = {{ zeros = true }}\ncontext = {{ zeros = true }}\n"
        )
    };
    let steps = format!("{}{}[results]", step("a", "b"), step("b", "a"));
    let found = problems(&shipped("voice.toml").replace("[results]", &steps));
    assert!(found.iter().any(|problem| problem.message.contains("a -> b -> a")), "{found:#?}");
}

#[test]
fn steps_are_sorted_whatever_their_order_in_the_file() {
    let text = shipped("voice.toml").replace(
        "[steps.voice]",
        "[steps.again]\nmodel = \"voice\"\n[steps.again.inputs]\naudio = { from = \"audio\", waveform = { rate = 16000, \
         samples = 512 } }\nstate = { from = \"voice.state\" }\ncontext = { zeros = true }\n[steps.voice]",
    );
    // A stateful step cannot take from another step: the engine's own check reports it, so the order is right.
    let found = problems(&text);
    assert!(found.iter().any(|problem| problem.message.contains("step again: input state")), "{found:#?}");
}

#[test]
fn secrets_are_read_from_their_source_and_never_shown() {
    let secret = root().join("LICENSE-of-no-one");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("password");
    std::fs::write(&file, "hunter2\n").expect("a writable file");
    let with = |value: &str| {
        shipped("voice.toml").replace(
            "[inputs.audio]",
            &format!("[kafka.consumer]\n\"sasl.password\" = {value}\nssl.key.password = \"hunter3\"\n[inputs.audio]"),
        )
    };
    let reference = format!("{{ file = {:?} }}", file.to_str().expect("plain"));
    let pipeline =
        load_text(&with(&reference), &Overrides::default()).unwrap_or_else(|error| panic!("{error}"));
    let consumer = &pipeline.kafka.consumer;
    assert_eq!(consumer.get("sasl.password").map(String::as_str), Some("hunter2"));
    assert_eq!(consumer.get("ssl.key.password").map(String::as_str), Some("hunter3"));
    assert!(pipeline.kafka.producer.is_empty());
    let shown = format!("{pipeline:?}");
    assert!(shown.contains("sasl.password") && !shown.contains("hunter"), "{shown}");

    let path = std::env::var("PATH").expect("a variable that is always set");
    let pipeline = load_text(&with("{ env = \"PATH\" }"), &Overrides::default()).expect("a valid pipeline");
    assert_eq!(pipeline.kafka.consumer.get("sasl.password"), Some(&path));

    for (value, named) in [
        ("{ env = \"LOCKSTEP_NO_SUCH_VARIABLE\" }".to_owned(), "LOCKSTEP_NO_SUCH_VARIABLE, which is not set"),
        (format!("{{ file = {:?} }}", secret.to_str().expect("plain")), "cannot be read"),
        ("[\"hunter2\"]".to_owned(), "{ env = \"NAME\" }"),
    ] {
        let text = with(&value);
        let shown = load_text(&text, &Overrides::default()).expect_err("a mistake").to_string();
        assert!(shown.contains(named) && !shown.contains("hunter"), "{shown}");
    }
}

#[test]
fn overrides_replace_values_of_the_file() {
    let overrides = Overrides {
        brokers: Some("kafka:9092".to_owned()),
        group: Some("other".to_owned()),
        http: Some("off".to_owned()),
        memory: Some("64MiB".to_owned()),
        device: Some("cuda:1".to_owned()),
    };
    let pipeline = load_text(&shipped("voice.toml"), &overrides).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((pipeline.kafka.brokers.as_str(), pipeline.kafka.group.as_str()), ("kafka:9092", "other"));
    assert_eq!((pipeline.http, pipeline.limits.memory), (None, 64 << 20));
    assert_eq!(pipeline.steps[0].unit.model.device, Device::Cuda(1));
    let wrong = Overrides { memory: Some("lots".to_owned()), http: Some("x".to_owned()), ..overrides };
    let error = load_text(&shipped("voice.toml"), &wrong).expect_err("two mistakes");
    assert_eq!(error.list().len(), 2, "{error}");
}
