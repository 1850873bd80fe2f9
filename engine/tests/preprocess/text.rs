//! Tests of token ids, masks and types against Hugging Face tokenizers. `tests/golden/preprocess/make_text.py` makes the
//! expected values.

use lockstep_engine::media::Media;
use lockstep_engine::preprocess::spec::TextSpec;
use lockstep_engine::preprocess::{Preprocess, Preprocessor};
use lockstep_engine::tensor::DType;

use crate::support::{golden, make, part, path, sample};

#[derive(serde::Deserialize)]
struct Case {
    tokenizer: String,
    text: String,
    length: usize,
    special_tokens: bool,
    ids: Vec<i64>,
    mask: Vec<i64>,
    types: Vec<i64>,
}

fn spec(tokenizer: &str, length: usize) -> TextSpec {
    TextSpec { tokenizer: path(tokenizer), length, special_tokens: true, pad_id: None, dtype: DType::I64 }
}

/// The row of a text, as i64 of either type.
fn row(settings: &Preprocess, text: &str) -> Vec<i64> {
    let input = part(vec![sample(Media::Text, text.as_bytes().to_vec(), 0)]);
    let (tensor, _) = make(settings, &input).expect("a row");
    assert_eq!(tensor.dtype(), settings.dtype());
    match tensor.dtype() {
        DType::I32 => tensor.elements::<i32>().expect("i32").iter().map(|id| i64::from(*id)).collect(),
        _ => tensor.elements::<i64>().expect("i64").to_vec(),
    }
}

/// Padding comes from the tokenizers' own files: declared on the left, declared by no more than a token's name, and
/// with a type of its own.
#[test]
fn ids_masks_and_types_agree_with_hugging_face() {
    let cases: Vec<Case> = serde_json::from_slice(&golden("token-types.json")).expect("json");
    assert!(cases.len() > 100);
    for case in cases {
        for dtype in [DType::I64, DType::I32] {
            let spec =
                TextSpec { special_tokens: case.special_tokens, dtype, ..spec(&case.tokenizer, case.length) };
            let what = format!("{} {:?} {} {dtype}", case.tokenizer, case.text, case.length);
            assert_eq!(row(&Preprocess::TokenIds(spec.clone()), &case.text), case.ids, "{what}");
            assert_eq!(row(&Preprocess::AttentionMask(spec.clone()), &case.text), case.mask, "{what}");
            assert_eq!(row(&Preprocess::TokenTypeIds(spec), &case.text), case.types, "{what}");
        }
    }
}

#[test]
fn token_types_are_padded_with_the_configured_type() {
    let padded = |tokenizer, pad_id| {
        let spec = TextSpec { pad_id, ..spec(tokenizer, 4) };
        row(&Preprocess::TokenTypeIds(spec), "a")
    };
    assert_eq!(padded("tokenizer-segments.json", None), [3, 1, 0, 2]);
    assert_eq!(padded("tokenizer-segments.json", Some(7)), [7, 1, 0, 2]);
    assert_eq!(padded("tokenizer.json", None), [0, 0, 0, 0]);
    assert_eq!(padded("tokenizer.json", Some(4)), [0, 0, 0, 4]);
}

#[test]
fn ids_that_the_type_cannot_hold_are_refused() {
    for (dtype, pad_id, expected) in [
        (DType::I32, Some(1 << 31), "2147483648, which i32 cannot hold; write dtype = \"i64\""),
        (DType::I32, Some(-(1 << 31) - 1), "-2147483649, which i32 cannot hold"),
        (DType::F32, None, "of i32 or i64, not of f32"),
    ] {
        let spec = TextSpec { pad_id, dtype, ..spec("tokenizer.json", 8) };
        for settings in [
            Preprocess::TokenIds(spec.clone()),
            Preprocess::TokenTypeIds(spec.clone()),
            Preprocess::AttentionMask(spec),
        ] {
            let error = Preprocessor::new(&settings).err().expect("refused");
            assert!(error.contains(expected), "{error}");
        }
    }
}
