//! Tests of the view of tokens against Hugging Face. `tests/golden/postprocess/make_text.py` makes the cases.

#![allow(clippy::expect_used, clippy::panic, reason = "helpers of tests may stop, as tests do")]
#![allow(clippy::disallowed_methods, reason = "a test reads golden files")]

use std::path::PathBuf;
use std::sync::Arc;

use lockstep_engine::infer::step::{OutputView, View};
use lockstep_engine::infer::view::{LabelledView, TokenDecoder};
use lockstep_engine::tensor::Tensor;
use serde_json::{Value, json};

fn file(name: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/golden");
    std::fs::read(folder.join(name)).expect(name)
}

fn shown(tokenizer: &str, end: Option<u32>, tokens: Tensor) -> Result<Value, String> {
    let content = file(tokenizer);
    let decoder = Arc::new(TokenDecoder::read(&content).expect("a tokenizer"));
    let view = View::TokenText { output: 0, tokenizer: tokenizer.into(), end };
    let view = OutputView { name: "said".to_owned(), view };
    LabelledView::decoding(view, decoder).show(&std::iter::once(tokens).collect(), None)
}

const BERT: &str = "preprocess/tokenizer.json";

fn row(tokens: &[i64]) -> Tensor {
    Tensor::new(vec![tokens.len()], tokens).expect("as many as the shape says")
}

#[test]
fn token_text_agrees_with_hugging_face() {
    let cases: Vec<Value> = serde_json::from_slice(&file("postprocess/texts.json")).expect("JSON");
    assert!(cases.len() > 50);
    for case in cases {
        let tokens: Vec<i64> = serde_json::from_value(case["tokens"].clone()).expect("tokens");
        let end = case["end"].as_u64().map(|end| u32::try_from(end).expect("a token"));
        let found = shown(case["tokenizer"].as_str().expect("a name"), end, row(&tokens)).expect("a text");
        assert_eq!(found, json!({ "text": case["text"] }), "{case}");
    }
}

#[test]
fn token_text_refuses_what_are_no_tokens() {
    let unknown = shown(BERT, None, row(&[1, 1_000_000])).expect_err("unknown");
    assert!(unknown.contains("gives token 1000000, which the tokenizer does not have"), "{unknown}");
    assert!(shown(BERT, None, row(&[-1])).is_err());
    // What follows the end is padding, whatever it is.
    assert!(shown(BERT, Some(1), row(&[1, -100])).is_ok());
    let floats = Tensor::new(vec![1], &[1.0f32]).expect("one");
    assert!(shown(BERT, None, floats).expect_err("floats").contains("expected whole numbers"));
    let table = Tensor::new(vec![1, 1], &[1i64]).expect("one");
    assert!(shown(BERT, None, table).expect_err("a table").contains("expected [tokens]"));
    assert!(TokenDecoder::read(b"{}").is_err());
}
