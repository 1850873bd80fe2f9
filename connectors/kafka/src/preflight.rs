//! Preflight checks of a pipeline against its brokers: the connection, its topics and their settings, and its rights. They report all
//! problems at once. `run` checks brokers, topics and settings by the same code. It reports a missing right when work fails.

mod group;
mod operations;

use std::time::Duration;

use lockstep_engine::condition::Cause;
use lockstep_engine::pipeline::{Guarantee, KafkaSpec, Pipeline};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseProducer, Producer};

use super::admin;
use super::fitting::{self, PipelineTopics};
use super::topic_check::{self, Findings};
use super::transactional_id::TransactionalId;
use super::transactions;
use super::{Error, config, diagnosis};
use operations::Operations;

/// A check and its outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// The subject, as `topic p.results (WRITE)`.
    pub place: String,
    /// The outcome.
    pub outcome: CheckOutcome,
}

/// The outcome of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckOutcome {
    /// No problem.
    Fine,
    /// It works with a restriction, or the brokers do not answer the question.
    Note(String),
    /// It does not work, with the reason and the remedy.
    Wrong(String),
}

/// The checks so far.
#[derive(Default)]
struct Checks(Vec<Check>);

impl Checks {
    fn add(&mut self, place: impl Into<String>, outcome: CheckOutcome) {
        self.0.push(Check { place: place.into(), outcome });
    }

    fn of<T>(&mut self, place: impl Into<String>, result: Result<T, impl std::fmt::Display>) -> Option<T> {
        match result {
            Ok(value) => {
                self.add(place, CheckOutcome::Fine);
                Some(value)
            }
            Err(why) => {
                self.add(place, CheckOutcome::Wrong(why.to_string()));
                None
            }
        }
    }

    /// Adds a check for each problem and note of a subject, or one that is fine.
    fn list(&mut self, place: &str, wrong: &[String], notes: &[String]) {
        wrong.iter().for_each(|why| self.add(place, CheckOutcome::Wrong(why.clone())));
        notes.iter().for_each(|note| self.add(place, CheckOutcome::Note(note.clone())));
        if wrong.is_empty() && notes.is_empty() {
            self.add(place, CheckOutcome::Fine);
        }
    }
}

/// Checks the topics and their settings. Problems that more brokers would solve are listed apart.
///
/// # Errors
/// When the brokers cannot be reached within the time, or the user may not see a topic.
pub fn topics_and_settings(pipeline: &Pipeline, within: Duration) -> Result<Findings, Error> {
    let problems = fitting::check_topics(pipeline, within)?;
    if !problems.is_empty() {
        return Ok(Findings { problems, ..Findings::default() });
    }
    topic_check::check(pipeline, within)
}

/// Runs all checks, each within the time. Changes neither topics nor groups nor records.
pub fn try_all(pipeline: &Pipeline, within: Duration) -> Vec<Check> {
    let kafka = &pipeline.kafka;
    let mut checks = Checks::default();
    let brokers = format!("brokers {}", kafka.brokers);
    let Some(topics) = checks.of(&brokers, fitting::look(pipeline, within).map_err(reason)) else {
        return checks.0;
    };
    let is_same = config::connecting(&kafka.brokers, &kafka.consumer).config_map()
        == config::connecting(&kafka.brokers, &kafka.producer).config_map();
    let is_let_in = is_same || {
        let reached = admin::partition_counts(&kafka.brokers, &kafka.producer, &[], within);
        checks.of(format!("{brokers} (by [kafka.producer])"), reached.map_err(reason)).is_some()
    };
    checks.list("topics", &topics.problems, &[]);
    rights(&mut checks, pipeline, &topics, is_let_in, within);
    let input = pipeline.inputs.first().map_or("", |input| input.topic.as_str());
    checks.of(format!("group {} (READ)", kafka.group), group::may_read(kafka, input));
    match topic_check::check(pipeline, within) {
        Ok(Findings { mut problems, not_yet, mut notes, metadata_limit }) => {
            problems.extend(not_yet);
            notes.extend(metadata_limit.map(|limit| {
                format!(
                    "the brokers take {limit} characters of metadata with a commit (offset.metadata.max.bytes), less than \
                     delivery.metadata_limit; {limit} is used"
                )
            }));
            checks.list("settings", &problems, &notes);
        }
        Err(error) => checks.add("settings", CheckOutcome::Wrong(reason(error))),
    }
    if pipeline.delivery.guarantee == Guarantee::ExactlyOnce && is_let_in {
        transactional(&mut checks, kafka, within);
    }
    checks.0
}

/// The reason of an error without the address of the brokers, which the place of the check contains.
fn reason(error: Error) -> String {
    match error {
        Error::Unreachable { cause, .. } => cause.to_string(),
        other => other.to_string(),
    }
}

/// Checks the rights on each topic that exists. Each client asks with its own properties.
fn rights(
    checks: &mut Checks,
    pipeline: &Pipeline,
    topics: &PipelineTopics,
    is_let_in: bool,
    within: Duration,
) {
    let state = pipeline.publish.state.as_deref();
    let read = admin::input_topics(pipeline).into_iter().chain(state).collect::<Vec<_>>();
    let written = admin::output_topics(pipeline).into_iter().chain(state).collect::<Vec<_>>();
    let sides = [("READ", read, &pipeline.kafka.consumer), ("WRITE", written, &pipeline.kafka.producer)];
    for (right, wanted, properties) in sides {
        if right == "WRITE" && !is_let_in {
            continue;
        }
        let seen: Vec<&str> = wanted.iter().copied().filter(|topic| topics.is_seen(topic)).collect();
        let answers = match admin::admin_client(&pipeline.kafka.brokers, properties) {
            Ok(_) if seen.is_empty() => Ok(Vec::new()),
            Ok(client) => operations::of_topics(client.inner(), &seen, within).map_err(in_words),
            Err(error) => Err(error.to_string()),
        };
        for topic in wanted {
            let place = format!("topic {topic} ({right})");
            if topics.is_hidden(topic) {
                checks.add(
                    place,
                    CheckOutcome::Wrong(diagnosis::lacks(right, &format!("topic {topic}")).to_string()),
                );
            } else if topics.is_seen(topic) {
                let answer = match &answers {
                    Ok(answers) => answers.iter().find(|(name, _)| name == topic).map(|(_, answer)| *answer),
                    Err(why) => {
                        checks.add(place, unknown(why));
                        continue;
                    }
                };
                checks.add(place, judge(right, topic, answer));
            }
        }
    }
}

fn judge(right: &str, topic: &str, answer: Option<Result<Operations, RDKafkaErrorCode>>) -> CheckOutcome {
    let lacks = || CheckOutcome::Wrong(diagnosis::lacks(right, &format!("topic {topic}")).to_string());
    match answer {
        Some(Ok(Operations::Known { reads, writes })) => {
            if if right == "READ" { reads } else { writes } {
                CheckOutcome::Fine
            } else {
                lacks()
            }
        }
        Some(Err(RDKafkaErrorCode::TopicAuthorizationFailed)) => lacks(),
        Some(Err(code)) => unknown(&in_words(code)),
        Some(Ok(Operations::Unknown)) | None => unknown("the brokers do not report rights"),
    }
}

fn in_words(code: RDKafkaErrorCode) -> String {
    match code {
        RDKafkaErrorCode::OperationTimedOut | RDKafkaErrorCode::UnsupportedFeature => {
            "the brokers do not report the rights of this user".into()
        }
        other => other.to_string(),
    }
}

/// The outcome for rights that the brokers do not report.
fn unknown(why: &str) -> CheckOutcome {
    CheckOutcome::Note(format!("not checked: {why}"))
}

/// Initializes transactions under a name that no process has; the brokers forget it later. The process's own name is not tried: that
/// would fence the process that has it now.
fn transactional(checks: &mut Checks, kafka: &KafkaSpec, within: Duration) {
    let id = TransactionalId::new(kafka);
    let place = format!("transactional ids lockstep-{}- (WRITE)", kafka.group);
    if kafka.consumer.contains_key("group.instance.id") {
        let why = "with group.instance.id, the check would fence the process that has this name now";
        checks.add(place, unknown(why));
        return;
    }
    let tried = config::transactional_producer(kafka, &id, 1 << 20)
        .map_err(|error| error.to_string())
        .and_then(|settings| {
            let client: BaseProducer =
                settings.create().map_err(|error| config::not_made("producer", &error).to_string())?;
            let begun = client.init_transactions(within);
            begun.map_err(|error| {
                let Cause { what, remedy, .. } =
                    transactions::cause(&id, "cannot begin with transactions", &error);
                format!("{what}; {remedy}").trim_end_matches("; ").to_owned()
            })
        });
    checks.of(place, tried);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preflight_judges_rights_by_the_answers_of_brokers() {
        let known = |reads, writes| Some(Ok(Operations::Known { reads, writes }));
        assert_eq!(judge("READ", "t", known(true, false)), CheckOutcome::Fine);
        assert_eq!(judge("WRITE", "t", known(false, true)), CheckOutcome::Fine);
        for (right, answer) in [
            ("READ", known(false, true)),
            ("WRITE", known(true, false)),
            ("WRITE", Some(Err(RDKafkaErrorCode::TopicAuthorizationFailed))),
        ] {
            let CheckOutcome::Wrong(why) = judge(right, "t", answer) else { panic!("{right} {answer:?}") };
            assert!(why.contains(&format!("the right {right} on topic t is missing; grant")), "{why}");
        }
        for answer in [None, Some(Ok(Operations::Unknown)), Some(Err(RDKafkaErrorCode::UnsupportedFeature))] {
            assert!(matches!(judge("READ", "t", answer), CheckOutcome::Note(_)), "{answer:?}");
        }
    }
}
