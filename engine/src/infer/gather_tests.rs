#![allow(clippy::panic, reason = "a test fails by panicking")]

use proptest::prelude::*;

use super::*;
use crate::fault::{Fault, Reason, StageKind};
use crate::infer::report::StepTiming;
use crate::infer::rows::StepOutput;
use crate::tensor::{DType, Tensor};
use crate::testing::at;

fn detection(score: f32) -> Detection {
    Detection { row: 0, corners: [0.0, 0.0, 1.0, 1.0], score, landmarks: Vec::new() }
}

fn output(row: usize) -> StepOutput {
    [Tensor::zeros(DType::F32, &[row])].into_iter().collect()
}

fn report(row: usize, fails: bool, time: i64) -> StepReport {
    let fault = Fault::new(StageKind::Infer, Reason::ModelFailed, format!("row {row}"));
    let outcome = match fails {
        true => StepOutcome::Failed(StepFailure { fault, culprit: None }),
        false => StepOutcome::Done { output: output(row), placement: None },
    };
    StepReport { outcome, timing: StepTiming { finished_at: at(time), ..StepTiming::default() } }
}

proptest! {
    /// Rows end in any order, and some of them are reported again at any time after that.
    #[test]
    fn gather_reports_once_and_only_when_all_rows_have_ended(
        order in (1usize..30).prop_flat_map(|rows| Just((0..rows).collect::<Vec<usize>>()).prop_shuffle()),
        again in prop::collection::vec((0usize..30, 0usize..30), 0..20),
        failing in prop::collection::btree_set(0usize..30, 0..3),
    ) {
        let rows = order.len();
        let gather = Gather::new("faces.faces", vec![detection(1.0); rows], 100).expect("rows");
        let (mut whole, mut ended) = (Vec::new(), Vec::new());
        let events = (0..rows).flat_map(|place| {
            let repeated = again.iter().filter(move |(after, _)| *after == place);
            let repeated = repeated.map(move |(_, which)| which % (place + 1));
            std::iter::once(place).chain(repeated).map(|place| (place, order[place])).collect::<Vec<_>>()
        });
        for (time, row) in events {
            let is_new = !ended.contains(&row);
            let made = gather.report(row, report(row, failing.contains(&row), time as i64));
            if is_new {
                ended.push(row);
            }
            prop_assert_eq!(made.is_some(), is_new && ended.len() == rows);
            whole.extend(made);
        }
        prop_assert_eq!(whole.len(), 1);
        prop_assert_eq!(whole[0].timing.finished_at, at(rows as i64 - 1), "the last row sets the times");
        let first = failing.iter().find(|row| **row < rows);
        match (&whole[0].outcome, first) {
            (StepOutcome::DoneEach(outputs), None) => {
                let expected: Vec<StepOutput> = (0..rows).map(output).collect();
                let found: Vec<StepOutput> = outputs.iter().map(|row| row.output.clone()).collect();
                prop_assert_eq!(found, expected, "in the order of the detections");
            }
            (StepOutcome::Failed(failure), Some(row)) => {
                let expected = format!("detection {row} of faces.faces: row {row}");
                prop_assert_eq!(&failure.fault.message, &expected);
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn gather_leaves_out_the_worst_detections(
        scores in prop::collection::vec(0u8..6, 0..40),
        most in 1usize..20,
    ) {
        let found: Vec<Detection> = scores.iter().map(|score| detection(f32::from(*score))).collect();
        let Some(gather) = Gather::new("faces.faces", found.clone(), most) else {
            prop_assert!(scores.is_empty());
            return Ok(());
        };
        let chosen: Vec<usize> = gather.detections().iter().map(|detection| detection.place).collect();
        // A detection is chosen if fewer than `most` others are better, or equal and earlier.
        let better = |place: usize| {
            let others = scores.iter().enumerate();
            others.filter(|(other, score)| (**score, place) > (scores[place], *other)).count()
        };
        let expected: Vec<usize> = (0..scores.len()).filter(|place| better(*place) < most).collect();
        prop_assert_eq!(&chosen, &expected);
        prop_assert_eq!(gather.left_out(), scores.len() - chosen.len());
        prop_assert!(gather.detections().iter().all(|detection| detection.found == found[detection.place]));
    }
}
