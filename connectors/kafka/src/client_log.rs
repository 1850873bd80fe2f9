//! librdkafka's own log lines, in Lockstep's log.

use std::sync::LazyLock;
use std::time::Instant;

use parking_lot::Mutex;
use rdkafka::config::RDKafkaLogLevel;

use super::log_throttle::LogThrottle;

/// The text of librdkafka for a client certificate that the broker will not accept. The failed connection is reported anyway.
const FOREIGN_CERTIFICATE: &str = "No matching issuer found in server trusted certificate authorities";

/// Logs a line of librdkafka. It reports failures (`FAIL`, `ERROR`) as errors as well, and those become conditions.
pub(super) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        _ if matches!(facility, "FAIL" | "ERROR") || message.contains(FOREIGN_CERTIFICATE) => {
            tracing::debug!(target: "librdkafka", facility, "{message}");
        }
        RDKafkaLogLevel::Emerg
        | RDKafkaLogLevel::Alert
        | RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error
        | RDKafkaLogLevel::Warning => {
            static THROTTLE: LazyLock<Mutex<LogThrottle>> = LazyLock::new(Mutex::default);
            // Lines that differ only in their numbers count as the same.
            let alike: String = message.chars().filter(|c| !c.is_ascii_digit()).collect();
            if let Some(repeated) = THROTTLE.lock().admit(&alike, Instant::now()) {
                tracing::warn!(target: "librdkafka", facility, repeated, "{message}");
            }
        }
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
            tracing::info!(target: "librdkafka", facility, "{message}");
        }
        RDKafkaLogLevel::Debug => tracing::debug!(target: "librdkafka", facility, "{message}"),
    }
}
