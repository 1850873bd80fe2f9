//! Metrics, health, status and scaling over HTTP.
//!
//! - `/metrics` for Prometheus.
//! - `/health`, `/health/live` and `/health/ready` as JSON with status 200 or 503.
//! - `/v1/status` as JSON for programs, see [`StatusDocument`]: `lockstep top` and `lockstep scale` read it.
//! - `/scaling`: the numbers of shards and instances, see [`Scaling`].

pub mod client;
mod health;
mod scaling;
mod server;
mod status;

pub use lockstep_telemetry::{Bucket, HistogramSnapshot};

pub use health::{Health, HealthCheck};
pub use scaling::{Changes, Counted, NotSet, Scaling, ScalingCount, ScalingCounts};
pub use server::{Endpoints, HttpError, HttpHandle, HttpServer};
pub use status::{
    ActorStatus, AssignedPartitions, BatchStatus, ConditionStatus, InputStatus, InstanceLoading, LoadStatus,
    MailboxStatus, MemoryStatus, ModelStatus, PartitionStatus, ResultStatus, RunProgress, STATUS_PATH,
    STATUS_VERSION, ScalingDecision, ShardStatus, StageScaling, StatusCheck, StatusDocument, StepStatus,
};
