//! Checks that the topics of a pipeline exist, are visible, and fit together.

use std::time::Duration;

use lockstep_engine::condition::Cause;
use lockstep_engine::pipeline::Pipeline;

use super::admin::{TopicState, find, input_topics, output_topics};
use super::{Error, diagnosis};

/// The topics of a pipeline, as its user sees them.
pub(super) struct PipelineTopics {
    seen: Vec<String>,
    /// Topics that the user may not see, with the missing right.
    hidden: Vec<(String, Cause)>,
    /// Problems of the other topics, each with its remedy.
    pub(super) problems: Vec<String>,
}

impl PipelineTopics {
    pub(super) fn is_seen(&self, topic: &str) -> bool {
        self.seen.iter().any(|other| other == topic)
    }

    pub(super) fn is_hidden(&self, topic: &str) -> bool {
        self.hidden.iter().any(|(other, _)| other == topic)
    }
}

/// Looks up a pipeline's topics. All inputs need the same number of partitions, so that all records of a stream meet in one process.
///
/// # Errors
/// When the brokers cannot be reached within the time.
pub(super) fn look(pipeline: &Pipeline, within: Duration) -> Result<PipelineTopics, Error> {
    let inputs = input_topics(pipeline);
    let (outputs, state) = (output_topics(pipeline), pipeline.publish.state.as_deref());
    let all: Vec<&str> = inputs.iter().copied().chain(state).chain(outputs).collect();
    let found = find(&pipeline.kafka.brokers, &pipeline.kafka.consumer, &all, within)?;
    let hidden = |(place, (topic, found)): (usize, (&&str, &TopicState))| {
        let right = if place < inputs.len() { "READ" } else { "WRITE" };
        (*found == TopicState::Hidden)
            .then(|| ((*topic).to_owned(), diagnosis::lacks(right, &format!("topic {topic}"))))
    };
    let hidden: Vec<(String, Cause)> = all.iter().zip(&found).enumerate().filter_map(hidden).collect();
    let alike = inputs.len() + usize::from(state.is_some());
    let alike = found.iter().take(alike).filter(|found| **found != TopicState::Hidden).count();
    let shown = all.into_iter().zip(found).filter(|(_, found)| *found != TopicState::Hidden);
    let shown: Vec<(&str, Option<i32>)> = shown.map(|(topic, found)| (topic, found.count())).collect();
    let seen = shown.iter().filter(|(_, count)| count.is_some()).map(|(topic, _)| (*topic).to_owned());
    Ok(PipelineTopics { seen: seen.collect(), hidden, problems: problems(&shown, alike) })
}

/// The problems of a pipeline's topics, each with its remedy.
///
/// # Errors
/// When the brokers cannot be reached within the time, or the user may not see a topic.
pub(super) fn check_topics(pipeline: &Pipeline, within: Duration) -> Result<Vec<String>, Error> {
    let PipelineTopics { hidden, problems, .. } = look(pipeline, within)?;
    if hidden.is_empty() { Ok(problems) } else { Err(Error::Hidden(hidden)) }
}

/// Finds the problems. `found` begins with the topics that need the same number of partitions: the inputs and their state.
fn problems(found: &[(&str, Option<i32>)], alike: usize) -> Vec<String> {
    const REMEDY: &str = "lockstep topics create CONFIG";
    let mut problems: Vec<String> = found
        .iter()
        .filter(|(_, count)| count.is_none())
        .map(|(topic, _)| format!("the topic {topic} does not exist; `{REMEDY}` creates it"))
        .collect();
    let counts: Vec<(&str, i32)> =
        found.iter().take(alike).filter_map(|(topic, count)| Some((*topic, (*count)?))).collect();
    if counts.windows(2).any(|pair| matches!(pair, [a, b] if a.1 != b.1)) {
        let most = counts.iter().map(|(_, count)| *count).max().unwrap_or(1);
        let each: Vec<String> = counts.iter().map(|(topic, count)| format!("{topic} has {count}")).collect();
        problems.push(format!(
            "the topics of the inputs, and of their state, have different numbers of partitions ({}), so the records of \
             one stream would not meet; give all of them {most} (kafka-topics.sh --alter --partitions {most})",
            each.join(", ")
        ));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_name_missing_and_unlike_topics_with_a_remedy() {
        assert!(problems(&[("video", Some(4)), ("audio", Some(4)), ("results", Some(1))], 2).is_empty());
        let missing = problems(&[("video", Some(4)), ("audio", None)], 2);
        assert!(
            matches!(missing.as_slice(), [one] if one.contains("audio") && one.contains("topics create"))
        );
        let unlike = problems(&[("video", Some(4)), ("audio", Some(8)), ("results", Some(3))], 2);
        assert!(matches!(unlike.as_slice(), [one] if one.contains("--partitions 8")), "{unlike:?}");
    }
}
