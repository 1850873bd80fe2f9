//! Safe cuts of a text before tokenization: the tokens before the cut are the tokens of the whole text.
//!
//! A cut is safe if a tokenizer handles each word by itself:
//! - its normalizer changes characters one by one, or joins them only to marks that follow them;
//! - its pre-tokenizer splits text at spaces;
//! - its model sees one piece at a time.
//!
//! Then a single space between two letters or digits is a border of pieces. If a tokenizer is not known to work so,
//! texts are not cut.

use serde_json::Value;
use tokenizers::{ModelWrapper, Tokenizer};

/// Normalizers that handle single characters, or characters with the marks that follow them, or the beginning only.
const NORMALISERS: [&str; 10] =
    ["BertNormalizer", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "Nmt", "Prepend", "Strip", "StripAccents"];

/// Pre-tokenizers that split text at every space.
const AT_SPACES: [&str; 3] = ["BertPreTokenizer", "Whitespace", "WhitespaceSplit"];

/// Pre-tokenizers that handle single characters.
const AT_CHARACTERS: [&str; 2] = ["Digits", "Punctuation"];

/// True if texts may be cut for this tokenizer.
pub(super) fn is_safe(tokenizer: &Tokenizer) -> bool {
    let of = |part: Result<Value, serde_json::Error>| part.unwrap_or(Value::String("unknown".into()));
    let normaliser =
        tokenizer.get_normalizer().is_none_or(|part| normalises_locally(&of(serde_json::to_value(part))));
    let pre_tokenizer = tokenizer.get_pre_tokenizer().is_some_and(|part| {
        let mut parts = Vec::new();
        flatten(&of(serde_json::to_value(part)), "pretokenizers", &mut parts);
        parts.iter().all(|part| parts_at_spaces(part) || AT_CHARACTERS.contains(&kind(part)))
            && parts.iter().any(parts_at_spaces)
    });
    let model = match tokenizer.get_model() {
        // With dropout the tokens are random.
        ModelWrapper::BPE(model) => model.dropout.is_none(),
        ModelWrapper::WordPiece(_) | ModelWrapper::WordLevel(_) | ModelWrapper::Unigram(_) => true,
    };
    // A token of several words could begin before the cut and end after it.
    let words = tokenizer
        .get_added_tokens_decoder()
        .into_values()
        .all(|token| token.content.chars().all(|c| c.is_ascii_graphic()));
    normaliser && pre_tokenizer && model && words
}

fn normalises_locally(normaliser: &Value) -> bool {
    let mut parts = Vec::new();
    flatten(normaliser, "normalizers", &mut parts);
    parts.iter().all(|part| NORMALISERS.contains(&kind(part)))
}

fn parts_at_spaces(part: &Value) -> bool {
    let says = |name: &str| part.get(name).and_then(Value::as_bool) == Some(true);
    match kind(part) {
        "ByteLevel" => says("use_regex"),
        "Metaspace" => says("split"),
        kind => AT_SPACES.contains(&kind),
    }
}

/// The parts of a sequence of sequences, in order.
fn flatten(part: &Value, members: &str, to: &mut Vec<Value>) {
    match part.get(members).and_then(Value::as_array) {
        Some(inner) => inner.iter().for_each(|part| flatten(part, members, to)),
        None => to.push(part.clone()),
    }
}

fn kind(part: &Value) -> &str {
    part.get("type").and_then(Value::as_str).unwrap_or_default()
}

/// The longest beginning of a text that ends at a safe border and has at most `most` bytes.
pub(super) fn beginning(text: &str, most: usize) -> Option<&str> {
    let mut reach = most.saturating_add(1).min(text.len());
    while !text.is_char_boundary(reach) {
        reach -= 1;
    }
    let spaces = text.get(..reach)?.rmatch_indices(' ');
    let mut borders = spaces.filter_map(|(at, _)| Some((text.get(..at)?, text.get(at + 1..)?)));
    let border = borders.find(|(before, behind)| {
        before.chars().next_back().is_some_and(is_plain) && behind.chars().next().is_some_and(is_plain)
    });
    border.map(|(before, _)| before)
}

/// True for letters and digits that no normalizer turns into a space: common scripts, without compatibility forms.
fn is_plain(c: char) -> bool {
    let script = matches!(
        c,
        '0'..='9'
            | 'A'..='Z'
            | 'a'..='z'
            | '\u{c0}'..='\u{24f}'
            | '\u{388}'..='\u{52f}'
            | '\u{561}'..='\u{587}'
            | '\u{5d0}'..='\u{5ea}'
            | '\u{620}'..='\u{64a}'
            | '\u{904}'..='\u{939}'
            | '\u{3041}'..='\u{3096}'
            | '\u{30a1}'..='\u{30fa}'
            | '\u{4e00}'..='\u{9fff}'
            | '\u{ac00}'..='\u{d7a3}'
    );
    script && c.is_alphanumeric()
}
