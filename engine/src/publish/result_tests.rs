#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::PathBuf;

use super::*;
use crate::batch::BatchPolicy;
use crate::infer::extents::Extents;
use crate::infer::job::{Graph, StepReport};
use crate::infer::load_model::LoadModel;
use crate::infer::manifest::Manifest;
use crate::infer::step::{BoxChoice, Care, OutputView, View};
use crate::infer::tracks::TrackRule;
use crate::infer::unit::ModelUnit;
use crate::tensor::Tensor;

/// A step whose view shows detections with tracks.
fn finder() -> Step {
    let manifest = Manifest::parse(include_str!("../../../models/faces/1/model.toml")).unwrap();
    let model = LoadModel {
        name: "faces".to_owned(),
        version: "1".to_owned(),
        file: PathBuf::new(),
        sha256: None,
        weights: None,
        signature: manifest.signature,
        device: Default::default(),
        provider: Default::default(),
        threads: 1,
        warm_up: Vec::new(),
        optimize: Default::default(),
        extents: Extents::default(),
    };
    let view = View::Detections {
        boxes: 0,
        scores: 1,
        classes: None,
        labels: None,
        landmarks: None,
        choice: BoxChoice::from_score(0.0),
        track: Some(TrackRule::default()),
    };
    Step {
        name: "faces".to_owned(),
        unit: ModelUnit { model, backend: "libtorch".to_owned(), residency: Default::default() },
        instances: 1,
        batch: BatchPolicy::default(),
        bindings: Vec::new(),
        when: None,
        outputs: vec![OutputView { name: "found".to_owned(), view }],
        care: Care::default(),
        each: None,
    }
}

fn job(graph: &Graph, id: u64, boxes: &[f32]) -> Arc<Job> {
    let now = Timestamp::from_millis(40 * i64::try_from(id).unwrap());
    let bundle = Bundle {
        stream: "s".into(),
        event_time: now,
        record: None,
        parts: SmallVec::new(),
        first: id == 0,
        opened_at: now,
        closed_at: now,
        revision: 0,
        is_final: true,
        is_repeated: false,
        incomplete: SmallVec::new(),
    };
    let (job, _) = Job::start(id, bundle, graph, now);
    let count = boxes.len() / 4;
    let tensors = [Tensor::new(vec![count, 4], boxes), Tensor::new(vec![count], &vec![0.5_f32; count])];
    let output = tensors.into_iter().map(Option::unwrap).collect();
    let outcome = StepOutcome::Done { output, placement: None };
    job.report((0, 0), StepReport { outcome, timing: StepTiming::default() }, graph, now);
    job
}

fn tracks(record: &OutRecord) -> Vec<Option<u64>> {
    let result: Value = serde_json::from_slice(&record.payload).unwrap();
    let found = result["outputs"]["faces"]["found"].as_array().unwrap();
    found.iter().map(|detection| detection.get("track").and_then(Value::as_u64)).collect()
}

#[test]
fn result_made_again_shows_the_same_tracks() {
    let steps = [finder()];
    let views: Vec<Vec<LabelledView>> = steps
        .iter()
        .map(|step| step.outputs.iter().map(|view| LabelledView::new(view.clone(), None)).collect())
        .collect();
    let graph = Graph::new(&steps, views.clone(), Vec::new());
    let maker = ResultMaker::new("p", "results", Vec::new(), None, &steps, views);
    let mut store = StreamTracks::new(&steps);
    let first = job(&graph, 0, &[0.0, 0.0, 10.0, 10.0, 0.0, 0.0, f32::NAN, 9.0, 50.0, 0.0, 60.0, 10.0]);
    let (record, _) = maker.make(&first, Some(&mut store)).unwrap();
    assert_eq!(tracks(&record), [Some(1), None, Some(2)]);
    let second = job(&graph, 1, &[51.0, 0.0, 61.0, 10.0, 90.0, 0.0, 99.0, 9.0]);
    let (record, _) = maker.make(&second, Some(&mut store)).unwrap();
    assert_eq!(tracks(&record), [Some(2), Some(3)]);
    for (job, expected) in [(&first, vec![Some(1), None, Some(2)]), (&second, vec![Some(2), Some(3)])] {
        let (again, _) = maker.make(job, None).unwrap();
        assert_eq!(tracks(&again), expected);
    }
}
