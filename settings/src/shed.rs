//! The samples that an input sheds when the pipeline cannot keep up: `shed` and `must_keep` of `[inputs.<name>]`.

use std::time::Duration;

use lockstep_engine::ingest::shed::{Pattern, ShedPolicy, ShedRule};

use super::kinds::{boolean, list, positive_duration, small, string};
use super::reader::Section;

/// The default age of an arriving sample from which there is a backlog.
const ABOVE: Duration = Duration::from_secs(5);

pub(super) fn shed(input: &Section<'_>) -> Option<ShedPolicy> {
    let must_keep = input.or("must_keep", false, boolean);
    let section = input.table("shed")?;
    if must_keep {
        input.wrong("shed", "contradicts must_keep = true, which never sheds; remove one of them");
    }
    let example = "{ keep_latest = \"500ms\" }";
    let rule = match section.one_of(&["keep_latest", "sample", "priority"], example) {
        Some("keep_latest") => section.optional("keep_latest", positive_duration).map(ShedRule::KeepLatest),
        Some("sample") => {
            let above = section.or("above", ABOVE, positive_duration);
            section.optional("sample", small(2..=1_000_000)).map(|one_of| ShedRule::Sample { one_of, above })
        }
        Some("priority") => {
            let above = section.or("above", ABOVE, positive_duration);
            let patterns =
                section.optional("priority", list(|value| string(value).map(|text| Pattern::new(&text))));
            if patterns.as_ref().is_some_and(Vec::is_empty) {
                section.wrong(
                    "priority",
                    "is empty; write patterns of stream keys, the least important first, as [\"fallback-*\"]",
                );
            }
            patterns.map(|patterns| ShedRule::Priority { patterns, above })
        }
        _ => None,
    };
    let report = section.or("report", false, boolean);
    section.finish();
    rule.map(|rule| ShedPolicy { rule, report })
}
