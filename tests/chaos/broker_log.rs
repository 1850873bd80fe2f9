//! What the broker said, if it is the one of `config/kafka/kafka run`, which keeps its log beside the file with its process
//! id.

use std::path::PathBuf;

/// The log line of Apache Kafka (4.4.0 at least) when it ends a transaction without its markers. The partitions have no leader
/// at that moment, as their only replica is on a broker that is starting, and Kafka takes them for deleted. Results and
/// positions of the committed transaction then stay open for good.
const MARKERS_LEFT_OUT: &str = "these partitions are likely deleted already";

/// From a place on.
pub(crate) struct BrokerLog {
    from: usize,
}

impl BrokerLog {
    /// From here on.
    pub(crate) fn from_here() -> Self {
        Self { from: all().unwrap_or_default().len() }
    }

    /// Where it says that it left out the markers of a transaction.
    pub(crate) fn markers_left_out(&self) -> Option<String> {
        let log = all()?;
        log.get(self.from..)?.lines().find(|line| line.contains(MARKERS_LEFT_OUT)).map(str::to_owned)
    }
}

/// Its last lines. All of it is kept in `target/chaos-broker.log`.
pub(crate) fn end() -> String {
    let Some(log) = all() else { return "it is not to be found".into() };
    let kept = std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/target/chaos-broker.log"), &log);
    kept.expect("target/ can be written to");
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

fn all() -> Option<String> {
    let pid = PathBuf::from(std::env::var_os("KAFKA_PID_FILE")?);
    let log = std::fs::read(pid.with_file_name("broker.log")).ok()?;
    Some(String::from_utf8_lossy(&log).into_owned())
}
