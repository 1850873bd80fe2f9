//! The dry run from lines to lines.

use std::time::Duration;

use lockstep_engine::align::{InputPolicy, Join, Method, Missing, Needs};
use lockstep_engine::position::InputId;

use super::*;

fn names() -> Vec<String> {
    ["video", "audio", "text"].map(String::from).to_vec()
}

fn policy(missing: Missing) -> AlignPolicy {
    let ns = Duration::from_nanos;
    let input = |name: &str, join, missing| InputPolicy {
        name: name.into(),
        out_of_orderness: ns(10),
        idle_timeout: ns(1_000),
        join,
        missing,
        clock: Default::default(),
        needs: Needs::default(),
    };
    AlignPolicy {
        method: Method::Pivot(InputId(0)),
        inputs: vec![
            input("video", Join::Pivot, Missing::Emit),
            input("audio", Join::Window { before: ns(100), after: ns(0) }, missing),
            input("text", Join::Latest { max_age: ns(500) }, Missing::Emit),
        ],
        max_wait: ns(5_000),
        forget_after: ns(100_000),
    }
}

/// What is written for some lines, what is complained of, and the summary.
fn try_out(policy: AlignPolicy, input: &str) -> (Vec<String>, String, Summary) {
    let (mut output, mut errors) = (Vec::new(), Vec::new());
    let summary =
        dry_run(&names(), &[], policy, &mut Watch::default(), input.as_bytes(), &mut output, &mut errors)
            .expect("nothing to fail here");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (text(output).lines().map(String::from).collect(), text(errors), summary)
}

#[test]
fn samples_go_in_and_bundles_come_out_in_the_order_in_which_they_close() {
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
    // A bundle that closed by the clock makes what comes after it late; one that is open does not.
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
fn a_bad_line_is_named_and_the_rest_goes_on() {
    let (lines, errors, summary) = try_out(
        policy(Missing::Emit),
        "nonsense\n{\"stream\":\"a\",\"input\":\"radar\",\"event_time_ns\":1}\n{\"stream\":\"a\",\"input\":\"video\",\"event_time_ns\":1}",
    );
    assert_eq!((lines.len(), summary.bad_lines, summary.samples), (1, 2, 1));
    let errors: Vec<&str> = errors.lines().collect();
    assert!(errors[0].starts_with("error: line 1: expected ident; a sample is "), "{}", errors[0]);
    assert_eq!(errors[1], "error: line 2: input \"radar\" is not in the pipeline; it has video, audio, text");
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
