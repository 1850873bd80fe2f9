//! Kafka through librdkafka: the source of records and the sink of results.
//!
//! - [`source`] reads the inputs' topics as a member of a consumer group.
//! - [`sink`] produces records, and [`transactions`] ends their transactions.
//! - [`admin`] creates topics, and [`preflight`] checks topics, settings and rights.
//! - [`embedded`] is a broker in this process, for a first try and for tests.
//! - [`tail`] follows a topic, [`topic_snapshot`] reads one to its end, and [`replay_offsets`] keeps the progress of a replay of
//!   dead letters.

pub mod admin;
pub mod baseline;
mod certificate;
mod changelog;
mod client_log;
pub mod client_trial;
mod collision;
mod commits;
mod config;
mod connection;
pub mod describe;
mod diagnosis;
pub mod embedded;
pub mod ends;
mod fault_point;
mod fitting;
mod headers;
mod in_flight;
mod inquiry;
mod log_throttle;
pub mod membership;
mod outlets;
pub mod preflight;
mod probe;
pub mod properties;
mod publishing;
pub mod replay_offsets;
pub mod sink;
mod sink_context;
pub mod source;
mod statistics;
pub mod tail;
mod throttling;
pub mod topic_check;
pub mod topic_snapshot;
pub mod transactional_id;
pub mod transactions;
mod watermarks;

use lockstep_engine::condition::Cause;

/// The error of a client that cannot be made, or of a request that fails: the request, its fault, and the remedy. It never contains
/// the value of a property, which may be a secret.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A configured property that only Lockstep may set, or that librdkafka refuses.
    #[error("{place}: {why}")]
    Property {
        /// The setting, as `kafka.consumer."enable.auto.commit"`.
        place: String,
        /// The fault and the remedy.
        why: String,
    },
    /// No broker answers, for now.
    #[error("cannot reach the brokers {brokers}: {cause}")]
    Unreachable {
        /// As configured.
        brokers: String,
        /// The cause with its remedy.
        cause: Cause,
    },
    /// The user may not see topics, and so cannot know whether they exist.
    #[error("{}", listed(.0))]
    Hidden(Vec<(String, Cause)>),
    /// A request to librdkafka failed.
    #[error("{what}: {why}")]
    Client {
        /// The request.
        what: String,
        /// The fault, and what may help.
        why: String,
    },
}

fn listed(hidden: &[(String, Cause)]) -> String {
    let all: Vec<String> = hidden.iter().map(|(_, cause)| cause.to_string()).collect();
    all.join(", and ")
}

impl Error {
    fn client(what: impl Into<String>, why: impl std::fmt::Display) -> Self {
        Self::Client { what: what.into(), why: why.to_string() }
    }
}
