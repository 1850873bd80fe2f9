//! Asks the brokers for the settings of topics, and for their own.

use std::collections::BTreeMap;
use std::time::Duration;

use lockstep_engine::publish::topic_rules::TopicRules;
use pollster::block_on;
use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::Error;
use super::admin::admin_client;
use super::embedded::EMBEDDED_CLUSTER;

/// Names and values.
pub type DescribedSettings = BTreeMap<String, String>;

/// The rules of topics, or why they are not known.
pub type DescribedRules = BTreeMap<String, Result<TopicRules, DescribeError>>;

/// The reason why settings are not known.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum DescribeError {
    /// The broker cannot answer such questions, so there is nothing to mend.
    #[error("the broker cannot be asked")]
    Unsupported,
    /// The user lacks a right, a topic does not exist, or no answer has come.
    #[error("{0}")]
    Failed(String),
}

/// Asks brokers for settings.
pub struct Describer {
    client: AdminClient<DefaultClientContext>,
    within: Duration,
}

impl Describer {
    /// Makes a client that waits this long for an answer.
    ///
    /// # Errors
    /// When librdkafka refuses a property.
    pub fn new(
        brokers: &str,
        properties: &BTreeMap<String, String>,
        within: Duration,
    ) -> Result<Self, Error> {
        let client = admin_client(brokers, properties)?;
        Ok(Self { client, within })
    }

    /// The rules of topics. A topic that does not exist, or that the user may not ask about, has the reason in its place.
    pub fn topics(&self, topics: &[&str]) -> DescribedRules {
        let topics: Vec<&str> = topics.to_vec();
        let resources: Vec<_> = topics.iter().map(|topic| ResourceSpecifier::Topic(topic)).collect();
        let answers = self.ask(&resources);
        let of = |place: usize| match &answers {
            Ok(answers) => match answers.get(place) {
                Some(Ok(settings)) => {
                    Ok(TopicRules::read(settings.iter().map(|(name, value)| (name.as_str(), value.as_str()))))
                }
                Some(Err(why)) => Err(why.clone()),
                None => Err(DescribeError::Failed("the broker's answer does not name it".into())),
            },
            Err(why) => Err(why.clone()),
        };
        topics.iter().enumerate().map(|(place, topic)| ((*topic).to_owned(), of(place))).collect()
    }

    /// The settings of a broker.
    ///
    /// # Errors
    /// The reason why they are not known.
    pub fn broker(&self, id: i32) -> Result<DescribedSettings, DescribeError> {
        let answers = self.ask(&[ResourceSpecifier::Broker(id)])?;
        let unanswered = || Err(DescribeError::Failed("the broker has not answered".into()));
        answers.into_iter().next().unwrap_or_else(unanswered)
    }

    fn ask(
        &self,
        resources: &[ResourceSpecifier<'_>],
    ) -> Result<Vec<Result<DescribedSettings, DescribeError>>, DescribeError> {
        // The embedded broker does not answer this question at all.
        if self
            .client
            .inner()
            .fetch_cluster_id(self.within)
            .is_some_and(|id| id.starts_with(EMBEDDED_CLUSTER))
        {
            return Err(DescribeError::Unsupported);
        }
        let options = AdminOptions::new().request_timeout(Some(self.within));
        let failed = |error: KafkaError| match error.rdkafka_error_code() {
            Some(code) => DescribeError::from(code),
            None => DescribeError::Failed(error.to_string()),
        };
        let answers = block_on(self.client.describe_configs(resources, &options)).map_err(failed)?;
        let settings = answers.into_iter().map(|answer| {
            let entries = answer.map_err(DescribeError::from)?.entries.into_iter();
            Ok(entries.filter_map(|entry| Some((entry.name, entry.value?))).collect())
        });
        Ok(settings.collect())
    }
}

impl From<RDKafkaErrorCode> for DescribeError {
    fn from(code: RDKafkaErrorCode) -> Self {
        match code {
            RDKafkaErrorCode::TopicAuthorizationFailed => {
                Self::Failed("the right DESCRIBE_CONFIGS on the topic is missing".into())
            }
            RDKafkaErrorCode::ClusterAuthorizationFailed => {
                Self::Failed("the right DESCRIBE_CONFIGS on the cluster is missing".into())
            }
            RDKafkaErrorCode::UnsupportedFeature => Self::Unsupported,
            other => Self::Failed(other.to_string()),
        }
    }
}
