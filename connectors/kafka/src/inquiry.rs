//! Inquiries: asks the broker again, in other ways, for the cause of a failed connection that librdkafka does not report.

use std::time::Duration;

use lockstep_engine::condition::Cause;
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaResult, RDKafkaErrorCode};
use rdkafka::metadata::Metadata;
use rdkafka::producer::{BaseProducer, Producer};

use super::certificate;
use super::diagnosis::broker_of;
use super::probe::{Speaks, speaks};

/// The limit for one question.
const WITHIN: Duration = Duration::from_secs(3);

/// The question that an error leaves open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doubt {
    /// The fault of the broker's certificate.
    Certificate,
    /// A client certificate that is missing, or that the broker refuses.
    ClientCertificate,
    /// Client and listener may speak different protocols.
    Protocol,
}

/// Returns the question that a client's error leaves open, if any.
pub(super) fn doubt(code: Option<RDKafkaErrorCode>, reason: &str) -> Option<Doubt> {
    let has = |words: &str| reason.contains(words);
    if has("certificate verify failed") {
        Some(Doubt::Certificate)
    } else if has("alert bad certificate") || has("certificate required") || has("alert handshake failure") {
        Some(Doubt::ClientCertificate)
    } else if code == Some(RDKafkaErrorCode::AllBrokersDown)
        || has("SSL listener")
        || has("PLAINTEXT broker listener")
        || has("not valid in current SASL state")
        // Brokers close a connection of another protocol without an answer.
        || has("Disconnected")
    {
        Some(Doubt::Protocol)
    } else {
        None
    }
}

/// An inquiry with the settings of the client that has failed.
#[derive(Clone, Debug)]
pub(super) struct Inquiry {
    config: ClientConfig,
}

impl Inquiry {
    pub(super) fn new(config: ClientConfig) -> Self {
        Self { config }
    }

    /// Asks the brokers with a new client, and returns true if they answer.
    pub(super) fn is_answered(&self) -> bool {
        self.ask().is_some_and(|answer| answer.is_ok())
    }

    /// Asks with a new client for the metadata of the offsets topic, which every cluster has of its own: a broker that creates
    /// topics by itself would create any other. None if librdkafka makes no client.
    fn ask(&self) -> Option<KafkaResult<Metadata>> {
        let client: BaseProducer = self.config.create().ok()?;
        Some(client.client().fetch_metadata(Some("__consumer_offsets"), WITHIN))
    }

    /// Finds the cause, if the brokers' answers show it. Waits for a few seconds at most.
    pub(super) fn find(&self, doubt: Doubt, reason: &str) -> Option<Cause> {
        match doubt {
            Doubt::Certificate => {
                let (what, remedy) = certificate::fault(&self.config, WITHIN)?;
                Some(Cause::lasting(format!("{}: {what}", broker_of(reason)), remedy))
            }
            Doubt::ClientCertificate => Some(self.client_certificate(broker_of(reason))),
            Doubt::Protocol => self.protocol(),
        }
    }

    fn client_certificate(&self, at: &str) -> Cause {
        let own = ["ssl.certificate.location", "ssl.certificate.pem", "ssl.keystore.location"];
        if own.iter().any(|key| self.config.get(key).is_some()) {
            Cause::lasting(
                format!("{at}: the broker does not accept the client's certificate"),
                "take one of an authority that the broker trusts (its ssl.truststore) as ssl.certificate.location, with \
                 its ssl.key.location",
            )
        } else {
            Cause::lasting(
                format!("{at}: the broker asks for a client certificate"),
                "write ssl.certificate.location and ssl.key.location",
            )
        }
    }

    fn protocol(&self) -> Option<Cause> {
        // The brokers may be reachable again by now.
        if self.ask()?.is_ok() {
            return None;
        }
        let brokers = self.config.get("bootstrap.servers").unwrap_or_default();
        let (address, speaks) = brokers
            .split(',')
            .map(|address| address.trim().rsplit("://").next().unwrap_or_default())
            .map(|address| (address, speaks(address)))
            .find(|(_, speaks)| *speaks != Speaks::Other)?;
        let protocol = self.config.get("security.protocol").unwrap_or("plaintext").to_lowercase();
        let (has_tls, has_user) = (protocol.ends_with("ssl"), protocol.starts_with("sasl"));
        let listener_has_tls = speaks == Speaks::Tls;
        let (what, right) = match (has_tls, listener_has_tls) {
            (false, true) if has_user => ("this port speaks TLS, and the client does not", "sasl_ssl"),
            (false, true) => (
                "this port speaks TLS, and the client does not",
                "ssl\" (\"sasl_ssl\" if it asks for a user)",
            ),
            (true, false) if has_user => ("the client speaks TLS, and this port does not", "sasl_plaintext"),
            (true, false) => {
                let right = "plaintext\" (\"sasl_plaintext\" if it asks for a user)";
                ("the client speaks TLS, and this port does not", right)
            }
            (true, true) if !has_user => ("this port asks for a user", "sasl_ssl"),
            (false, false) if !has_user => ("this port asks for a user", "sasl_plaintext"),
            (true, true) => ("this port takes no users", "ssl"),
            (false, false) => ("this port takes no users", "plaintext"),
        };
        let right = if right.ends_with(')') { right.to_owned() } else { format!("{right}\"") };
        let more = if what.ends_with("asks for a user") {
            ", sasl.mechanism, sasl.username and sasl.password"
        } else {
            ""
        };
        let remedy = format!("write security.protocol = \"{right}{more}, or another port in kafka.brokers");
        Some(Cause::lasting(format!("{address}: {what}"), remedy))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubt_follows_from_the_text_of_an_error() {
        let all_down = Some(RDKafkaErrorCode::AllBrokersDown);
        assert_eq!(doubt(all_down, "1/1 brokers are down"), Some(Doubt::Protocol));
        let untrusted = "ssl://h:1/bootstrap: SSL handshake failed: error:0A000086:SSL routines::certificate verify failed";
        assert_eq!(doubt(Some(RDKafkaErrorCode::SSL), untrusted), Some(Doubt::Certificate));
        let closed = "ssl://h:1/bootstrap: Disconnected: SSL connection closed by peer (after 3ms in state SSL_HANDSHAKE)";
        assert_eq!(doubt(Some(RDKafkaErrorCode::BrokerTransportFailure), closed), Some(Doubt::Protocol));
        let refused = "h:1/bootstrap: Connect to ipv4#127.0.0.1:1 failed: Connection refused (after 0ms in state CONNECT)";
        assert_eq!(doubt(Some(RDKafkaErrorCode::BrokerTransportFailure), refused), None);
    }
}
