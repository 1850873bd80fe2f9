//! Text to tokens.

use tokenizers::{PaddingDirection, PostProcessor, PostProcessorWrapper, Tokenizer, TruncationParams};

use super::spec::TextSpec;
use super::undecodable;
use crate::fault::Fault;
use crate::sample::Sample;

/// Which of a text's tensors is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Output {
    Ids,
    Mask,
}

/// A tokenizer made ready to cut texts to a length.
pub(super) struct TextPlan {
    tokenizer: Tokenizer,
    special_tokens: bool,
    added: usize,
    pad_id: i64,
    pad_left: bool,
    output: Output,
}

impl TextPlan {
    /// Reads the tokenizer. Truncation and padding are the settings' own, on the side that the file names
    /// (right where it names none).
    pub(super) fn new(spec: &TextSpec, output: Output) -> Result<Self, String> {
        let path = spec.tokenizer.display();
        let mut tokenizer = Tokenizer::from_file(&spec.tokenizer)
            .map_err(|error| format!("{path} cannot be read as a Hugging Face tokenizer.json: {error}"))?;
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
        Ok(Self {
            tokenizer,
            special_tokens: spec.special_tokens,
            added,
            pad_id: spec.pad_id,
            pad_left,
            output,
        })
    }

    /// Fills a row and tells how many tokens there were before truncation.
    pub(super) fn write(&self, sample: &Sample, row: &mut [i64]) -> Result<usize, Fault> {
        let text = std::str::from_utf8(&sample.record.payload).map_err(|error| {
            undecodable(format!("the text is not UTF-8: byte {} cannot be read", error.valid_up_to()))
        })?;
        let encoding = self
            .tokenizer
            .encode_fast(text, self.special_tokens)
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
        match self.output {
            Output::Ids => {
                pad.fill(self.pad_id);
                tokens.iter_mut().zip(ids).for_each(|(to, id)| *to = i64::from(*id));
            }
            Output::Mask => {
                pad.fill(0);
                tokens.fill(1);
            }
        }
        // What was cut off comes in pieces of the same length, each with its own special tokens.
        let cut = encoding.get_overflowing().iter().map(|piece| piece.len().saturating_sub(self.added));
        Ok(ids.len() + cut.sum::<usize>())
    }
}
