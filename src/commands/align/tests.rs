//! The dry run from lines to lines.

use std::time::Duration;

use lockstep_engine::align::{Bounds, InputPolicy, Join, Method, Missing};
use lockstep_engine::position::InputId;

use super::*;

fn names() -> Vec<String> {
    ["video", "audio", "text"].map(String::from).to_vec()
}

fn policy(missing: Missing) -> AlignPolicy {
    let ns = Duration::from_nanos;
    let input = |name: &str, join, missing| InputPolicy {
        out_of_orderness: ns(10),
        idle_timeout: ns(1_000),
        missing,
        ..InputPolicy::new(name, join)
    };
    AlignPolicy {
        max_wait: ns(5_000),
        forget_after: ns(100_000),
        ..AlignPolicy::new(
            Method::Pivot(InputId(0)),
            vec![
                input("video", Join::Pivot, Missing::Emit),
                input("audio", Join::Window { before: ns(100), after: ns(0) }, missing),
                input("text", Join::Latest { max_age: ns(500) }, Missing::Emit),
            ],
        )
    }
}

/// The output, the errors and the summary for some lines.
fn try_out(policy: AlignPolicy, input: &str) -> (Vec<String>, String, Summary) {
    let (mut output, mut errors) = (Vec::new(), Vec::new());
    let summary = dry_run(
        &names(),
        &[],
        policy,
        &mut DryRunObservers::default(),
        input.as_bytes(),
        &mut output,
        &mut errors,
    )
    .expect("nothing to fail here");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (text(output).lines().map(String::from).collect(), text(errors), summary)
}

#[test]
fn dry_run_prints_bundles_in_the_order_in_which_they_close() {
    let (lines, errors, summary) = try_out(
        policy(Missing::Emit),
        r#"{"stream":"a","input":"text","event_time_ns":950,"id":"t"}
           {"stream":"a","input":"audio","event_time_ns":900,"duration_ns":60}
           {"stream":"a","input":"video","event_time_ns":1000,"id":"v"}

           {"stream":"b","input":"video","event_time_ns":1000}
           {"stream":"a","input":"audio","event_time_ns":960,"duration_ns":60}
           {"stream":"a","input":"text","event_time_ns":1011}
           {"stream":"a","input":"video","event_time_ns":1010,"id":"w"}
           {"stream":"a","input":"video","event_time_ns":1010,"id":"x"}
           {"stream":"a","input":"audio","event_time_ns":1,"duration_ns":20}"#,
    );
    assert_eq!(errors, "");
    assert_eq!(
        lines,
        [
            r#"{"stream":"a","event_time_ns":1000,"inputs":{"video":["v"],"audio":[2,6],"text":["t"]},"skew_ns":{"video":0,"audio":0,"text":-50},"coverage":{"audio":1.0},"complete":true}"#,
            r#"{"duplicate":{"stream":"a","input":"video","id":"x","event_time_ns":1010}}"#,
            r#"{"late":{"stream":"a","input":"audio","id":10,"event_time_ns":1,"late_by_ns":881}}"#,
            r#"{"stream":"a","event_time_ns":1010,"inputs":{"video":["w"],"audio":[2,6],"text":["t"]},"skew_ns":{"video":0,"audio":0,"text":-60},"coverage":{"audio":1.0},"complete":true}"#,
            r#"{"unused":{"stream":"a","input":"text","id":7,"event_time_ns":1011}}"#,
            r#"{"stream":"b","event_time_ns":1000,"inputs":{"video":[5],"audio":[],"text":[]},"skew_ns":{"video":0},"complete":false,"incomplete":[{"input":"audio","reason":"idle"},{"input":"text","reason":"idle"}]}"#,
        ]
    );
    assert_eq!(
        summary.to_string(),
        "9 samples: 3 bundles (2 complete), 0 dropped, 0 dead-lettered; 1 late, 1 duplicates, 1 unused"
    );
}

#[test]
fn arrivals_drive_the_timers() {
    // After a bundle has closed by the clock, samples for it are late; while it is open they are not.
    for (arrival, late) in [(1_004, 0), (1_005, 1)] {
        let text = format!(
            r#"{}
               {{"stream":"a","input":"video","event_time_ns":999,"arrival_ns":{arrival}}}"#,
            r#"{"stream":"a","input":"video","event_time_ns":1000,"arrival_ns":5}"#
        );
        let (lines, _, summary) = try_out(policy(Missing::DeadLetter), &text);
        assert_eq!((summary.late, summary.dead_letters), (late, 2 - late), "{lines:?}");
        assert!(lines[0].contains(r#""dead_letter":"audio""#), "{}", lines[0]);
    }
}

#[test]
fn a_value_that_is_held_and_how_long_a_bundle_waited_are_told() {
    let mut policy = policy(Missing::Emit);
    policy.inputs[1].needs.required = false;
    policy.inputs[2].missing = Missing::Hold { max_age: Duration::from_nanos(900) };
    let (lines, _, _) = try_out(
        policy,
        r#"{"stream":"a","input":"text","event_time_ns":400,"arrival_ns":5}
           {"stream":"a","input":"video","event_time_ns":1000,"arrival_ns":7}
           {"stream":"a","input":"video","event_time_ns":1200,"arrival_ns":1010}"#,
    );
    assert_eq!(
        lines[0],
        r#"{"stream":"a","event_time_ns":1000,"inputs":{"video":[2],"audio":[],"text":[1]},"skew_ns":{"video":0,"text":-600},"complete":true,"held":["text"],"wait_ns":1000}"#
    );
}

#[test]
fn a_bundle_that_can_be_told_again_has_a_revision() {
    let mut policy = policy(Missing::Emit);
    policy.inputs[2].needs.required = false;
    policy.revise.early = true;
    let (lines, _, summary) = try_out(
        policy,
        r#"{"stream":"a","input":"audio","event_time_ns":900,"duration_ns":100}
           {"stream":"a","input":"video","event_time_ns":1000}
           {"stream":"a","input":"text","event_time_ns":990}"#,
    );
    assert!(lines[0].contains(r#""text":[]},"skew_ns":{"video":0,"audio":0},"coverage":{"audio":1.0},"revision":0,"final":false,"complete":true"#), "{}", lines[0]);
    assert!(lines[1].contains(r#""revision":1,"final":true,"complete":true"#), "{}", lines[1]);
    assert_eq!((summary.bundles, summary.ahead, lines.len()), (1, 1, 2));
    assert!(summary.to_string().ends_with(", 1 told before they were final"));
}

#[test]
fn a_bundle_that_a_policy_drops_says_so() {
    let line = r#"{"stream":"a","input":"video","event_time_ns":1000}"#;
    let (lines, _, summary) = try_out(policy(Missing::Drop), line);
    assert!(
        lines[0].contains(r#""complete":false,"incomplete":[{"input":"audio","reason":"idle"}"#),
        "{}",
        lines[0]
    );
    assert!(lines[0].ends_with(r#","dropped":"audio"}"#), "{}", lines[0]);
    assert_eq!((summary.dropped, summary.bundles, summary.unused), (1, 0, 0));
}

#[test]
fn evicted_samples_are_printed_with_their_bound() {
    let bounds = Bounds { stream_items: Some(3), stream_bytes: Some(100), ..Bounds::default() };
    let policy = AlignPolicy { bounds, ..policy(Missing::Emit) };
    let input = r#"{"stream":"a","input":"audio","event_time_ns":1,"id":"one"}
           {"stream":"a","input":"audio","event_time_ns":2,"bytes":90}
           {"stream":"a","input":"audio","event_time_ns":3,"bytes":10,"id":"three"}
           {"stream":"a","input":"audio","event_time_ns":4,"bytes":11,"id":"four"}
           {"stream":"a","input":"video","event_time_ns":5,"id":"five"}
           {"stream":"a","input":"video","event_time_ns":6,"id":"six"}"#;
    let (lines, _, summary) = try_out(policy.clone(), input);
    assert_eq!(
        lines[..2],
        [
            r#"{"evicted":{"stream":"a","input":"audio","id":"one","event_time_ns":1,"reason":"stream-items"}}"#,
            r#"{"evicted":{"stream":"a","input":"audio","id":2,"event_time_ns":2,"reason":"stream-bytes"}}"#,
        ]
    );
    assert!(lines[2].contains(r#"{"input":"text","reason":"overflow"}"#), "{}", lines[2]);
    assert_eq!((summary.evicted, summary.bundles), (2, 2));
    let watch = DryRunObservers { statistics: Some(Statistics::new(3)), ..DryRunObservers::default() };
    let (watch, summary) = watched(policy, &names(), watch, input);
    let told = json(&watch, &summary, &names());
    assert_eq!(told["evicted_by"], serde_json::json!({"stream-bytes": 1, "stream-items": 1}));
    let table = watch.report(Some(StatisticsFormat::Table), &summary, &names());
    assert!(table.contains("1 sample had to make room: stream-bytes."), "{table}");
}

#[test]
fn lines_are_duplicates_by_time_and_id() {
    let (lines, _, summary) = try_out(
        policy(Missing::Emit),
        r#"{"stream":"a","input":"audio","event_time_ns":1,"id":2}
           {"stream":"a","input":"audio","event_time_ns":1}
           {"stream":"a","input":"audio","event_time_ns":1,"id":2}
           {"stream":"b","input":"audio","event_time_ns":1,"id":2}"#,
    );
    assert_eq!(lines[0], r#"{"duplicate":{"stream":"a","input":"audio","id":2,"event_time_ns":1}}"#);
    assert_eq!((summary.duplicates, summary.unused), (1, 3));
}

#[test]
fn a_bad_line_is_named_and_the_rest_goes_on() {
    let (lines, errors, summary) = try_out(
        policy(Missing::Emit),
        "nonsense\n{\"stream\":\"a\",\"input\":\"radar\",\"event_time_ns\":1}\n{\"stream\":\"a\",\"input\":\"video\",\"event_time_ns\":1}",
    );
    assert_eq!((lines.len(), summary.bad_lines, summary.samples), (1, 2, 1));
    let errors: Vec<&str> = errors.lines().collect();
    assert!(
        errors[0].starts_with("error: line 1: is not JSON: \"nonsense\"; a sample is one object, as {"),
        "{}",
        errors[0]
    );
    assert_eq!(
        errors[1],
        "error: line 2: input is \"radar\", which is not in the pipeline; it has video, audio, text"
    );
    assert!(summary.to_string().ends_with("; 2 bad lines"));
}

#[test]
fn samples_of_the_very_same_time_are_joined_without_a_pivot() {
    let mut policy = policy(Missing::Emit);
    policy.method = Method::Exact;
    policy.inputs.iter_mut().for_each(|input| input.out_of_orderness = Duration::ZERO);
    let (lines, errors, summary) = try_out(
        policy,
        r#"{"stream":"a","input":"video","event_time_ns":1000,"id":"v"}
           {"stream":"a","input":"text","event_time_ns":1000,"id":"t"}
           {"stream":"a","input":"audio","event_time_ns":1000,"id":"s"}
           {"stream":"a","input":"audio","event_time_ns":1000,"id":"again"}
           {"stream":"a","input":"video","event_time_ns":1040,"id":"w"}"#,
    );
    assert_eq!(errors, "");
    assert!(
        lines[0].starts_with(
            r#"{"stream":"a","event_time_ns":1000,"inputs":{"video":["v"],"audio":["s"],"text":["t"]}"#
        ),
        "{lines:#?}"
    );
    assert_eq!((summary.bundles, summary.complete, summary.duplicates), (2, 1, 1));
}

/// A dry run under watch, its output thrown away.
fn watched(
    policy: AlignPolicy,
    names: &[String],
    mut watch: DryRunObservers,
    input: &str,
) -> (DryRunObservers, Summary) {
    let summary = dry_run(names, &[], policy, &mut watch, input.as_bytes(), io::sink(), &mut io::sink())
        .expect("nothing to fail here");
    (watch, summary)
}

fn talking_face() -> (Vec<String>, AlignPolicy, String) {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let (inputs, policy) =
        load_alignment(&root.join("config/talking-face.toml")).expect("the shipped pipeline is right");
    let samples = std::fs::read_to_string(root.join("docs/alignment.jsonl")).expect("the docs' samples");
    (inputs.into_iter().map(|input| input.name).collect(), policy, samples)
}

fn json(watch: &DryRunObservers, summary: &Summary, names: &[String]) -> Value {
    serde_json::from_str(&watch.report(Some(StatisticsFormat::Json), summary, names)).expect("one object")
}

#[test]
fn the_statistics_count_what_the_lines_say() {
    let (names, policy, samples) = talking_face();
    let watch = DryRunObservers { statistics: Some(Statistics::new(2)), ..DryRunObservers::default() };
    let (watch, summary) = watched(policy, &names, watch, &samples);
    let told = json(&watch, &summary, &names);
    for (name, count) in [
        ("bundles", summary.bundles),
        ("complete", summary.complete),
        ("late", summary.late),
        ("duplicates", summary.duplicates),
        ("unused", summary.unused),
    ] {
        assert_eq!((&told[name], &told["streams"]["cam-1"][name]), (&count.into(), &count.into()), "{name}");
    }
    assert_eq!((summary.bundles, summary.late, summary.duplicates), (17, 1, 1));
    assert_eq!(told["samples"], serde_json::json!({"video": 18, "audio": 34}));
    let share = told["share_complete"].as_f64().expect("a share");
    assert!((share - summary.complete as f64 / 17.0).abs() < 1e-9, "{share}");
    assert_eq!(told["inputs"]["audio"]["coverage"]["windows"], 17);
    assert_eq!(told["inputs"]["video"]["skew_ns"]["max"], 0);
    let waited = told["wait_ns"]["count"].as_u64().expect("waits");
    assert_eq!(waited + told["closed_by_end"].as_u64().expect("a count"), 17);

    let table = watch.report(Some(StatisticsFormat::Table), &summary, &names);
    for start in [
        "input  samples  missing  late",
        "video       18        0     0          1",
        "wait to close",
        "cam-1 ",
    ] {
        assert!(table.lines().any(|line| line.starts_with(start)), "{start:?} is missing in\n{table}");
    }
}

#[test]
fn the_drift_of_a_source_is_told_by_input() {
    // A chunk of 20 ms every 20.002 ms: 100 ppm too slow.
    let line = |stream: &str, n: i64, every: i64| {
        let time = n * every;
        format!(
            "{{\"stream\":\"{stream}\",\"input\":\"audio\",\"event_time_ns\":{time},\"duration_ns\":20000000}}\n"
        )
    };
    let input: String =
        (0..1_500).flat_map(|n| [line("a", n, 20_002_000), line("b", n, 20_000_400)]).collect();
    let short = line("c", 0, 1);
    let watch = DryRunObservers { statistics: Some(Statistics::new(3)), ..DryRunObservers::default() };
    let (watch, summary) = watched(policy(Missing::Emit), &names(), watch, &(input + &short));
    let told = json(&watch, &summary, &names());
    let drift = &told["inputs"]["audio"]["drift_ppm"];
    assert_eq!((&drift["streams"], &drift["unknown"]), (&2.into(), &1.into()), "{drift}");
    let slowest = drift["slowest"].as_f64().expect("a drift");
    assert!((slowest + 100.0).abs() < 0.1, "{drift}");
    assert_eq!(told["inputs"]["video"]["drift_ppm"], Value::Null);
    let table = watch.report(Some(StatisticsFormat::Table), &summary, &names());
    assert!(table.contains("drift in ppm") && table.contains("-100.0"), "{table}");
}

#[test]
fn waits_are_not_made_up_where_no_arrival_is_known() {
    let watch = DryRunObservers { statistics: Some(Statistics::new(3)), ..DryRunObservers::default() };
    let lines =
        "{\"stream\":\"\u{1b}[2J\",\"input\":\"video\",\"event_time_ns\":1000}".replace('\u{1b}', "\\u001b");
    let (watch, summary) = watched(policy(Missing::Emit), &names(), watch, &lines);
    assert_eq!(json(&watch, &summary, &names())["wait_ns"], Value::Null);
    let table = watch.report(Some(StatisticsFormat::Table), &summary, &names());
    assert!(table.contains("how long bundles wait is not known"), "{table}");
    assert!(!table.contains('\u{1b}'), "{table}");
}

#[test]
fn an_empty_input_has_statistics_and_a_picture_too() {
    let watch = DryRunObservers {
        statistics: Some(Statistics::new(3)),
        recording: Some(StreamRecording::new(PlotSelection::default())),
        comparisons: vec![Comparison::new("audio", &names(), &[], &policy(Missing::Emit)).expect("an input")],
    };
    let (watch, summary) = watched(policy(Missing::Emit), &names(), watch, "");
    let text = watch.report(Some(StatisticsFormat::Table), &summary, &names());
    assert!(text.contains("There are too few events to tell"), "{text}");
    let picture = plot::draw::draw(watch.recording.as_ref().expect("a picture"), &names());
    assert!(picture.contains("No samples") && picture.ends_with("</svg>\n"), "{picture}");
}

#[test]
fn the_picture_in_the_docs_is_what_is_drawn() {
    let (names, policy, samples) = talking_face();
    let watch = DryRunObservers {
        recording: Some(StreamRecording::new(PlotSelection::default())),
        ..DryRunObservers::default()
    };
    let (watch, _) = watched(policy, &names, watch, &samples);
    let picture = plot::draw::draw(watch.recording.as_ref().expect("a picture"), &names);
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/alignment.svg");
    if std::fs::read_to_string(&path).ok().as_deref() != Some(picture.as_str()) {
        let drawn = std::env::temp_dir().join("alignment.svg");
        std::fs::write(&drawn, picture).expect("a place for the picture");
        panic!("{} differs from the plot drawn now; look at {} and copy it", path.display(), drawn.display());
    }
}

#[test]
fn plot_draws_a_range_of_a_stream_and_escapes_names() {
    let line = |stream: &str, time: i64| {
        format!("{{\"stream\":\"{stream}\",\"input\":\"video\",\"event_time_ns\":{time}}}\n")
    };
    let input: String =
        (0..30).flat_map(|n| [line("a", n * 1_000_000), line("</text><b>", n * 1_000_000)]).collect();
    let wanted =
        PlotSelection { stream: Some("</text><b>".into()), from: Some(10_000_000), to: Some(12_000_000) };
    let watch =
        DryRunObservers { recording: Some(StreamRecording::new(wanted)), ..DryRunObservers::default() };
    let (watch, _) = watched(policy(Missing::Emit), &names(), watch, &input);
    let recording = watch.recording.as_ref().expect("a picture");
    assert_eq!((recording.shown().len(), recording.bundles, recording.absent()), (3, 30, None));
    let picture = plot::draw::draw(recording, &names());
    assert!(picture.contains("Stream &lt;/text&gt;&lt;b&gt;") && !picture.contains("<b>"), "{picture}");
    assert!(picture.contains("3 of 30 bundles lie in this range"), "{picture}");

    let wanted = PlotSelection { stream: Some("cam-9".into()), ..PlotSelection::default() };
    let watch =
        DryRunObservers { recording: Some(StreamRecording::new(wanted)), ..DryRunObservers::default() };
    let (watch, _) = watched(policy(Missing::Emit), &names(), watch, &input);
    assert_eq!(watch.recording.as_ref().and_then(StreamRecording::absent), Some("cam-9"));
}

#[test]
fn a_clock_that_is_off_is_told_with_the_line_that_corrects_it() {
    let mut time = 1_772_366_400_000_000_000_i64;
    let mut input = String::new();
    for n in 0..200_i64 {
        // Gaps that do not repeat.
        time += 40_000_000 + (n * n * 7_919 % 613) * 1_000_000;
        for (name, time) in [("video", time), ("audio", time - 37_000_000)] {
            input += &format!("{{\"stream\":\"a\",\"input\":\"{name}\",\"event_time_ns\":{time}}}\n");
        }
    }
    let comparison = Comparison::new("audio", &names(), &[], &policy(Missing::Emit)).expect("an input");
    let watch = DryRunObservers {
        statistics: Some(Statistics::new(3)),
        comparisons: vec![comparison],
        ..DryRunObservers::default()
    };
    let (watch, summary) = watched(policy(Missing::Emit), &names(), watch, &input);
    let text = watch.report(None, &summary, &names());
    assert!(text.ends_with("[inputs.audio]\nclock_offset = \"37ms\"\n"), "{text}");
    let told = &json(&watch, &summary, &names())["clock_offsets"][0];
    assert_eq!((&told["reference"], &told["all"]["offset_ns"]), (&"video".into(), &37_000_000.into()));
}

#[test]
fn an_input_to_compare_has_to_be_there_and_another() {
    for (text, says) in [
        ("radar", "no input \"radar\" in the pipeline; it has video, audio, text"),
        ("audio=lidar", "no input \"lidar\""),
        ("audio=audio", "compares an input with itself"),
    ] {
        let error = Comparison::new(text, &names(), &[], &policy(Missing::Emit)).err().expect(text);
        assert!(error.contains(says), "{error}");
    }
    // The pivot is compared with the first other.
    assert!(Comparison::new("video", &names(), &[], &policy(Missing::Emit)).is_ok());
}

#[test]
fn a_byte_order_mark_at_the_beginning_is_passed_over() {
    let line = r#"{"stream":"a","input":"video","event_time_ns":1000}"#;
    let (_, errors, summary) = try_out(policy(Missing::Emit), &format!("\u{feff}{line}\n\u{feff}{line}"));
    assert_eq!((summary.samples, summary.bad_lines), (1, 1), "only there: {errors}");
    assert!(errors.starts_with("error: line 2: is not JSON"), "{errors}");
}

#[test]
fn a_list_is_no_sample() {
    let (_, errors, summary) = try_out(policy(Missing::Emit), r#"["a","video",1000,0,"x",null,0]"#);
    assert_eq!((summary.samples, summary.bad_lines), (0, 1));
    assert!(errors.starts_with("error: line 1: is a list; a sample is an object, as {"), "{errors}");
}
