//! Promises of the settings of alignment.

use std::time::Duration;

use lockstep_engine::align::{ApproximateTime, Bounds, Join, Method, Missing, Needs, Overflow, Revise};
use lockstep_engine::ingest::OnDrift;

use super::*;

#[test]
fn drift_of_an_input_reaches_its_waveforms() {
    let text = shipped("talking-face.toml").replace("[inputs.audio]", "[inputs.audio]\ndrift = \"resample\"");
    let pipeline = load_text(&text, &Overrides::default()).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(pipeline.inputs[1].drift, OnDrift::Resample);
    assert_eq!(pipeline.align.inputs[1].clock.drift, OnDrift::Resample);
    let of_sound = |binding: &Binding| match binding {
        Binding::Input { preprocess: Preprocess::Waveform(spec), .. } => Some(spec.drift),
        Binding::Input { preprocess: Preprocess::LogMel(spec), .. } => Some(spec.wave.drift),
        _ => None,
    };
    let drifts: Vec<OnDrift> =
        pipeline.steps.iter().flat_map(|step| &step.bindings).filter_map(of_sound).collect();
    assert!(!drifts.is_empty() && drifts.iter().all(|drift| *drift == OnDrift::Resample), "{drifts:?}");
}

#[test]
fn waveform_is_padded_beyond_its_window_only() {
    let load = |samples: &str| {
        let text = shipped("talking-face.toml").replace("samples = 8192", samples);
        load_text(&text, &Overrides::default())
    };
    let pipeline = load("samples = 8192, pad_to = 10240").unwrap_or_else(|problems| panic!("{problems}"));
    let lengths = pipeline.steps.iter().flat_map(|step| &step.bindings).filter_map(|binding| match binding {
        Binding::Input { preprocess: Preprocess::Waveform(spec), .. } => Some(spec.length),
        _ => None,
    });
    assert_eq!(lengths.collect::<Vec<_>>(), [10_240]);
    let problems = load("pad_to = 8000").map(|_| panic!("it loads")).unwrap_or_else(|problems| problems);
    let said = problems.to_string();
    assert!(
        said.contains("audio.waveform.pad_to: is 8000, but the window of audio has 8192 samples; write more"),
        "{said}"
    );
}

#[test]
fn alignment_alone_needs_neither_models_nor_steps() {
    let text = shipped("talking-face.toml").replace("model = \"faces\"", "model = \"not there\"");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("p.toml");
    std::fs::write(&path, text).expect("a writable file");
    let (inputs, align) = load_alignment(&path).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((inputs.len(), align.inputs.len()), (2, 2));
}

#[test]
fn methods_without_a_pivot_are_read() {
    let align = |text: &str| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("p.toml");
        let inputs =
            "[inputs.left]\ncontent_type = \"image/jpeg\"\n[inputs.right]\ncontent_type = \"image/jpeg\"";
        std::fs::write(&path, format!("{inputs}\n{text}")).expect("a writable file");
        load_alignment(&path).unwrap_or_else(|error| panic!("{error}")).1
    };
    let exact = align("[align]\nmethod = \"exact\"\nright = { missing = \"drop\" }");
    assert_eq!((&exact.method, exact.pivot()), (&Method::Exact, None));
    assert_eq!((exact.inputs[0].missing, exact.inputs[1].missing), (Missing::Emit, Missing::Drop));
    let plain = align("[align]\nmethod = \"approximate-time\"");
    let min_periods = vec![Duration::ZERO; 2];
    assert_eq!(
        plain.method,
        Method::ApproximateTime(ApproximateTime { min_periods, ..ApproximateTime::default() })
    );
    let all = align(
        "min_period = \"20ms\"\n[align]\nmethod = \"approximate-time\"\nqueue = 50\nmax_interval = \"40ms\"\n\
         age_penalty = 0.5",
    );
    let ApproximateTime { queue, max_interval, age_penalty, min_periods } = match all.method {
        Method::ApproximateTime(approximate) => approximate,
        other => panic!("{other:?}"),
    };
    assert_eq!((queue, max_interval, age_penalty), (50, Some(Duration::from_millis(40)), 0.5));
    assert_eq!(min_periods, [Duration::ZERO, Duration::from_millis(20)]);
    let tumbling = align("[align]\nmethod = \"tumbling\"\nsize = \"500ms\"");
    assert_eq!(tumbling.method, Method::Tumbling { size: Duration::from_millis(500) });
    let session = align("[align]\nmethod = \"session\"\ngap = \"2s\"\nleft = { missing = \"drop\" }");
    let (gap, max) = (Duration::from_secs(2), Duration::from_secs(60));
    assert_eq!((&session.method, session.pivot()), (&Method::Session { gap, max }, None));
    assert_eq!(session.inputs[0].missing, Missing::Drop);
}

#[test]
fn exact_method_is_read_with_its_policies() {
    let text = "[inputs.left]\ncontent_type = \"image/jpeg\"\n[inputs.right]\ncontent_type = \"image/jpeg\"\n\
                [align]\nmethod = \"exact\"\nmax_wait = \"1s\"\nright = { missing = \"drop\" }\n";
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("p.toml");
    std::fs::write(&path, text).expect("a writable file");
    let (_, policy) = load_alignment(&path).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((&policy.method, policy.pivot()), (&Method::Exact, None));
    assert_eq!(policy.max_wait, Duration::from_secs(1));
    assert_eq!([policy.inputs[0].missing, policy.inputs[1].missing], [Missing::Emit, Missing::Drop]);
}

#[test]
fn stateful_step_refuses_revised_bundles() {
    for key in ["allowed_lateness = \"1s\"", "emit = \"early-and-final\""] {
        let text = shipped("voice.toml");
        let text = match text.contains("[align]") {
            true => text.replace("[align]", &format!("[align]\n{key}")),
            false => format!("{text}\n[align]\n{key}\n"),
        };
        let found = problems(&text);
        assert!(found.iter().any(|it| it.message.contains("no bundle may pass it twice")), "{found:#?}");
    }
}

#[test]
fn bounds_are_read_and_an_empty_table_is_refused() {
    let read = |bounds: &str| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("p.toml");
        let input = "[inputs.a]\ncontent_type = \"image/jpeg\"\n";
        std::fs::write(&path, format!("{input}{bounds}")).expect("a writable file");
        load_alignment(&path).map(|(_, align)| align.bounds).map_err(|error| error.to_string())
    };
    assert_eq!(read(""), Ok(Bounds::default()));
    assert_eq!(read("[align]"), Ok(Bounds::default()));
    let bounds = Bounds {
        stream_items: Some(100),
        stream_bytes: Some(8 << 20),
        stream_span: Some(Duration::from_secs(10)),
        items: Some(10_000),
        bytes: Some(64 << 20),
        overflow: Overflow::DropOldest,
    };
    let text = "[align.bounds]\nstream_items = 100\nstream_bytes = \"8MiB\"\nstream_span = \"10s\"\nitems = 10000\n\
                bytes = \"64MiB\"\noverflow = \"drop-oldest\"";
    assert_eq!(read(text), Ok(bounds));
    for (text, says) in [
        ("overflow = \"close\"", "has no bound; write one of stream_items"),
        ("stream_items = 0", "is out of range 1..="),
        ("items = 5\noverflow = \"drop\"", "\"drop-newest\""),
        ("itmes = 5\nbytes = 1", "itmes"),
    ] {
        let error = read(&format!("[align.bounds]\n{text}")).expect_err(text);
        assert!(error.contains("align.bounds") && error.contains(says), "{error}");
    }
}

#[test]
fn lateness_and_early_bundles_need_a_pivot() {
    let read = |align: &str| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("p.toml");
        let inputs =
            "[inputs.a]\ncontent_type = \"image/jpeg\"\n[inputs.b]\ncontent_type = \"image/jpeg\"\n[align]";
        std::fs::write(&path, format!("{inputs}\n{align}")).expect("a writable file");
        load_alignment(&path).map(|(_, align)| align.revise).map_err(|error| error.to_string())
    };
    let both = "allowed_lateness = \"3s\"\nemit = \"early-and-final\"";
    let revise = read(&format!("{both}\npivot = \"a\"\nb = {{ latest = {{ max_age = \"1s\" }} }}"));
    assert_eq!(revise, Ok(Revise { allowed_lateness: Duration::from_secs(3), early: true }));
    let error = read(&format!("{both}\nmethod = \"exact\"")).expect_err("no pivot");
    assert!(error.contains("which needs a pivot"), "{error}");
}

#[test]
fn needs_of_an_input_are_read() {
    let read = |text: &str| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("p.toml");
        let inputs = "[inputs.video]\ncontent_type = \"image/jpeg\"\n[inputs.text]\ncontent_type = \"text/plain\"\n\
                      [inputs.sound]\ncontent_type = \"audio/wav\"\n[align]\npivot = \"video\"";
        std::fs::write(&path, format!("{inputs}\n{text}")).expect("a writable file");
        load_alignment(&path).map(|(_, align)| align.inputs).map_err(|error| error.to_string())
    };
    let sound =
        "sound = { window = { before = \"1s\" }, missing = \"drop\", min_count = 2, min_coverage = 0.5 }";
    let of = |text: &str| read(&format!("text = {{ {text} }}\n{sound}"));
    let second = Duration::from_secs(1);
    let inputs =
        of("nearest = { tolerance = \"1s\", reuse = false }, missing = \"hold\", hold_max_age = \"1s\"")
            .expect("valid settings");
    assert_eq!(inputs[1].join, Join::Nearest { tolerance: second, reuse: false });
    assert_eq!(inputs[1].missing, Missing::Hold { max_age: second });
    let needs = Needs { required: true, min_count: 2, min_coverage: Some(0.5) };
    assert_eq!((inputs[2].missing, inputs[2].needs), (Missing::Drop, needs));
    let inputs = of("all_between_pivots = { max_age = \"1s\" }, required = false").expect("valid settings");
    assert_eq!(inputs[1].join, Join::AllBetweenPivots { max_age: second });
    assert_eq!(inputs[1].needs, Needs { required: false, ..Needs::default() });
    for (text, says) in [
        ("latest = { max_age = \"1s\" }, missing = \"hold\"", "write hold_max_age"),
        ("latest = { max_age = \"1s\" }, hold_max_age = \"1s\"", "no effect without missing = \"hold\""),
        ("latest = { max_age = \"1s\" }, required = false, missing = \"drop\"", "remove one of them"),
        ("latest = { max_age = \"1s\" }, min_count = 2", "there is one at most"),
        ("all_between_pivots = { max_age = \"1s\" }, min_coverage = 0.5", "here there is none"),
        ("window = { before = \"1s\" }, required = false, min_count = 2", "remove min_count"),
        ("window = { before = \"1s\" }, min_coverage = 1.5", "1.5 is out of range 0..=1"),
    ] {
        let error = of(text).expect_err(text);
        assert!(error.contains(says), "{text}: {error}");
    }
    let sound = "text = { latest = { max_age = \"1s\" } }\nsound = { window = { before = \"1s\" }, missing = \"hold\", hold_max_age = \"1s\" }";
    let error = read(sound).expect_err("sound cannot be held");
    assert!(error.contains("earlier sound cannot fill a later window"), "{error}");
}

/// The mistakes of two inputs with this `[align]`.
fn wrong(align: &str) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("p.toml");
    let inputs =
        "[inputs.left]\ncontent_type = \"image/jpeg\"\n[inputs.right]\ncontent_type = \"image/jpeg\"";
    std::fs::write(&path, format!("{inputs}\n[align]\n{align}")).expect("a writable file");
    let error = load_alignment(&path).expect_err("a mistake").to_string();
    error.lines().skip(1).map(str::to_owned).collect()
}

#[test]
fn unknown_method_is_the_only_mistake_reported() {
    let mistakes = wrong("method = \"approximate\"\nqueue = 5\nage_penalty = 0.5");
    assert!(
        matches!(mistakes.as_slice(), [one] if one.contains("align.method: is \"approximate\"")),
        "{mistakes:?}"
    );
}

#[test]
fn key_of_another_method_is_reported_with_that_method() {
    for (key, owner) in [
        ("queue = 5", "approximate-time"),
        ("max_interval = \"1s\"", "approximate-time"),
        ("age_penalty = 0.5", "approximate-time"),
        ("size = \"1s\"", "tumbling"),
        ("gap = \"1s\"", "session"),
        ("max = \"1s\"", "session"),
    ] {
        let mistakes =
            wrong(&format!("pivot = \"left\"\nright = {{ latest = {{ max_age = \"1s\" }} }}\n{key}"));
        let says = format!("belongs to method = \"{owner}\", and here it is \"pivot\"");
        assert!(matches!(mistakes.as_slice(), [one] if one.contains(&says)), "{mistakes:?}");
    }
    let mistakes = wrong("method = \"session\"\ngap = \"1s\"\nsize = \"1s\"");
    assert!(
        matches!(mistakes.as_slice(), [one] if one.contains("belongs to method = \"tumbling\"")),
        "{mistakes:?}"
    );
}
