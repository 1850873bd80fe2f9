//! Holds the settings of a pipeline's topics and brokers against what it will write.

use std::collections::BTreeMap;
use std::time::Duration;

use lockstep_engine::pipeline::{Guarantee, Pipeline};
use lockstep_engine::publish::topic_rules::Purpose;

use super::Error;
use super::admin::{Found, find_with_brokers};
use super::describe::{Describer, Rules, Settings};

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Why the pipeline cannot work, each with its remedy.
    pub problems: Vec<String>,
    /// Why it cannot work yet: the cluster lacks brokers.
    pub not_yet: Vec<String>,
    /// What its users may not expect.
    pub notes: Vec<String>,
    /// How many characters a commit's metadata may have, if that is less than the pipeline takes.
    pub metadata_limit: Option<usize>,
}

/// The least that a commit's metadata must hold: see `delivery.metadata_limit`.
const LEAST_METADATA: usize = 256;

/// Asks the brokers. What may not be asked is noted once, and is no problem.
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
    let (found, brokers) = find_with_brokers(&kafka.brokers, &kafka.consumer, &internal, within)?;
    let broker = brokers.first().map(|id| describer.broker(*id));
    if let Some(Ok(settings)) = broker {
        let is_exact = pipeline.delivery.guarantee == Guarantee::ExactlyOnce;
        of_brokers(&mut findings, &settings, (brokers.len(), &found), is_exact);
        findings.metadata_limit = number(&settings, "offset.metadata.max.bytes")
            .filter(|limit| *limit < pipeline.delivery.metadata_limit);
        if let Some(limit) = findings.metadata_limit.filter(|limit| *limit < LEAST_METADATA) {
            findings.problems.push(format!(
                "the brokers take {limit} characters of metadata with a commit (offset.metadata.max.bytes), and {LEAST_METADATA} \
                 is the least that is needed; raise it there"
            ));
        }
    }
    Ok(findings)
}

/// The topics that a pipeline writes, and what for.
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

fn of_topics(findings: &mut Findings, inputs: &[&str], outputs: &[(&str, Purpose)], rules: &Rules) {
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
            Some(Err(why)) if why != Describer::CANNOT => unknown.entry(why).or_default().push(topic),
            Some(Err(_)) | None => {}
        }
    }
    for (why, topics) in unknown {
        findings.notes.push(format!(
            "the settings of {} cannot be read: {why}; their limits, retention and cleanup policies are not checked",
            topics.join(", ")
        ));
    }
}

/// Topics that brokers make for themselves when they are first needed, and the setting that says how many brokers that takes.
const INTERNAL: [(&str, &str); 2] = [
    ("__consumer_offsets", "offsets.topic.replication.factor"),
    ("__transaction_state", "transaction.state.log.replication.factor"),
];

/// Holds the settings of a broker against how many there are, and what was `found` of [`INTERNAL`]: whether a topic is missing that
/// may not be seen nobody can tell.
fn of_brokers(
    findings: &mut Findings,
    settings: &Settings,
    (brokers, found): (usize, &[Found]),
    is_exact: bool,
) {
    let needed = [("commit positions", true), ("begin a transaction", is_exact)];
    for (((topic, setting), found), (what, is_needed)) in INTERNAL.into_iter().zip(found).zip(needed) {
        let needs = number(settings, setting).filter(|needs| *needs > brokers);
        if let Some(needs) = needs.filter(|_| is_needed && *found == Found::Missing) {
            findings.not_yet.push(format!(
                "nobody can {what}: the brokers cannot make the topic {topic}, which needs {needs} brokers \
                 ({setting}={needs}) where there are {brokers}; add brokers, or set {setting}={brokers} on them and start \
                 them again"
            ));
        }
    }
    let least = number(settings, "transaction.state.log.min.isr").filter(|least| *least > brokers);
    if let Some(least) = least.filter(|_| is_exact) {
        findings.not_yet.push(format!(
            "nobody can begin a transaction: the topic __transaction_state needs {least} replicas in sync \
             (transaction.state.log.min.isr={least}) where there are {brokers} brokers; add brokers, or lower it and start \
             them again"
        ));
    }
}

fn number(settings: &Settings, name: &str) -> Option<usize> {
    settings.get(name)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use lockstep_engine::publish::topic_rules::TopicRules;

    use super::*;

    fn settings(of: &[(&str, &str)]) -> Settings {
        of.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn topics_of_the_brokers_that_cannot_be_made_are_named_with_their_remedy() {
        let three = settings(&[
            ("offsets.topic.replication.factor", "3"),
            ("transaction.state.log.replication.factor", "3"),
            ("transaction.state.log.min.isr", "2"),
        ]);
        let found = |brokers, found: [Found; 2], is_exact| {
            let mut findings = Findings::default();
            of_brokers(&mut findings, &three, (brokers, &found), is_exact);
            findings.not_yet
        };
        let (there, missing, hidden) = (Found::Partitions(50), Found::Missing, Found::Hidden);
        assert_eq!((found(3, [missing; 2], true).len(), found(1, [there, missing], false).len()), (0, 0));
        let one = found(1, [missing; 2], false);
        assert!(
            matches!(one.as_slice(), [one] if one.contains("offsets.topic.replication.factor=1")),
            "{one:?}"
        );
        assert_eq!(found(1, [missing; 2], true).len(), 3);
        assert_eq!(found(1, [there; 2], true).len(), 1);
        assert!(found(1, [hidden; 2], false).is_empty(), "nobody can tell that it is missing");
    }

    #[test]
    fn settings_that_may_not_be_read_are_noted_once() {
        let outputs = [("a", Purpose::Results), ("b", Purpose::DeadLetters), ("c", Purpose::Late)];
        let mut rules: Rules =
            outputs.iter().map(|(topic, _)| ((*topic).to_owned(), Err("no right".into()))).collect();
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
