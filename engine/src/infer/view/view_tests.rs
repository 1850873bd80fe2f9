use super::*;
use crate::infer::condition::{ShownField, ShownValue};
use crate::infer::head::{BoxFormat, HeadLayout};
use crate::infer::step::{BoxChoice, CtcAlphabet, Reduce, ScoreActivation};
use crate::tensor::{DType, Tensor};

fn f32s(shape: &[usize], values: &[f32]) -> Tensor {
    Tensor::new(shape.to_vec(), values).expect("as many values as the shape says")
}

fn shown(view: View, tensors: Vec<Tensor>) -> Result<String, String> {
    placed(view, tensors, None, None)
}

fn placed(
    view: View,
    tensors: Vec<Tensor>,
    labels: Option<Arc<[String]>>,
    placement: Option<&Placement>,
) -> Result<String, String> {
    let view = LabelledView::new(OutputView { name: "it".to_owned(), view }, labels);
    view.show(&tensors.into_iter().collect(), placement).map(|value| value.to_string())
}

#[test]
fn numbers_have_the_digits_of_an_f32_and_are_valid_json() {
    let values = f32s(&[2, 3], &[0.1, 1.0, -2.5e-8, f32::NAN, f32::INFINITY, f32::MAX]);
    let raw = shown(View::Raw { output: 0 }, vec![values]);
    assert_eq!(
        raw.as_deref(),
        Ok(r#"{"dtype":"f32","shape":[2,3],"values":[[0.1,1.0,-2.5e-8],[null,null,3.4028235e+38]]}"#)
    );
    let raw = shown(View::Raw { output: 0 }, vec![Tensor::zeros(DType::I64, &[0, 4])]);
    assert_eq!(raw.as_deref(), Ok(r#"{"dtype":"i64","shape":[0,4],"values":[]}"#));
}

#[test]
fn scores_are_reduced_as_configured() {
    let scores = |reduce, threshold, values: &[f32]| {
        let view = View::Scores { output: 0, activation: ScoreActivation::Identity, reduce, threshold };
        shown(view, vec![f32s(&[values.len()], values)]).expect("scores")
    };
    let values = [0.25, 0.75, 0.5];
    assert_eq!(scores(Reduce::All, None, &values), r#"{"scores":[0.25,0.75,0.5]}"#);
    assert_eq!(scores(Reduce::All, Some(0.7), &values), r#"{"detected":true,"scores":[0.25,0.75,0.5]}"#);
    assert_eq!(scores(Reduce::Max, Some(0.75), &values), r#"{"detected":true,"score":0.75}"#);
    assert_eq!(scores(Reduce::Mean, Some(0.7), &values), r#"{"detected":false,"score":0.5}"#);
    assert_eq!(scores(Reduce::Last, None, &values), r#"{"score":0.5}"#);
    assert_eq!(scores(Reduce::Max, Some(0.0), &[]), r#"{"detected":null,"score":null}"#);
    assert_eq!(scores(Reduce::Max, Some(0.0), &[f32::NAN]), r#"{"detected":null,"score":null}"#);
}

#[test]
fn best_classes_come_first_with_their_labels() {
    let view = |k, softmax| {
        let activation = if softmax { ScoreActivation::Softmax } else { ScoreActivation::Identity };
        View::TopK { output: 0, k, labels: None, activation }
    };
    let values = || vec![f32s(&[4], &[1.0, f32::NAN, 3.0, 1.0])];
    assert_eq!(
        shown(view(2, false), values()).as_deref(),
        Ok(r#"[{"class":2,"score":3.0},{"class":0,"score":1.0}]"#)
    );
    let all = shown(view(9, false), values()).expect("all of them");
    assert!(all.ends_with(r#"{"class":3,"score":1.0},{"class":1,"score":null}]"#), "{all}");
    let named = placed(view(1, false), values(), Some(labels("cat\ndog\nbird\nfish\n")), None);
    assert_eq!(named.as_deref(), Ok(r#"[{"class":2,"label":"bird","score":3.0}]"#));
    let few = placed(view(1, false), values(), Some(labels("cat\ndog")), None);
    assert_eq!(
        few.as_deref().map_err(String::as_str),
        Err("result it: the output has 4 classes and the file 2 labels; write one label for each class")
    );
    // e / (1 + e) of logits that would overflow on their own.
    let sure = shown(view(1, true), vec![f32s(&[2], &[1000.0, 999.0])]).expect("softmax");
    assert_eq!(sure, r#"[{"class":0,"score":0.7310586}]"#);
}

#[test]
fn embedding_is_normalized_to_length_one() {
    let view = |normalize| View::Embedding { output: 0, normalize };
    assert_eq!(shown(view(true), vec![f32s(&[2], &[3.0, 4.0])]).as_deref(), Ok("[0.6,0.8]"));
    assert_eq!(shown(view(false), vec![f32s(&[2], &[3.0, 4.0])]).as_deref(), Ok("[3.0,4.0]"));
    assert_eq!(shown(view(true), vec![f32s(&[2], &[0.0, 0.0])]).as_deref(), Ok("[0.0,0.0]"));
}

fn found(classes: Option<usize>, landmarks: Option<usize>) -> View {
    let choice = BoxChoice::from_score(0.5);
    View::Detections { boxes: 0, scores: 1, classes, labels: None, landmarks, choice, track: None }
}

#[test]
fn detections_are_in_pixels_of_the_source() {
    let tensors = vec![
        f32s(&[2, 4], &[10.0, 20.0, 30.0, 60.0, 0.0, 0.0, 1.0, 1.0]),
        f32s(&[2], &[0.9, 0.4]),
        Tensor::new(vec![2], &[1_i64, 0]).expect("two"),
        f32s(&[2, 1, 2], &[20.0, 40.0, 0.0, 0.0]),
    ];
    let placement = Placement {
        source_width: 80,
        source_height: 30,
        scale_x: 2.0,
        scale_y: 0.5,
        offset_x: 0.0,
        offset_y: -5.0,
    };
    let value = placed(found(Some(2), Some(3)), tensors, Some(labels("cat\ndog")), Some(&placement));
    assert_eq!(
        value.as_deref(),
        Ok(r#"[{"box":[20.0,5.0,60.0,25.0],"class":1,"label":"dog","landmarks":[[40.0,15.0]],"score":0.9}]"#)
    );
}

#[test]
fn no_detections_are_an_empty_list_and_bad_shapes_an_error() {
    let none = vec![Tensor::zeros(DType::F32, &[0, 4]), Tensor::zeros(DType::F32, &[0])];
    assert_eq!(shown(found(None, None), none).as_deref(), Ok("[]"));
    let odd = vec![Tensor::zeros(DType::F32, &[2, 5]), Tensor::zeros(DType::F32, &[2])];
    assert_eq!(
        shown(found(None, None), odd).as_deref().map_err(String::as_str),
        Err("result it: boxes are f32 [2, 5], expected [2, 4]")
    );
    let nan = vec![Tensor::zeros(DType::F32, &[1, 4]), f32s(&[1], &[f32::NAN])];
    assert_eq!(shown(found(None, None), nan).as_deref(), Ok("[]"));
    assert!(shown(View::Raw { output: 3 }, vec![]).is_err());
}

/// The value that a view shows under a name, or under its own; none for null.
fn value(view: &View, field: Option<&str>, labels: &[&str], tensors: Vec<Tensor>) -> Option<ShownValue> {
    let named = |name: &str| view.fields().into_iter().find(|field| field.name() == name);
    let field: ShownField = field.map_or_else(|| view.own_field(), named).expect("a value");
    let labels = (!labels.is_empty()).then(|| labels.iter().copied().map(str::to_owned).collect());
    let view = LabelledView::new(OutputView { name: "it".to_owned(), view: view.clone() }, labels);
    view.value(field, &tensors.into_iter().collect(), None).expect("it fits the view")
}

#[test]
fn single_values_are_those_of_the_result() {
    let number = |number: f64| Some(ShownValue::Number(number));
    let text = |text: &str| Some(ShownValue::Text(text.to_owned()));
    let row = |values: &[f32]| vec![f32s(&[values.len()], values)];
    let activation = ScoreActivation::Identity;

    let scores = View::Scores { output: 0, activation, reduce: Reduce::Max, threshold: Some(0.3) };
    assert_eq!(value(&scores, None, &[], row(&[0.1, 0.3])), number(0.3));
    assert_eq!(value(&scores, Some("score"), &[], row(&[0.1])), number(0.1));
    assert_eq!(value(&scores, Some("detected"), &[], row(&[0.1])), Some(ShownValue::Flag(false)));
    assert_eq!(value(&scores, None, &[], row(&[])), None);
    assert_eq!(value(&scores, Some("detected"), &[], row(&[f32::NAN])), None);
    let all = View::Scores { output: 0, activation, reduce: Reduce::All, threshold: None };
    assert_eq!((all.fields(), all.own_field()), (Vec::new(), None));

    let topk = View::TopK { output: 0, k: 2, labels: Some("labels.txt".into()), activation };
    let names = ["cat", "dog"];
    assert_eq!(value(&topk, Some("label"), &names, row(&[0.25, 0.75])), text("dog"));
    assert_eq!(value(&topk, Some("class"), &names, row(&[0.25, 0.75])), number(1.0));
    assert_eq!(value(&topk, Some("score"), &names, row(&[0.25, 0.75])), number(0.75));
    assert_eq!(value(&topk, Some("score"), &names, row(&[f32::NAN, f32::NAN])), None);
    assert_eq!(value(&topk, Some("label"), &[], row(&[])), None);

    let choice = BoxChoice::from_score(0.5);
    let format = BoxFormat::Corners;
    let boxes = View::Anchors {
        output: 0,
        layout: HeadLayout::AttributesFirst,
        format,
        labels: None,
        choice,
        track: None,
    };
    let scores = [0.4, 0.6, 0.1, 0.2, 0.0, 0.0, 0.9, 0.0];
    let anchors =
        f32s(&[5, 8], &[[0.0; 16], [2.0; 16]].concat().into_iter().chain(scores).collect::<Vec<_>>());
    assert_eq!(value(&boxes, Some("count"), &[], vec![anchors]), number(2.0));
    assert_eq!(boxes.own_field(), None);

    let alphabet = CtcAlphabet { blank: 0, space: None, activation: ScoreActivation::Softmax };
    let said = View::CtcText { output: 0, labels: "labels.txt".into(), alphabet };
    let letters = || vec![f32s(&[2, 2], &[0.0, 9.0, 9.0, 0.0])];
    assert_eq!(value(&said, None, &["-", "a"], letters()), text("a"));
    assert_eq!(value(&said, Some("text"), &["-", "a"], letters()), text("a"));
    let log = value(&said, Some("log_probability"), &["-", "a"], letters());
    assert!(matches!(log, Some(ShownValue::Number(log)) if (-0.001..0.0).contains(&log)), "{log:?}");
    assert_eq!(value(&said, None, &["-", "a"], vec![f32s(&[1, 2], &[f32::NAN, 0.0])]), None);
}
