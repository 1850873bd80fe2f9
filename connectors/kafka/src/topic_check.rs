//! Checks the settings of a pipeline's topics and brokers against the records that it will write.

use std::collections::BTreeMap;
use std::time::Duration;

use lockstep_engine::pipeline::{Guarantee, Pipeline};
use lockstep_engine::publish::topic_rules::Purpose;

use super::Error;
use super::admin::{TopicLookup, TopicState};
use super::describe::{DescribeError, DescribedRules, DescribedSettings, Describer};

/// The findings of the check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Reasons why the pipeline cannot work, each with its remedy.
    pub problems: Vec<String>,
    /// Reasons why it cannot work yet, because the cluster lacks brokers.
    pub not_yet: Vec<String>,
    /// Effects that users may not expect.
    pub notes: Vec<String>,
    /// The most characters of a commit's metadata, if the brokers take fewer than the pipeline is configured for.
    pub metadata_limit: Option<usize>,
}

/// The least space for a commit's metadata, in characters: see `delivery.metadata_limit`.
const LEAST_METADATA: usize = 256;

/// Asks the brokers. A question that the user may not ask becomes one note and no problem.
///
/// # Errors
/// When the brokers cannot be reached within the time.
pub fn check(pipeline: &Pipeline, within: Duration) -> Result<Findings, Error> {
    let describer = Describer::new(&pipeline.kafka.brokers, &pipeline.kafka.consumer, within)?;
    let mut findings = Findings::default();
    let inputs: Vec<&str> = pipeline.inputs.iter().map(|input| input.topic.as_str()).collect();
    let outputs = purposes(pipeline);
    let all: Vec<&str> = inputs.iter().copied().chain(outputs.iter().map(|(topic, _)| *topic)).collect();
    let rules = describer.topics(&all);
    of_topics(&mut findings, &inputs, &outputs, &rules);
    let (kafka, internal) = (&pipeline.kafka, INTERNAL.map(|(topic, _)| topic));
    let (found, brokers) =
        TopicLookup::new(&kafka.brokers, &kafka.consumer, within)?.find_with_brokers(&internal)?;
    let broker = brokers.first().map(|id| describer.broker(*id));
    if let Some(Ok(settings)) = broker {
        let is_exact = pipeline.delivery.guarantee == Guarantee::ExactlyOnce;
        of_brokers(&mut findings, &settings, brokers.len(), &found, is_exact);
        findings.metadata_limit = number(&settings, "offset.metadata.max.bytes")
            .filter(|limit| *limit < pipeline.delivery.metadata_limit);
        if let Some(limit) = findings.metadata_limit.filter(|limit| *limit < LEAST_METADATA) {
            findings.problems.push(format!(
                "the brokers take {limit} characters of metadata with a commit (offset.metadata.max.bytes), fewer than \
                 the {LEAST_METADATA} that Lockstep needs; raise it there"
            ));
        }
    }
    Ok(findings)
}

/// The topics that a pipeline writes, with their purposes.
fn purposes(pipeline: &Pipeline) -> Vec<(&str, Purpose)> {
    let publish = &pipeline.publish;
    let mut purposes = vec![
        (publish.results.as_str(), Purpose::Results),
        (publish.dead_letters.as_str(), Purpose::DeadLetters),
    ];
    purposes.extend(publish.late.as_deref().map(|topic| (topic, Purpose::Late)));
    purposes.extend(publish.state.as_deref().map(|topic| (topic, Purpose::State)));
    purposes
}

fn of_topics(findings: &mut Findings, inputs: &[&str], outputs: &[(&str, Purpose)], rules: &DescribedRules) {
    let largest = inputs.iter().filter_map(|input| {
        let rules = rules.get(*input)?.as_ref().ok()?;
        Some((*input, rules.max_batch?))
    });
    let largest = largest.max_by_key(|(_, limit)| *limit);
    let mut unknown: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (topic, purpose) in outputs {
        match rules.get(*topic) {
            Some(Ok(rules)) => {
                findings.problems.extend(rules.problem(topic, *purpose));
                findings.notes.extend(rules.note(topic, *purpose, largest));
            }
            Some(Err(DescribeError::Failed(why))) => unknown.entry(why).or_default().push(topic),
            Some(Err(DescribeError::Unsupported)) | None => {}
        }
    }
    for (why, topics) in unknown {
        findings.notes.push(format!(
            "the settings of {} cannot be read: {why}; their limits, retention and cleanup policies are not checked",
            topics.join(", ")
        ));
    }
}

/// Topics that brokers create on the first use, and the setting for the number of brokers that this takes.
const INTERNAL: [(&str, &str); 2] = [
    ("__consumer_offsets", "offsets.topic.replication.factor"),
    ("__transaction_state", "transaction.state.log.replication.factor"),
];

/// Checks the settings of a broker against the number of brokers, and against the state of the topics in [`INTERNAL`]. A hidden topic
/// brings no finding, because it may exist.
fn of_brokers(
    findings: &mut Findings,
    settings: &DescribedSettings,
    brokers: usize,
    found: &[TopicState],
    is_exact: bool,
) {
    let needed = [("commits", true), ("transactions", is_exact)];
    for (((topic, setting), found), (what, is_needed)) in INTERNAL.into_iter().zip(found).zip(needed) {
        let needs = number(settings, setting).filter(|needs| *needs > brokers);
        if let Some(needs) = needs.filter(|_| is_needed && *found == TopicState::Missing) {
            findings.not_yet.push(format!(
                "{what} are impossible: the brokers cannot create the topic {topic}, which needs {needs} brokers \
                 ({setting}={needs}) where there are {brokers}; add brokers, or set {setting}={brokers} on them and restart \
                 them"
            ));
        }
    }
    let least = number(settings, "transaction.state.log.min.isr").filter(|least| *least > brokers);
    if let Some(least) = least.filter(|_| is_exact) {
        findings.not_yet.push(format!(
            "transactions are impossible: the topic __transaction_state needs {least} replicas in sync \
             (transaction.state.log.min.isr={least}) where there are {brokers} brokers; add brokers, or lower it and restart \
             them"
        ));
    }
}

fn number(settings: &DescribedSettings, name: &str) -> Option<usize> {
    settings.get(name)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use lockstep_engine::publish::topic_rules::TopicRules;

    use super::*;

    fn settings(of: &[(&str, &str)]) -> DescribedSettings {
        of.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn check_names_internal_topics_that_brokers_cannot_create() {
        let three = settings(&[
            ("offsets.topic.replication.factor", "3"),
            ("transaction.state.log.replication.factor", "3"),
            ("transaction.state.log.min.isr", "2"),
        ]);
        let found = |brokers, found: [TopicState; 2], is_exact| {
            let mut findings = Findings::default();
            of_brokers(&mut findings, &three, brokers, &found, is_exact);
            findings.not_yet
        };
        let (there, missing, hidden) = (TopicState::Partitions(50), TopicState::Missing, TopicState::Hidden);
        assert_eq!((found(3, [missing; 2], true).len(), found(1, [there, missing], false).len()), (0, 0));
        let one = found(1, [missing; 2], false);
        assert!(
            matches!(one.as_slice(), [one] if one.contains("offsets.topic.replication.factor=1")),
            "{one:?}"
        );
        assert_eq!(found(1, [missing; 2], true).len(), 3);
        assert_eq!(found(1, [there; 2], true).len(), 1);
        assert!(found(1, [hidden; 2], false).is_empty(), "a hidden topic may exist");
    }

    #[test]
    fn check_notes_unreadable_settings_once() {
        let outputs = [("a", Purpose::Results), ("b", Purpose::DeadLetters), ("c", Purpose::Late)];
        let unknown = Err(DescribeError::Failed("no right".into()));
        let mut rules: DescribedRules =
            outputs.iter().map(|(topic, _)| ((*topic).to_owned(), unknown.clone())).collect();
        let mut findings = Findings::default();
        of_topics(&mut findings, &[], &outputs, &rules);
        assert!(
            matches!(findings.notes.as_slice(), [one] if one.contains("a, b, c") && one.contains("no right"))
        );
        rules.insert("b".into(), Ok(TopicRules { is_compacted: true, ..TopicRules::default() }));
        of_topics(&mut findings, &[], &outputs, &rules);
        assert_eq!(findings.problems.len(), 1);
    }
}
