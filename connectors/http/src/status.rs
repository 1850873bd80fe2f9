//! The status of a process, as the JSON of `/v1/status`. The server and its clients share these types.
//!
//! A client ignores fields that it does not know, and takes the default for a field that is missing. So processes of different
//! versions understand one another. A field changes its meaning only with [`STATUS_VERSION`] and the path.

use std::collections::BTreeMap;
use std::sync::Arc;

use lockstep_telemetry::HistogramSnapshot;
use serde::{Deserialize, Serialize};

use super::scaling::{ScalingCount, ScalingCounts};

/// The version of the document.
pub const STATUS_VERSION: u32 = 1;

/// The path of the document.
pub const STATUS_PATH: &str = "/v1/status";

/// Returns the status. The server's thread calls it for each request; it must not block.
pub type StatusCheck = Arc<dyn Fn() -> StatusDocument + Send + Sync>;

/// The status of a process. Counts begin with the process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StatusDocument {
    /// [`STATUS_VERSION`].
    pub version: u32,
    /// The name of the pipeline.
    pub pipeline: String,
    /// True if the process takes records and makes results.
    #[serde(default)]
    pub ready: bool,
    /// True if the process works. If false, restart it.
    #[serde(default)]
    pub live: bool,
    /// The reason of the pipeline's final failure.
    #[serde(default)]
    pub failure: Option<String>,
    /// The failures that block some work now. Those that make the process not ready come first.
    #[serde(default)]
    pub conditions: Vec<ConditionStatus>,
    /// Faults of the producers of the inputs, by subject.
    #[serde(default)]
    pub upstream: BTreeMap<String, String>,
    /// The progress of a run that ends by itself (`--until-end`).
    #[serde(default)]
    pub progress: Option<RunProgress>,
    /// The assigned partitions.
    #[serde(default)]
    pub partitions: AssignedPartitions,
    /// The memory of records.
    #[serde(default)]
    pub memory: MemoryStatus,
    /// The load, as the scaling policy measures it.
    #[serde(default)]
    pub load: LoadStatus,
    /// The inputs by name.
    #[serde(default)]
    pub inputs: BTreeMap<String, InputStatus>,
    /// The shards.
    #[serde(default)]
    pub shards: ShardStatus,
    /// The steps by name.
    #[serde(default)]
    pub steps: BTreeMap<String, StepStatus>,
    /// The results.
    #[serde(default)]
    pub results: ResultStatus,
    /// The actors and instances by name, and the pipeline as a whole.
    #[serde(default)]
    pub actors: BTreeMap<String, ActorStatus>,
    /// The mailboxes by name that were full at least once.
    #[serde(default)]
    pub mailboxes: BTreeMap<String, MailboxStatus>,
}

/// A failure that blocks some work.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConditionStatus {
    /// `connect`, `read`, `publish` or `commit`.
    pub work: String,
    /// The part of the work that fails, such as a topic; empty for all of it.
    pub on: String,
    /// The cause.
    pub cause: String,
    /// The remedy; empty if none is known.
    pub remedy: String,
    /// The time of the first report, in RFC 3339.
    pub since: String,
    /// The number of reports since then.
    pub reports: u64,
}

/// Offsets read and offsets to read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunProgress {
    /// The offsets read.
    pub read_offsets: u64,
    /// All offsets to read.
    pub all_offsets: u64,
}

/// Counts of the partitions that this process reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AssignedPartitions {
    /// The assigned partitions.
    pub assigned: u64,
    /// The partitions paused because of the byte budget or the drift bound.
    pub paused: u64,
    /// The partitions among the paused ones that are too far ahead in event time.
    pub ahead: u64,
    /// The partitions read slowly because of offset-metadata pressure.
    pub metadata_slow: u64,
    /// The partitions paused because of offset-metadata pressure.
    pub metadata_paused: u64,
}

/// The memory of records from poll to outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MemoryStatus {
    /// Bytes in flight. None before the first record.
    pub in_flight_bytes: Option<u64>,
    /// The limit on the bytes in flight.
    pub budget_bytes: Option<u64>,
    /// The time that decoding has waited for memory.
    pub decoding_blocked_seconds: f64,
}

/// The load of a process. A value is none until it is measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LoadStatus {
    /// Records that arrive in Kafka, averaged.
    pub arrival_records_per_second: Option<f64>,
    /// Records that the pipeline reads, averaged.
    pub served_records_per_second: Option<f64>,
    /// The number of processes that the load of this one's partitions needs. The sum over all processes, rounded up, is the number
    /// to run.
    pub desired_replicas: Option<f64>,
}

/// An input. Samples by reason are counts of samples.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct InputStatus {
    /// Records consumed.
    pub records: u64,
    /// Bytes of their values.
    pub record_bytes: u64,
    /// Records that wait in Kafka, over all partitions of this process. None if unknown.
    pub lag_records: Option<u64>,
    /// The age of the oldest event that waits in Kafka: the largest of the partitions, 0 if none waits. None if unknown.
    pub oldest_event_age_seconds: Option<f64>,
    /// Samples that came too late for any bundle.
    pub late_samples: u64,
    /// Samples evicted from alignment buffers, by the bound that was exceeded.
    pub evicted_samples: BTreeMap<String, u64>,
    /// Samples shed unread because the pipeline is behind, by the rule that applied.
    pub shed_samples: BTreeMap<String, u64>,
    /// Samples in no bundle, or only in dropped bundles, by reason.
    pub dropped_samples: BTreeMap<String, u64>,
    /// Damaged samples that were accepted because the input allows it.
    pub damaged_samples: u64,
    /// Records that the broker deleted before they were read.
    pub lost_records: u64,
    /// Steps of a source's clock; each starts its stream again.
    pub epochs: u64,
    /// The distance in event time of the samples from the pivot, in seconds.
    pub skew_seconds: HistogramSnapshot,
    /// The assigned partitions by number.
    pub partitions: BTreeMap<i32, PartitionStatus>,
}

/// A partition of an input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PartitionStatus {
    /// Records between the read position and the end of the readable part. None if unknown.
    pub lag_records: Option<u64>,
    /// The age of the oldest event that waits, 0 if none waits. None if unknown.
    pub oldest_event_age_seconds: Option<f64>,
    /// Offsets that a transaction open for long holds back, including its own. None if none does.
    pub held_back_offsets: Option<u64>,
}

/// The number of shards, or of instances of a step, and what decides on it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StageScaling {
    /// The current number; 0 before the pipeline runs.
    pub current: usize,
    /// The desired number, if one is set.
    pub desired: Option<usize>,
    /// True if the desired number is a manual override, which the scaling policy does not change.
    pub manual_override: bool,
    /// The number that the scaling policy wanted at its last measurement.
    pub wanted: Option<usize>,
    /// The share of time for which they are busy, from 0 to 1, averaged.
    pub busy_ratio: Option<f64>,
    /// Decisions to raise the number.
    pub decisions_up: u64,
    /// Decisions to lower the number.
    pub decisions_down: u64,
    /// The last decision.
    pub last_decision: Option<ScalingDecision>,
}

/// A decision of the scaling policy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ScalingDecision {
    /// The time, in RFC 3339.
    pub at: String,
    /// The number before.
    pub from: usize,
    /// The number after.
    pub to: usize,
    /// The policy: `fixed`, `step` or `target`.
    pub policy: String,
    /// The reason, as in the log.
    pub reason: String,
}

/// The shards.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ShardStatus {
    /// The number of shards.
    pub scaling: StageScaling,
    /// Streams held.
    pub streams: u64,
    /// Samples in alignment buffers.
    pub buffered_samples: u64,
    /// Streams that moved from one shard to another.
    pub moved_streams: u64,
    /// The time from the command to move streams until a stream has arrived, in seconds.
    pub moved_stream_pause_seconds: HistogramSnapshot,
}

/// A step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StepStatus {
    /// The number of instances.
    pub scaling: StageScaling,
    /// The instance that is being added.
    pub loading: InstanceLoading,
    /// The circuit breaker of the model: `closed`, `half-open` or `open`. None before the model runs.
    pub breaker: Option<String>,
    /// The bundles that wait in its batch queues.
    pub queued_bundles: u64,
    /// The batches.
    pub batches: BatchStatus,
    /// The time that all instances have spent in the model.
    pub model_busy_seconds: f64,
    /// Model calls that did not return in time and whose threads were abandoned.
    pub abandoned_calls: u64,
    /// Streams that start again because their stored state could not be restored.
    pub refused_states: u64,
    /// The versions of its model, by version.
    pub versions: BTreeMap<String, ModelStatus>,
}

/// One version of a step's model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ModelStatus {
    /// The memory that its loaded copies count for, in bytes; 0 if none is loaded.
    pub resident_bytes: u64,
    /// Copies loaded.
    pub loads: u64,
    /// Loads that failed.
    pub load_failures: u64,
    /// Copies that left the memory, by reason: `idle`, `evicted`, or `ended` with their instance.
    pub unloads: BTreeMap<String, u64>,
}

/// The instance of a step that is being added.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct InstanceLoading {
    /// True while it loads its model.
    pub is_loading: bool,
    /// The number of failed loads.
    pub failures: u64,
    /// The reason of the last failed load.
    pub last_error: Option<String>,
    /// The most instances that are possible, if loading has failed too often.
    pub most_instances: Option<usize>,
}

/// The batches of a step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BatchStatus {
    /// Batches that ran.
    pub succeeded: u64,
    /// Batches that failed.
    pub failed: u64,
    /// Batches split, by reason: `failure`, to find the bundle that fails, or `memory`, because memory was short.
    pub split: BTreeMap<String, u64>,
    /// The number of bundles in a batch.
    pub size_bundles: HistogramSnapshot,
    /// The target size of the last batch.
    pub target_bundles: Option<u64>,
    /// The most bundles in a batch, after larger batches ran out of memory.
    pub limit_bundles: Option<u64>,
    /// The time that the oldest bundle of the last batch had waited.
    pub delay_seconds: Option<f64>,
    /// The expected time of a batch in the model: the part that every batch takes.
    pub cost_fixed_seconds: Option<f64>,
    /// The expected time of a batch in the model: the part for each bundle.
    pub cost_per_bundle_seconds: Option<f64>,
}

/// The results, and records that ended otherwise.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ResultStatus {
    /// Results acknowledged by the broker.
    pub acknowledged: u64,
    /// Closed bundles whose results are not acknowledged.
    pub bundles_in_flight: u64,
    /// Bundles in flight whose partitions were assigned to another member.
    pub abandoned_bundles: u64,
    /// Bundles closed, by their outcome at alignment: `emitted`, `dropped` or `dead-lettered`.
    pub closed_bundles: BTreeMap<String, u64>,
    /// Records dead-lettered, by stage and reason.
    pub dead_letters: BTreeMap<String, BTreeMap<String, u64>>,
    /// Records that the broker did not accept.
    pub delivery_failures: u64,
    /// Records that were lost because brokers refused even a stub, by topic.
    pub undeliverable_records: BTreeMap<String, u64>,
    /// Transactions that have ended, by outcome.
    pub transactions: BTreeMap<String, u64>,
    /// The latency of results, in seconds, by part of the pipeline: `kafka`, `align`, `batch`, `preprocess`, `model`, `publish`, and
    /// `total` for the whole.
    pub latency_seconds: BTreeMap<String, HistogramSnapshot>,
}

/// An actor or an instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ActorStatus {
    /// `starting`, `running`, `restarting` or `failed`. None if it has ended.
    pub state: Option<String>,
    /// The number of restarts.
    pub restarts: u64,
    /// The number of panics caught.
    pub panics: u64,
    /// The reason of the last failure.
    pub last_error: Option<String>,
    /// Messages given to it that it has not finished. None for an instance and for the pipeline.
    pub pending_messages: Option<u64>,
}

/// The mailbox of an actor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MailboxStatus {
    /// The time that senders have waited for space.
    pub blocked_seconds: f64,
}

impl StageScaling {
    /// The numbers alone.
    pub fn count(&self) -> ScalingCount {
        let Self { current, desired, manual_override, .. } = *self;
        ScalingCount { current, desired, manual_override }
    }
}

impl StatusDocument {
    /// The numbers of shards and instances alone.
    pub fn scaling_counts(&self) -> ScalingCounts {
        let instances = self.steps.iter().map(|(name, step)| (name.clone(), step.scaling.count()));
        ScalingCounts { shards: self.shards.scaling.count(), instances: instances.collect() }
    }

    /// Records consumed, over all inputs.
    pub fn records(&self) -> u64 {
        self.inputs.values().map(|input| input.records).sum()
    }

    /// Records that wait in Kafka, over all inputs. None if unknown.
    pub fn lag_records(&self) -> Option<u64> {
        self.inputs.values().filter_map(|input| input.lag_records).reduce(|a, b| a + b)
    }

    /// The age of the oldest event that waits in Kafka. None if unknown.
    pub fn oldest_event_age_seconds(&self) -> Option<f64> {
        self.inputs.values().filter_map(|input| input.oldest_event_age_seconds).reduce(f64::max)
    }
}
