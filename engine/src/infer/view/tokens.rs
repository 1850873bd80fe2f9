//! The text of a model that writes tokens, by the Hugging Face `tokenizer.json` of the model.

use serde_json::{Value, json};
use tokenizers::Tokenizer;

use crate::infer::extents::described;
use crate::tensor::Tensor;

/// A tokenizer that makes text of tokens.
#[derive(Clone, Debug)]
pub struct TokenDecoder {
    tokenizer: Tokenizer,
}

impl TokenDecoder {
    /// Reads the content of a `tokenizer.json`.
    ///
    /// # Errors
    /// The reason why it is none.
    pub fn read(content: &[u8]) -> Result<Self, String> {
        let tokenizer = Tokenizer::from_bytes(content)
            .map_err(|error| format!("cannot be read as a Hugging Face tokenizer.json: {error}"))?;
        Ok(Self { tokenizer })
    }

    /// Returns true if the tokenizer has a token of this number.
    pub fn knows(&self, token: u32) -> bool {
        self.tokenizer.id_to_token(token).is_some()
    }

    /// `{"text"}`: the tokens before the first `end`, without special tokens and without spaces around.
    pub(super) fn text(&self, tensor: &Tensor, end: Option<u32>) -> Result<Value, String> {
        let &[count] = tensor.shape() else {
            let found = described(tensor.dtype(), tensor.shape());
            return Err(format!("tokens are {found}, expected [tokens]"));
        };
        let mut tokens = Vec::with_capacity(count);
        for place in 0..count {
            let Some(token) = tensor.integer(place) else {
                return Err(format!("tokens are {}, expected whole numbers", tensor.dtype()));
            };
            let known = u32::try_from(token).ok().filter(|token| self.knows(*token));
            // The tokenizer would leave out what it does not know.
            let token = known.ok_or_else(|| {
                format!("the model gives token {token}, which the tokenizer does not have; name the model's own tokenizer")
            })?;
            if end == Some(token) {
                break;
            }
            tokens.push(token);
        }
        let text = self
            .tokenizer
            .decode(&tokens, true)
            .map_err(|error| format!("the tokens cannot be made into text: {error}"))?;
        Ok(json!({ "text": text.trim() }))
    }
}
