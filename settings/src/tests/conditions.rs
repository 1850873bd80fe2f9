//! Steps that depend on others: conditions, compared with what earlier steps show, sources that may be missing, and texts
//! that earlier steps show.

use lockstep_engine::infer::condition::ShownField;
use lockstep_engine::infer::signature::{Dim, Signature, TensorSpec};
use lockstep_engine::infer::step::OnMissing;
use lockstep_engine::tensor::DType;

use super::*;

fn tensor(name: &str, row: &[usize]) -> TensorSpec {
    let batch = Dim::Named("batch".to_owned());
    let shape = std::iter::once(batch).chain(row.iter().copied().map(Dim::Fixed)).collect();
    TensorSpec { name: name.to_owned(), dtype: DType::F32, shape, rows: None }
}

fn describe(_: &Path) -> Result<Description, String> {
    let signature = Signature {
        inputs: vec![tensor("image", &[3, 64, 64])],
        outputs: vec![tensor("head", &[6, 100]), tensor("letters", &[50, 2]), tensor("classes", &[2])],
        ..Signature::default()
    };
    Ok(Description { backend: "onnxruntime", signature })
}

/// Loads a pipeline in which `later` has a condition on what `seen` shows.
fn load_when(when: &str) -> Result<Pipeline, Problems> {
    load_later(&format!("when = {when}"), "image = { from = \"video\", image = { width = 64, height = 64 } }")
}

/// Loads a pipeline in which `later` has these keys and this input beside what `seen` shows.
fn load_later(more: &str, input: &str) -> Result<Pipeline, Problems> {
    let folder = tempfile::tempdir().expect("a folder");
    let version = folder.path().join("models/any/1");
    std::fs::create_dir_all(&version).expect("a folder");
    std::fs::write(version.join("any.onnx"), "content").expect("a writable file");
    std::fs::write(folder.path().join("labels.txt"), "cat\ndog\n").expect("a writable file");
    let step = |name: &str, more: &str, input: &str, outputs: &str| {
        format!(
            "[steps.{name}]\nmodel = \"any\"\n{more}\n[steps.{name}.inputs]\n{input}\n[steps.{name}.outputs]\n{outputs}"
        )
    };
    let outputs = "boxes = { detections = { head = \"yolov8\", output = \"head\" } }
class = { topk = { output = \"classes\", labels = \"labels.txt\" } }
bare = { topk = { output = \"classes\" } }
said = { ctc = { output = \"letters\", labels = \"labels.txt\" } }
best = { scores = { output = \"classes\", reduce = \"max\", threshold = 0.5 } }
all = { scores = { output = \"classes\" } }
vector = { embedding = { output = \"classes\" } }
";
    let text = format!(
        "[pipeline]\nname = \"p\"\n[models]\nrepository = \"models\"\n[inputs.video]\ncontent_type = \
         \"image/jpeg\"\n{}{}",
        // The order in the file does not matter.
        step("later", more, input, "it = { raw = { output = \"classes\" } }\n"),
        step("seen", "", "image = { from = \"video\", image = { width = 64, height = 64 } }", outputs)
    );
    let path = folder.path().join("p.toml");
    std::fs::write(&path, &text).expect("a writable file");
    let loaded = load(&path, &Overrides::default(), &describe);
    assert!(loaded.is_err() || schema::refused(&text).is_empty(), "{text}");
    loaded
}

#[test]
fn condition_makes_its_step_wait_for_what_it_compares() {
    let when = "\"seen.best >= 0.5 and seen.boxes.count > 0 or not seen.class.label == 'dog'\"";
    let pipeline = load_when(when).unwrap_or_else(|problems| panic!("{problems}"));
    let [seen, later] = pipeline.steps.as_slice() else { panic!("two steps") };
    assert_eq!((seen.name.as_str(), later.waits_for(), later.takes_from()), ("seen", vec![0], Vec::new()));
    let condition = later.when.as_ref().expect("a condition");
    assert_eq!(format!("{condition:?}").matches("step: 0").count(), 3);
    assert_eq!(
        condition.values().iter().map(|(operand, _)| (operand.view, operand.field)).collect::<Vec<_>>(),
        [(4, ShownField::Score), (0, ShownField::Count), (1, ShownField::BestLabel)]
    );
    assert_eq!(format!("\"{condition}\""), when);
    for when in
        ["seen.said != ''", "seen.said.log_probability > -0.5", "seen.best.detected", "seen.bare.class == 1"]
    {
        load_when(&format!("{when:?}")).unwrap_or_else(|problems| panic!("{problems}"));
    }
}

#[test]
fn condition_that_cannot_be_decided_is_refused() {
    for (when, expected) in [
        ("seen.best = 1", "at character 11: \"=\" is no comparison; write =="),
        ("see.best > 1", "see.best names no step \"see\"; did you mean \"seen\"? (steps: later, seen)"),
        ("video.best > 1", "video.best names no step \"video\" (steps: later, seen)"),
        (
            "seen.bets > 1",
            "seen.bets: seen shows no output \"bets\"; did you mean \"best\"? (shown: boxes, class,",
        ),
        (
            "seen.letters > 1",
            "seen.letters: seen shows no output \"letters\"; write letters = { scores = { reduce = \"max\" } } in \
             [steps.seen.outputs] (shown: ",
        ),
        ("seen.boxes > 1", "seen.boxes is a list of detections; write seen.boxes.count, their number"),
        (
            "seen.class == 'dog'",
            "seen.class is a list of classes; write seen.class.label or seen.class.score, those of the best",
        ),
        ("seen.all > 1", "seen.all is a list of scores; write reduce = \"max\" in its view"),
        ("seen.vector > 1", "seen.vector is a list of numbers; show it as scores = { reduce = \"max\" }"),
        ("seen.vector.length > 1", "seen.vector is a list of numbers"),
        (
            "seen.boxes.cuont > 1",
            "seen.boxes.cuont: seen.boxes has no value \"cuont\"; did you mean \"count\"? (values: count)",
        ),
        (
            "seen.bare.label == 'dog'",
            "seen.bare.label: seen.bare has no value \"label\" (values: class, score)",
        ),
        ("seen.best", "seen.best is a number; compare it, as seen.best >= 0.5"),
        ("seen.best == 'a'", "seen.best is a number, but 'a' is a text; write a number without quotes"),
        ("seen.said == 1", "seen.said is a text, but 1 is a number; write '1'"),
        ("seen.said > 'a'", "seen.said is a text, which > cannot compare; write == or !="),
        ("not seen.said", "seen.said is a text; compare it, as seen.said != ''"),
        (
            "seen.best.detected == 1",
            "seen.best.detected is true or false; write it alone, or as not seen.best.detected",
        ),
    ] {
        let problems = load_when(&format!("{when:?}")).map(|_| panic!("{when} loads")).unwrap_or_else(|p| p);
        let [problem] = problems.list() else { panic!("{when}: {problems}") };
        assert_eq!((problem.key.as_str(), problem.place), ("steps.later.when", Some((9, 8))), "{when}");
        assert!(problem.message.starts_with(expected), "{when}: {problem:?}");
    }
    let problems = load_when("\"later.it > 1\"").expect_err("it waits for itself");
    assert!(problems.to_string().contains("waits for itself through later -> later"), "{problems}");
    let problems = load_when("0.5").expect_err("no text");
    assert!(problems.to_string().contains("steps.later.when: is 0.5; write a text in quotes"), "{problems}");
}

#[test]
fn stateful_step_has_no_condition() {
    let text =
        shipped("voice.toml").replace("[steps.voice]\n", "[steps.voice]\nwhen = \"voice.speech > 1\"\n");
    let problems = problems(&text);
    let found = problems.iter().any(|problem| {
        problem.key == "steps.voice.when" && problem.message.contains("carries state from bundle to bundle")
    });
    assert!(found, "{problems:?}");
}

/// Loads a pipeline whose model takes three tensors, and its first input from a step.
fn load_fusion(inputs: &str) -> Result<Pipeline, Problems> {
    fn describe(_: &Path) -> Result<Description, String> {
        let signature = Signature {
            inputs: vec![tensor("a", &[8]), tensor("b", &[8]), tensor("there", &[2])],
            outputs: vec![tensor("sum", &[8])],
            ..Signature::default()
        };
        Ok(Description { backend: "onnxruntime", signature })
    }
    let folder = tempfile::tempdir().expect("a folder");
    let version = folder.path().join("models/any/1");
    std::fs::create_dir_all(&version).expect("a folder");
    std::fs::write(version.join("any.onnx"), "content").expect("a writable file");
    let sound = "{ from = \"sound\", waveform = { rate = 8000, samples = 8 } }";
    let text = format!(
        "[pipeline]\nname = \"p\"\n[models]\nrepository = \"models\"\n[inputs.sound]\ncontent_type = \
         \"audio/pcm;rate=8000\"\n[steps.first]\nmodel = \"any\"\n[steps.first.inputs]\na = {sound}\nb = \
         {sound}\nthere = {{ zeros = true }}\n[steps.last]\nmodel = \"any\"\n[steps.last.inputs]\n{inputs}"
    );
    let text = text.replace("SOUND", sound);
    let path = folder.path().join("p.toml");
    std::fs::write(&path, &text).expect("a writable file");
    let loaded = load(&path, &Overrides::default(), &describe);
    assert!(loaded.is_err() || schema::refused(&text).is_empty(), "{text}");
    loaded
}

#[test]
fn missing_source_becomes_zeros_and_shows_in_the_mask() {
    let inputs = "a = { from = \"first.sum\", missing = \"zeros\" }\nb = SOUND\nthere = { presence = [\"b\", \"a\"] }\n";
    let pipeline = load_fusion(inputs).unwrap_or_else(|problems| panic!("{problems}"));
    let bindings = &pipeline.steps[1].bindings;
    assert!(matches!(bindings[0], Binding::Output { step: 0, output: 0, missing: OnMissing::Zeros }));
    assert!(matches!(bindings[1], Binding::Input { missing: OnMissing::Skip, .. }));
    assert_eq!(bindings[2], Binding::Presence { inputs: vec![1, 0] });

    let mask =
        |presence: &str| format!("a = SOUND\nb = {{ zeros = true }}\nthere = {{ presence = {presence} }}\n");
    for (inputs, key, expected) in [
        (inputs.replace("\"zeros\"", "\"ones\""), "a.missing", "is \"ones\"; write \"skip\" or \"zeros\""),
        (
            "a = { zeros = true, missing = \"zeros\" }\nb = SOUND\nthere = { zeros = true }\n".to_owned(),
            "a.missing",
            "has no effect without from; remove it",
        ),
        (mask("[]"), "there.presence", "names no input of the model"),
        (mask("[\"a\", \"a\"]"), "there.presence", "has \"a\" twice; remove one of them"),
        (
            mask("[\"a\", \"there\"]"),
            "there.presence",
            "\"there\" is no other input of the model (inputs: a, b)",
        ),
        (mask("[\"a\", \"b\"]"), "there.presence", "names \"b\", which is never missing: it has no from"),
        (mask("\"a\""), "there.presence", "is \"a\"; write a list in brackets"),
    ] {
        let problems = load_fusion(&inputs).map(|_| panic!("{inputs} loads")).unwrap_or_else(|p| p);
        let key = format!("steps.last.inputs.{key}");
        let found =
            problems.list().iter().any(|problem| problem.key == key && problem.message.starts_with(expected));
        assert!(found, "{inputs}: {problems}");
    }
    let problems =
        load_fusion("a = SOUND\nb = SOUND\nthere = { presence = [\"a\"] }\n").expect_err("one of two");
    assert!(
        problems.to_string().contains("input there is f32 [1] a row, expected f32 [2] a row"),
        "{problems}"
    );
}

#[test]
fn text_of_a_step_is_compared_with_what_it_shows() {
    let folder = tempfile::tempdir().expect("a folder");
    let tokenizer = folder.path().join("tokenizer.json");
    std::fs::write(&tokenizer, "{}").expect("a writable file");
    let ids = format!("token_ids = {{ tokenizer = {:?}, length = 8 }}", tokenizer.to_str().expect("plain"));
    for (from, rest, key, expected) in [
        // The model of these tests takes images: a text is found, and its tensor does not fit.
        ("seen.said", ids.as_str(), "", "input image is i64 [8] a row, expected f32 [3, 64, 64] a row"),
        ("seen.said.text", ids.as_str(), "", "input image is i64 [8] a row, expected f32 [3, 64, 64] a row"),
        ("seen.best", ids.as_str(), ".from", "seen.best is a number; name a text"),
        ("seen.letters", ids.as_str(), ".from", "seen.letters: seen shows no output \"letters\""),
        ("seen.class", ids.as_str(), ".from", "seen.class is a list of classes"),
        ("other.said", ids.as_str(), ".from", "other.said names no step \"other\""),
        ("seen.said", "token_ids = { length = 8 }", ".token_ids.tokenizer", "is missing; write tokenizer"),
        ("seen.letters", "waveform = { rate = 8 }", ".waveform", "unknown key"),
    ] {
        let input = format!("image = {{ from = {from:?}, {rest} }}");
        let problems = load_later("", &input).map(|_| panic!("{input} loads")).unwrap_or_else(|p| p);
        let key = format!("steps.later.inputs.image{key}");
        let found =
            problems.list().iter().any(|problem| problem.key == key && problem.message.contains(expected));
        assert!(found, "{input}: {problems}");
    }
}
