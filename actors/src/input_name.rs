//! The name of an input, for logs, metrics and messages.

use lockstep_engine::ingest::InputSpec;
use lockstep_engine::position::InputId;

/// Returns the name of an input, or `?` if no input has this id.
pub(crate) fn input_name(inputs: &[InputSpec], input: InputId) -> &str {
    inputs.get(input.index()).map_or("?", |input| input.name.as_str())
}
