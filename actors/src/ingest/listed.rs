//! A list of partitions for the log.

use std::collections::BTreeMap;
use std::fmt::Write;

use lockstep_engine::ingest::InputSpec;
use lockstep_engine::position::{InputId, PartitionId};

use crate::input_name::input_name;

/// Lists partitions by input, as `video 0-3 7, audio 0-3 7`.
pub(super) fn listed(inputs: &[InputSpec], partitions: impl IntoIterator<Item = PartitionId>) -> String {
    let mut by_input = BTreeMap::<InputId, Vec<i32>>::new();
    for PartitionId { input, partition } in partitions {
        by_input.entry(input).or_default().push(partition);
    }
    let mut text = String::new();
    for (input, mut numbers) in by_input {
        numbers.sort_unstable();
        let name = input_name(inputs, input);
        // Writing to a string cannot fail.
        let _ = write!(text, "{}{name}", if text.is_empty() { "" } else { ", " });
        for run in numbers.chunk_by(|before, after| before + 1 == *after) {
            let _ = match run {
                [first, .., last] => write!(text, " {first}-{last}"),
                [only] => write!(text, " {only}"),
                [] => Ok(()),
            };
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listed_groups_partitions_by_input_in_runs() {
        let of = |input, partition| PartitionId { input: InputId(input), partition };
        let text = listed(&[], [of(1, 7), of(1, 2), of(0, 0), of(1, 1), of(1, 3)]);
        assert_eq!(text, "? 0, ? 1-3 7");
        assert_eq!(listed(&[], []), "");
    }
}
