//! The causes of librdkafka's errors, with their remedies. librdkafka names the layer that has failed. It often reports the fault
//! itself in OpenSSL's words, or only guesses.

use lockstep_engine::condition::Cause;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// The cause of a client's error. `reason` is librdkafka's text.
pub(super) fn cause(code: Option<RDKafkaErrorCode>, reason: &str) -> Cause {
    use RDKafkaErrorCode as Code;
    if let Some(cause) = of_connection(reason) {
        return cause;
    }
    match code {
        Some(
            code @ (Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed),
        ) => missing_right(code, reason),
        Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => {
            Cause::lasting(plain(reason), "create the topic: lockstep topics create CONFIG")
        }
        Some(Code::Authentication | Code::SaslAuthenticationFailed) => Cause::lasting(
            format!("the broker refuses the credentials: {}", plain(reason)),
            "correct sasl.mechanism, sasl.username and sasl.password",
        ),
        Some(Code::Resolve) => {
            Cause::passing(plain(reason), "correct the host names in kafka.brokers, or the name service")
        }
        Some(Code::CoordinatorNotAvailable | Code::NotCoordinator | Code::CoordinatorLoadInProgress) => {
            Cause::passing(
                plain(reason),
                "the brokers have no coordinator now: where that lasts, see that the topic __consumer_offsets can be created \
                 and has its replicas (offsets.topic.replication.factor)",
            )
        }
        _ => Cause::passing(plain(reason), ""),
    }
}

/// The cause of an error without a text of its own.
pub(super) fn of_error(what: &str, error: &KafkaError) -> Cause {
    let code = error.rdkafka_error_code();
    let reason = code.map_or_else(|| error.to_string(), words);
    cause(code, &if what.is_empty() { reason } else { format!("{what}: {reason}") })
}

/// The text of librdkafka for a code, without the text that rdkafka adds.
fn words(code: RDKafkaErrorCode) -> String {
    let text = code.to_string();
    match text.split_once(" (") {
        Some((_, inner)) => inner.trim_end_matches(')').to_owned(),
        None => text,
    }
}

/// The cause for a missing right. The kind of request tells which right.
fn missing_right(code: RDKafkaErrorCode, reason: &str) -> Cause {
    let (kind, grant) = match code {
        RDKafkaErrorCode::TopicAuthorizationFailed => ("topic", "READ on inputs, WRITE on outputs"),
        RDKafkaErrorCode::GroupAuthorizationFailed => ("group", "READ on the group"),
        RDKafkaErrorCode::TransactionalIdAuthorizationFailed => {
            ("transactional id", "WRITE on the transactional id, by its prefix lockstep-GROUP-")
        }
        _ => ("cluster", "IDEMPOTENT_WRITE on the cluster, or WRITE on any topic"),
    };
    Cause::lasting(
        format!("a right on the {kind} is missing: {}", plain(reason)),
        format!("grant {grant} to this user with kafka-acls.sh"),
    )
}

/// The cause for a missing right that is known by name.
pub(super) fn lacks(right: &str, resource: &str) -> Cause {
    Cause::lasting(
        format!("the right {right} on {resource} is missing"),
        "grant it to this user with kafka-acls.sh",
    )
}

/// The cause for a topic that does not exist or is hidden, with the right to see it.
pub(super) fn absent(topic: &str, right: &str) -> Cause {
    Cause::lasting(
        format!("topic {topic} does not exist, or this user may not see it"),
        format!("create it (lockstep topics create CONFIG), or grant {right} on it"),
    )
}

/// The cause of a failed connection, recognized by librdkafka's text.
fn of_connection(reason: &str) -> Option<Cause> {
    let at = broker_of(reason);
    let has = |words: &str| reason.contains(words);
    let cause = |what: &str, remedy: &str| Some(Cause::lasting(format!("{at}: {what}"), remedy));
    if has("connecting to a PLAINTEXT broker listener") || has("wrong version number") {
        cause(
            "the client speaks TLS, and this port does not",
            "write the port of the brokers' TLS listener, or security.protocol = \"plaintext\" (\"sasl_plaintext\" with \
             a user)",
        )
    } else if has("connecting to a SSL listener") {
        cause(
            "the broker closes the connection at the first request: it may expect TLS or a user",
            "write security.protocol as the listener has it (\"ssl\", \"sasl_ssl\" or \"sasl_plaintext\"), or another port",
        )
    } else if has("certificate verify failed") || has("broker certificate could not be verified") {
        cause(
            "the broker's certificate is not trusted",
            "write ssl.ca.location: the certificate of the authority that signed it",
        )
    } else if has("certificate required") || has("client SSL authentication might be required") {
        cause(
            "the broker asks for a client certificate",
            "write ssl.certificate.location and ssl.key.location",
        )
    } else if has("alert unknown ca") || has("alert bad certificate") || has("alert certificate unknown") {
        cause(
            "the broker does not accept the client's certificate",
            "take a certificate of an authority that the broker trusts (its ssl.truststore)",
        )
    } else if has("alert certificate expired") {
        cause("the client's certificate has expired", "renew ssl.certificate.location")
    } else if has("not valid in current SASL state") {
        cause(
            "this port takes no users",
            "write security.protocol = \"plaintext\" or \"ssl\", or the port of a listener with users",
        )
    } else if has("nsupported SASL mechanism") || has("mechanism handshake failed") {
        let listed = reason.split_once("supported mechanisms: ").map(|(_, them)| cut(them));
        let offered = listed.map_or_else(String::new, |them| format!(" (it offers {them})"));
        cause(
            &format!("the broker does not offer this sasl.mechanism{offered}"),
            "write sasl.mechanism as the listener has it",
        )
    } else if has("OAUTHBEARER token") {
        let why = cut(reason.split_once("OAUTHBEARER token: ").map_or(reason, |(_, why)| why));
        Some(Cause::lasting(
            format!("no OAUTHBEARER token can be had: {why}"),
            "correct sasl.oauthbearer.config, or sasl.oauthbearer.method and its properties",
        ))
    } else if has("SASL authentication error") || has("uthentication failed") || has("invalid credentials") {
        cause(
            "the broker refuses the user or the password",
            "correct sasl.username and sasl.password, or sasl.mechanism if the user is known by another",
        )
    } else if has("Invalid response size") {
        cause(
            "the listener there does not speak Kafka's protocol",
            "write a broker's host and port in kafka.brokers",
        )
    } else if has("Failed to resolve") {
        Some(Cause::passing(
            format!("{at}: the host name is not known"),
            "correct kafka.brokers, or the name service",
        ))
    } else if has("Connection refused") {
        Some(Cause::passing(
            format!("{at}: no process listens there"),
            "start the broker, or correct kafka.brokers",
        ))
    } else if has("Connection setup timed out") || has("Network is unreachable") || has("No route to host") {
        Some(Cause::passing(
            format!("{at}: it cannot be reached"),
            "correct kafka.brokers, or the network and its firewalls",
        ))
    } else if has("brokers are down") {
        Some(Cause::passing("no broker can be reached", "start the brokers, or correct kafka.brokers"))
    } else {
        None
    }
}

/// The broker at the beginning of a reason, as `ssl://host:9093`; for other reasons, the text before the first colon.
pub(super) fn broker_of(reason: &str) -> &str {
    let end = reason.find(": ").unwrap_or(reason.len());
    let name = &reason[..end];
    // After the slash stands `bootstrap`, or the broker's id.
    let scheme = name.find("://").map_or(0, |at| at + 3);
    match name[scheme..].find('/') {
        Some(slash) => &name[..scheme + slash],
        None => name,
    }
}

/// The text before librdkafka's times and counts.
fn cut(text: &str) -> &str {
    text.split(" (after ").next().unwrap_or(text).trim_end_matches(['.', ' '])
}

/// A reason without the parts that change each time: its duration and its count.
fn plain(reason: &str) -> String {
    cut(reason).to_owned()
}

/// Returns true if an error only summarizes earlier ones.
pub(super) fn is_summary(code: Option<RDKafkaErrorCode>) -> bool {
    matches!(code, Some(RDKafkaErrorCode::AllBrokersDown))
}

/// Returns true if an error is about the connection to a broker.
pub(super) fn is_of_connection(code: Option<RDKafkaErrorCode>) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Some(
            Code::AllBrokersDown
                | Code::BrokerTransportFailure
                | Code::Authentication
                | Code::SaslAuthenticationFailed
                | Code::SSL
                | Code::Resolve
                | Code::OperationTimedOut
                | Code::UnsupportedSASLMechanism
                | Code::IllegalSASLState
        )
    )
}

#[cfg(test)]
#[path = "diagnosis_tests.rs"]
mod tests;
