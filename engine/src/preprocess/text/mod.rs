//! Tokenization of text.

mod cut;

use tokenizers::utils::truncation::TruncationDirection;
use tokenizers::{
    Encoding, PaddingDirection, PostProcessor, PostProcessorWrapper, Tokenizer, TruncationParams,
};

use super::fault::undecodable;
use super::spec::TextSpec;
use crate::fault::Fault;
use crate::sample::Sample;
use crate::tensor::DType;

/// The tensor of a text to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Output {
    Ids,
    Mask,
    Types,
}

/// A prepared tokenizer that cuts texts to a length.
pub(super) struct TextPlan {
    tokenizer: Tokenizer,
    special_tokens: bool,
    added: usize,
    length: usize,
    /// True if a long text may be cut before tokenization.
    may_cut: bool,
    /// The value of padding.
    pad: i64,
    pad_left: bool,
    output: Output,
}

/// The number of bytes of a text that are tokenized at first, for each token of the row, and the least number.
const BYTES_PER_TOKEN: usize = 8;
const BYTES_AT_LEAST: usize = 4_096;

/// The usual names of the padding token, for tokenizers that do not declare padding.
const PADDINGS: [&str; 8] = [
    "[PAD]",
    "<pad>",
    "<PAD>",
    "<|pad|>",
    "<|padding|>",
    "<pad_token>",
    "<|finetune_right_pad_id|>",
    "<|vision_pad|>",
];

impl TextPlan {
    /// Reads the tokenizer. Truncation and padding are the settings' own, on the side that the file names
    /// (right where it names none).
    pub(super) fn new(spec: &TextSpec, output: Output) -> Result<Self, String> {
        let path = spec.tokenizer.display();
        let mut tokenizer = Tokenizer::from_file(&spec.tokenizer)
            .map_err(|error| format!("{path} cannot be read as a Hugging Face tokenizer.json: {error}"))?;
        // The post-processor gives tokens their types even if it adds none. Without special tokens it comes back after
        // truncation is set, which would otherwise count them.
        let post_processor = tokenizer.get_post_processor().cloned();
        if !spec.special_tokens {
            tokenizer.with_post_processor(None::<PostProcessorWrapper>);
        }
        let added = tokenizer.get_post_processor().map_or(0, |processor| processor.added_tokens(false));
        if spec.length <= added {
            return Err(format!(
                "length = {} leaves no room for text beside the {added} special tokens of {path}",
                spec.length
            ));
        }
        let pad = match (output, spec.pad_id) {
            (Output::Mask, _) => 0,
            (Output::Ids | Output::Types, Some(said)) => said,
            (Output::Ids, None) => own_padding(&tokenizer).map_err(|why| format!("{path} {why}"))?,
            (Output::Types, None) => tokenizer.get_padding().map_or(0, |padding| padding.pad_type_id.into()),
        };
        if spec.dtype == DType::I32 {
            let largest = match output {
                Output::Ids => tokenizer.get_vocab(true).into_values().max().unwrap_or(0),
                Output::Mask | Output::Types => 0,
            };
            if let Some(wide) = [pad, largest.into()].into_iter().find(|id| i32::try_from(*id).is_err()) {
                return Err(format!(
                    "{path} has the id {wide}, which i32 cannot hold; write dtype = \"i64\""
                ));
            }
        }
        let pad_left = tokenizer.get_padding().is_some_and(|p| matches!(p.direction, PaddingDirection::Left));
        let direction = tokenizer.get_truncation().map(|t| t.direction).unwrap_or_default();
        tokenizer.with_padding(None);
        tokenizer
            .with_truncation(Some(TruncationParams {
                max_length: spec.length,
                direction,
                ..TruncationParams::default()
            }))
            .map_err(|error| format!("{path}: texts cannot be cut to {} tokens: {error}", spec.length))?;
        tokenizer.with_post_processor(post_processor);
        Ok(Self {
            may_cut: direction == TruncationDirection::Right && cut::is_safe(&tokenizer),
            special_tokens: spec.special_tokens,
            added,
            length: spec.length,
            pad,
            pad_left,
            output,
            tokenizer,
        })
    }

    /// Fills a row from a sample; see [`Self::write_text`].
    pub(super) fn write<T>(&self, sample: &Sample, row: &mut [T]) -> Result<usize, Fault>
    where
        T: Copy + TryFrom<i64>,
    {
        let text = std::str::from_utf8(&sample.record.payload).map_err(|error| {
            undecodable(format!("the text is not UTF-8: byte {} cannot be read", error.valid_up_to()))
        })?;
        self.write_text(text, row)
    }

    /// Fills a row and returns the number of tokens before truncation. If the text was cut before tokenization, it is
    /// the number of tokens before the cut.
    pub(super) fn write_text<T>(&self, text: &str, row: &mut [T]) -> Result<usize, Fault>
    where
        T: Copy + TryFrom<i64>,
    {
        let (encoding, tokens_in_all) = self
            .encode(text)
            .map_err(|error| undecodable(format!("the text cannot be made into tokens: {error}")))?;
        let ids = encoding.get_ids();
        let kept = ids.len().min(row.len());
        let padding = row.len() - kept;
        let (pad, tokens) = if self.pad_left {
            row.split_at_mut(padding)
        } else {
            let (tokens, pad) = row.split_at_mut(kept);
            (pad, tokens)
        };
        pad.fill(fitting(self.pad)?);
        let values = match self.output {
            Output::Ids => ids,
            Output::Types => encoding.get_type_ids(),
            Output::Mask => {
                tokens.fill(fitting(1)?);
                return Ok(tokens_in_all);
            }
        };
        for (to, value) in tokens.iter_mut().zip(values) {
            *to = fitting((*value).into())?;
        }
        Ok(tokens_in_all)
    }

    /// The tokens of a text, and their number. The beginning of a long text is enough if it fills the row.
    fn encode(&self, text: &str) -> tokenizers::Result<(Encoding, usize)> {
        let mut most = self.length.saturating_mul(BYTES_PER_TOKEN).max(BYTES_AT_LEAST);
        while self.may_cut && most < text.len() / 2 {
            if let Some(beginning) = cut::beginning(text, most) {
                let (encoding, tokens) = self.encode_whole(beginning)?;
                if tokens >= self.length {
                    return Ok((encoding, tokens));
                }
            }
            most = most.saturating_mul(2);
        }
        self.encode_whole(text)
    }

    fn encode_whole(&self, text: &str) -> tokenizers::Result<(Encoding, usize)> {
        let encoding = self.tokenizer.encode_fast(text, self.special_tokens)?;
        // The tokenizer returns the rest in pieces of the same length, each with its own special tokens.
        let cut = encoding.get_overflowing().iter().map(|piece| piece.len().saturating_sub(self.added));
        let tokens = encoding.len() + cut.sum::<usize>();
        Ok((encoding, tokens))
    }
}

/// The value in the type of a row's elements.
fn fitting<T: TryFrom<i64>>(value: i64) -> Result<T, Fault> {
    T::try_from(value).map_err(|_| {
        undecodable(format!("the text has a token of {value}, too large for the type of the row"))
    })
}

/// The id of the padding token in the tokenizer's file.
fn own_padding(tokenizer: &Tokenizer) -> Result<i64, String> {
    let remedy = "write pad_id = N";
    if let Some(padding) = tokenizer.get_padding() {
        let (id, token) = (padding.pad_id, &padding.pad_token);
        return match tokenizer.token_to_id(token) {
            Some(other) if other != id => Err(format!(
                "says that it pads with {token:?} and with {id}, but {token:?} is {other}; {remedy}"
            )),
            _ => Ok(id.into()),
        };
    }
    let known = PADDINGS.iter().filter_map(|token| tokenizer.token_to_id(token));
    let known: Vec<u32> = known.collect();
    match known.as_slice() {
        [id] => Ok((*id).into()),
        [] => Err(format!("names no token that pads; {remedy}")),
        _ => Err(format!("has several tokens that might pad; {remedy}")),
    }
}

#[cfg(test)]
mod tests;
