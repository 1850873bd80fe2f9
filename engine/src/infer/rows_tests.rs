use proptest::prelude::*;

use super::*;
use crate::infer::signature::Dim;

fn spec(name: &str, dtype: DType, shape: &[&str], rows: Option<&str>) -> TensorSpec {
    let dim = |text: &&str| text.parse().map_or_else(|_| Dim::Named((*text).to_owned()), Dim::Fixed);
    TensorSpec {
        name: name.to_owned(),
        dtype,
        shape: shape.iter().map(dim).collect(),
        rows: rows.map(str::to_owned),
    }
}

/// The value at a place, found the slow way: by its index on every axis.
fn at(tensor: &Tensor, place: &[usize]) -> i64 {
    let flat = place.iter().zip(tensor.shape()).fold(0, |flat, (index, extent)| {
        assert!(index < extent);
        flat * extent + index
    });
    tensor.elements::<i64>().expect("i64")[flat]
}

/// All indices of a shape.
fn places(shape: &[usize]) -> Vec<Vec<usize>> {
    shape.iter().fold(vec![Vec::new()], |places, extent| {
        let longer = |place: Vec<usize>| (0..*extent).map(move |index| [&place[..], &[index]].concat());
        places.into_iter().flat_map(longer).collect()
    })
}

fn numbered(shape: &[usize]) -> Tensor {
    let count: usize = shape.iter().product();
    Tensor::new(shape.to_vec(), &(0..count as i64).collect::<Vec<_>>()).expect("as many")
}

/// A signature with one input and output of `row` with the batch inserted at `axis`.
fn batched(row: &[usize], axis: usize) -> Signature {
    let mut shape: Vec<String> = row.iter().map(ToString::to_string).collect();
    shape.insert(axis, "batch".to_owned());
    let shape: Vec<&str> = shape.iter().map(String::as_str).collect();
    let spec = spec("x", DType::I64, &shape, None);
    Signature { inputs: vec![spec.clone()], outputs: vec![spec], ..Signature::default() }
}

proptest! {
    #[test]
    fn batch_holds_each_row_at_its_index(
        row in prop::collection::vec(1..4_usize, 0..4),
        axis in 0..4_usize,
        batch in 1..5_usize,
    ) {
        let axis = axis.min(row.len());
        let signature = batched(&row, axis);
        let rows: Vec<Tensor> = (0..batch)
            .map(|index| {
                let mut tensor = numbered(&row);
                if let Some(values) = tensor.elements_mut::<i64>() {
                    values.iter_mut().for_each(|value| *value += 1000 * index as i64);
                }
                tensor
            })
            .collect();
        let joined = assemble(&signature.inputs[0], &rows.iter().collect::<Vec<_>>()).expect("one shape");
        prop_assert_eq!(joined.shape(), batch_shape(&signature.inputs[0], &row, batch));
        for place in places(joined.shape()) {
            let mut inside = place.clone();
            let of = inside.remove(axis);
            prop_assert_eq!(at(&joined, &place), at(&rows[of], &inside));
        }
        let back = split(&signature, batch, &[joined], |_| true).expect("as the signature says");
        let back: Vec<Tensor> = back.iter().filter_map(|row| row.get(0).cloned()).collect();
        prop_assert_eq!(back, rows);
    }

    #[test]
    fn ragged_items_go_to_their_rows_in_order(
        indices in prop::collection::vec(0..4_i64, 0..12),
        each in prop::collection::vec(1..4_usize, 0..3),
        sorted: bool,
    ) {
        let mut indices = indices;
        if sorted {
            indices.sort_unstable();
        }
        let shape: Vec<String> = each.iter().map(ToString::to_string).collect();
        let shape: Vec<&str> = ["n"].into_iter().chain(shape.iter().map(String::as_str)).collect();
        let signature = Signature {
            outputs: vec![spec("found", DType::I64, &shape, Some("of")), spec("of", DType::I64, &["n"], None)],
            ..Signature::default()
        };
        let found = numbered(&[&[indices.len()], &each[..]].concat());
        let of = Tensor::new(vec![indices.len()], &indices).expect("as many");
        let rows = split(&signature, 4, &[found.clone(), of], |_| true).expect("as the signature says");
        let size: usize = each.iter().product();
        for (row, output) in rows.iter().enumerate() {
            let mine: Vec<usize> = (0..indices.len()).filter(|place| indices[*place] == row as i64).collect();
            let values: Vec<i64> =
                mine.iter().flat_map(|place| found.elements::<i64>().expect("i64")[place * size..][..size].to_vec()).collect();
            prop_assert_eq!(output.get(0).expect("kept").shape(), [&[mine.len()], &each[..]].concat());
            prop_assert_eq!(output.get(0).expect("kept").elements::<i64>().expect("i64"), values);
            prop_assert_eq!(output.get(1), Some(&Tensor::zeros(DType::I64, &[mine.len()])));
        }
    }
}

#[test]
fn rows_of_different_shapes_are_refused() {
    let frames = spec("frames", DType::F32, &["batch", "3", "height", "width"], None);
    let small = Tensor::zeros(DType::F32, &[3, 4, 5]);
    let large = Tensor::zeros(DType::F32, &[3, 4, 6]);
    let error = assemble(&frames, &[&small, &large]).expect_err("two widths").to_string();
    assert_eq!(error, "input frames is f32 [3, 4, 6] a row, expected f32 [3, height=4, width=5] a row");
    assert!(assemble(&frames, &[&Tensor::zeros(DType::U8, &[3, 4, 5])]).is_err());
}

#[test]
fn output_of_another_shape_is_a_named_error() {
    let signature = Signature {
        outputs: vec![
            spec("boxes", DType::F32, &["n", "4"], Some("of")),
            spec("of", DType::I64, &["n"], None),
            spec("score", DType::F32, &["batch"], None),
        ],
        ..Signature::default()
    };
    let boxes = |n: usize| Tensor::zeros(DType::F32, &[n, 4]);
    let of = |indices: &[i64]| Tensor::new(vec![indices.len()], indices).expect("as many");
    let score = |rows: usize| Tensor::zeros(DType::F32, &[rows]);
    assert!(split(&signature, 2, &[boxes(3), of(&[0, 1, 1]), score(2)], |_| true).is_ok());
    for (outputs, said) in [
        (vec![boxes(3), of(&[0, 1, 1])], "2 tensors, expected 3: boxes, of, score"),
        (vec![boxes(3), of(&[0, 1, 1]), score(3)], "output score is f32 [3], expected f32 [batch=2]"),
        (vec![boxes(3), of(&[0, 1]), score(2)], "output of is i64 [2], expected i64 [n=3]"),
        (vec![boxes(3), of(&[0, 1, 2]), score(2)], "output of is pointing to row 2"),
        (vec![boxes(3), of(&[0, -1, 1]), score(2)], "output of is pointing to row -1"),
        (vec![boxes(3), score(3), score(2)], "output of is f32 [3], expected i64"),
        (vec![Tensor::zeros(DType::F32, &[3, 5]), of(&[0, 1, 1]), score(2)], "expected f32 [n, 4]"),
    ] {
        let error = split(&signature, 2, &outputs, |_| true).expect_err(said).to_string();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn mask_is_one_where_a_flag_is_true_in_every_type() {
    for dtype in DType::ALL {
        let mask = mask(dtype, &[true, false, true]);
        let numbers: Vec<Option<f64>> = (0..3).map(|place| mask.number(place)).collect();
        assert_eq!((mask.dtype(), mask.shape()), (dtype, [3].as_slice()));
        assert_eq!(numbers, [Some(1.0), Some(0.0), Some(1.0)], "{dtype}");
    }
}

#[test]
fn item_is_a_tensor_without_the_first_axis() {
    let tensor = Tensor::new(vec![3, 2], &[1i64, 2, 3, 4, 5, 6]).expect("six");
    let found = item(&tensor, 1).expect("the second");
    assert_eq!((found.shape(), found.elements::<i64>()), (&[2][..], Some(&[3, 4][..])));
    assert!(item(&tensor, 3).is_none() && item(&Tensor::zeros(DType::F32, &[]), 0).is_none());
    assert_eq!(
        item(&Tensor::zeros(DType::F32, &[4, 0]), 3).map(|found| found.shape().to_vec()),
        Some(vec![0])
    );
    let scalar = item(&Tensor::zeros(DType::U8, &[4]), 3).expect("the last");
    assert_eq!((scalar.shape(), scalar.bytes().len()), (&[][..], 1));
}
