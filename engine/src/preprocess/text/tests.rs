use std::path::PathBuf;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// A tokenizer of the given parts, with a vocabulary of words and single characters.
fn tokenizer(normaliser: Value, pre_tokenizer: Value, more: Value) -> Tokenizer {
    let mut vocabulary = serde_json::Map::new();
    let pieces = [
        "[UNK]", "[PAD]", "the", "cat", "sat", "##at", "##s", "a", "b", "c", "s", "1", "2", "▁", "Ġ", "Ġthe",
    ];
    let letters = ('a'..='z').flat_map(|c| [c.to_string(), format!("##{c}")]);
    for piece in pieces.iter().map(ToString::to_string).chain(letters) {
        let next = vocabulary.len();
        vocabulary.entry(piece).or_insert(next.into());
    }
    let mut file = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": [],
        "normalizer": normaliser,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": null,
        "decoder": null,
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": vocabulary,
        },
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        file[key] = value.clone();
    }
    Tokenizer::from_bytes(file.to_string()).expect("a tokenizer")
}

fn bert() -> Value {
    json!({"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true})
}

fn byte_level(use_regex: bool) -> Value {
    json!({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": use_regex})
}

fn metaspace(split: bool) -> Value {
    json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": split})
}

fn sequence(kind: &str, parts: Value) -> Value {
    json!({"type": "Sequence", kind: parts})
}

/// Tokenizers for which texts are cut.
fn safe() -> Vec<Tokenizer> {
    let nfkc =
        sequence("normalizers", json!([{"type": "NFKC"}, {"type": "Lowercase"}, {"type": "StripAccents"}]));
    let with_marks = json!({"added_tokens": [{
        "id": 60, "content": "<mask>", "single_word": false, "lstrip": true, "rstrip": true, "normalized": false, "special": true
    }, {
        "id": 61, "content": "cat", "single_word": true, "lstrip": true, "rstrip": true, "normalized": true, "special": false
    }]});
    let digits = json!({"type": "Digits", "individual_digits": true});
    vec![
        tokenizer(bert(), json!({"type": "BertPreTokenizer"}), json!({})),
        tokenizer(nfkc, json!({"type": "Whitespace"}), with_marks.clone()),
        tokenizer(Value::Null, byte_level(true), with_marks),
        tokenizer(json!({"type": "NFD"}), metaspace(true), json!({})),
        tokenizer(
            json!({"type": "Prepend", "prepend": "a"}),
            sequence("pretokenizers", json!([{"type": "WhitespaceSplit"}, digits])),
            json!({}),
        ),
    ]
}

#[test]
fn texts_are_cut_only_for_tokenizers_of_single_words() {
    assert!(safe().iter().all(cut::is_safe));
    let split =
        json!({"type": "Split", "pattern": {"Regex": "\\s+"}, "behavior": "Removed", "invert": false});
    let phrase = json!({"added_tokens": [{
        "id": 60, "content": "cat sat", "single_word": false, "lstrip": false, "rstrip": false, "normalized": true,
        "special": false
    }]});
    let replace = json!({"type": "Replace", "pattern": {"String": " "}, "content": "▁"});
    for unsafe_one in [
        tokenizer(bert(), Value::Null, json!({})),
        tokenizer(bert(), byte_level(false), json!({})),
        tokenizer(bert(), metaspace(false), json!({})),
        tokenizer(bert(), split, json!({})),
        tokenizer(bert(), json!({"type": "Punctuation", "behavior": "Isolated"}), json!({})),
        tokenizer(replace, json!({"type": "Whitespace"}), json!({})),
        tokenizer(bert(), json!({"type": "Whitespace"}), phrase),
    ] {
        assert!(!cut::is_safe(&unsafe_one));
    }
}

fn plan(tokenizer: Tokenizer, length: usize) -> TextPlan {
    TextPlan {
        tokenizer,
        special_tokens: false,
        added: 0,
        length,
        may_cut: true,
        pad: 0,
        pad_left: false,
        output: Output::Ids,
    }
}

#[test]
fn tokenizer_reads_only_the_beginning_of_a_long_text() {
    let mut tokenizer = safe().swap_remove(0);
    let truncation = TruncationParams { max_length: 16, ..TruncationParams::default() };
    tokenizer.with_truncation(Some(truncation)).expect("truncation");
    let plan = plan(tokenizer, 16);
    let text = "the cat sat ".repeat(100_000);
    let (encoding, tokens) = plan.encode(&text).expect("tokens");
    assert_eq!(encoding.len(), 16);
    assert!(tokens < 2 * BYTES_AT_LEAST, "{tokens} of 300000 tokens were made");
    let (encoding, tokens) = plan.encode(&"слово за словом ".repeat(100_000)).expect("tokens");
    assert_eq!(encoding.len(), 16);
    assert!(tokens < 2 * BYTES_AT_LEAST, "{tokens} tokens of another script were made");
    // Without a border there is no cut.
    let one_word = "a".repeat(50_000);
    assert_eq!(plan.encode(&one_word).expect("tokens").0.get_ids(), [0]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Compared with the tokens of the whole text, at every border.
    #[test]
    fn tokens_before_a_cut_equal_tokens_of_the_whole_text(
        words in prop::collection::vec(
            prop::sample::select(vec![
                "the", "cat", "sat", "a", "É", "e\u{301}", "ﬁ", "東京", "<mask>", "12", "'s", ".", "\n", "\t", "  ", "▁", "\u{a0}",
                "Σας", "слово", "Й", "ほし", "다", "\u{37a}", "ﷺ", "x", "\u{301}", "!",
            ]),
            0..30,
        ),
        spaces in prop::collection::vec(prop::sample::select(vec![" ", "", " ", "  "]), 30),
    ) {
        let text: String = words.iter().zip(&spaces).flat_map(|(word, space)| [*word, *space]).collect();
        for tokenizer in safe() {
            let whole = tokenizer.encode_fast(text.as_str(), false).expect("tokens");
            for most in 0..text.len() {
                let Some(beginning) = cut::beginning(&text, most) else { continue };
                prop_assert!(beginning.len() <= most && text.starts_with(beginning));
                let cut = tokenizer.encode_fast(beginning, false).expect("tokens");
                prop_assert!(
                    whole.get_ids().starts_with(cut.get_ids()),
                    "{:?} of {:?}: {:?} of {:?}", beginning, text, cut.get_ids(), whole.get_ids()
                );
            }
        }
    }
}

fn padding(more: Value) -> Result<i64, String> {
    own_padding(&tokenizer(bert(), json!({"type": "BertPreTokenizer"}), more))
}

fn padded(id: u32, token: &str) -> Value {
    json!({"padding": {
        "strategy": "BatchLongest", "direction": "Right", "pad_to_multiple_of": null, "pad_id": id, "pad_type_id": 0,
        "pad_token": token
    }})
}

#[test]
fn padding_comes_from_the_tokenizer() {
    assert_eq!(padding(json!({})), Ok(1), "[PAD] is the second of the vocabulary");
    assert_eq!(padding(padded(7, "not in it")), Ok(7));
    assert_eq!(padding(padded(1, "[PAD]")), Ok(1));
    let wrong = padding(padded(0, "[PAD]")).expect_err("a contradiction");
    assert!(wrong.contains("[PAD]") && wrong.contains("is 1") && wrong.contains("pad_id = N"), "{wrong}");
    let mut none = tokenizer(bert(), json!({"type": "BertPreTokenizer"}), json!({}));
    let model = tokenizers::models::wordlevel::WordLevel::default();
    none.with_model(model);
    assert!(own_padding(&none).expect_err("none").contains("names no token that pads"));
}

#[test]
fn padding_setting_overrides_the_tokenizer() {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/preprocess/tokenizer.json");
    let spec = |pad_id| TextSpec {
        tokenizer: file.clone(),
        length: 8,
        special_tokens: true,
        pad_id,
        dtype: DType::I64,
    };
    let pad = |output, pad_id| TextPlan::new(&spec(pad_id), output).expect("a plan").pad;
    assert_eq!([pad(Output::Ids, None), pad(Output::Ids, Some(9))], [0, 9]);
    assert_eq!([pad(Output::Types, None), pad(Output::Types, Some(9))], [0, 9]);
    assert_eq!(pad(Output::Mask, Some(9)), 0, "of a mask it is 0");
}
