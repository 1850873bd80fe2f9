//! Kafka, through librdkafka: where records come from and where results go.
//!
//! [`source`] reads the inputs' topics as a member of a consumer group; [`sink`] produces; [`admin`]
//! creates topics and checks that they fit together; [`embedded`] is a broker in this process, for a
//! first try and for tests. [`tail`] follows a topic, [`topic_snapshot`] reads one to its end, and [`replay_offsets`] keeps what has been
//! done of one.

pub mod admin;
pub mod baseline;
mod certificate;
mod changelog;
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
pub mod source;
mod statistics;
pub mod tail;
mod throttling;
pub mod topic_check;
pub mod topic_snapshot;
pub mod transactions;
mod under_way;
mod watermarks;

use lockstep_engine::condition::Cause;

/// What keeps a client from being made or a request from being answered: what was asked for, what was
/// wrong, and what would be right. Values of properties never appear in it, as they may be secrets.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A property of librdkafka that is not the user's to set, or that librdkafka refuses.
    #[error("{place}: {why}")]
    Property {
        /// The setting, as `kafka.consumer."enable.auto.commit"`.
        place: String,
        /// What is wrong with it and what would be right.
        why: String,
    },
    /// No broker answers. It may yet.
    #[error("cannot reach the brokers {brokers}: {cause}")]
    Unreachable {
        /// As configured.
        brokers: String,
        /// Why, and what helps.
        cause: Cause,
    },
    /// Topics may not be seen: nobody but those who grant rights can say whether they are there.
    #[error("{}", listed(.0))]
    Hidden(Vec<(String, Cause)>),
    /// librdkafka could not do what it was asked.
    #[error("{what}: {why}")]
    Client {
        /// What it was asked.
        what: String,
        /// What is wrong, and what may help.
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
