//! The topic of dead letters, and the reading of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lockstep_engine::pipeline::KafkaSpec;
use lockstep_kafka::tail::TailRecord;
use lockstep_kafka::topic_snapshot::{SnapshotEvent, TopicSnapshot};
use signal_hook::consts::{SIGINT, SIGTERM};

use super::filter::Place;
use crate::commands::Failure;
use crate::commands::cluster::Cluster;

/// The topic of dead letters and its brokers.
#[derive(clap::Args)]
pub(super) struct Topic {
    /// The topic of dead letters (the pipeline's `results.dead_letters`)
    pub(super) topic: String,
    #[command(flatten)]
    pub(super) cluster: Cluster,
    /// Print JSON, an object a line
    #[arg(long)]
    pub(super) json: bool,
}

impl Topic {
    pub(super) fn open(&self, kafka: &KafkaSpec) -> Result<TopicSnapshot, Failure> {
        Ok(TopicSnapshot::open(&kafka.brokers, &kafka.consumer, &self.topic)?)
    }
}

/// A flag that Ctrl-C sets. A second Ctrl-C ends the process at once.
pub(super) fn cancelled() -> Result<Arc<AtomicBool>, Failure> {
    let cancelled = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 130, cancelled.clone())?;
        signal_hook::flag::register(signal, cancelled.clone())?;
    }
    Ok(cancelled)
}

/// Reads records until the end or until `each` returns false. Returns false if Ctrl-C cut it short.
pub(super) fn read_all(
    whole: &mut TopicSnapshot,
    cancelled: &AtomicBool,
    mut each: impl FnMut(TailRecord) -> Result<bool, Failure>,
) -> Result<bool, Failure> {
    loop {
        if cancelled.load(Ordering::Relaxed) {
            return Ok(false);
        }
        match whole.next(Duration::from_millis(100))? {
            SnapshotEvent::Record(record) => {
                if !each(record)? {
                    return Ok(true);
                }
            }
            SnapshotEvent::Nothing => {}
            SnapshotEvent::End => return Ok(true),
        }
    }
}

/// The place of a record in the topic.
pub(super) fn place(record: &TailRecord) -> Place {
    Place { partition: record.partition, offset: record.offset }
}
