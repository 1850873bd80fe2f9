//! Records that the broker deleted before they were read.

use lockstep_engine::ingest::{InputSpec, OnDataLoss};
use lockstep_engine::position::PartitionId;
use lockstep_engine::telemetry;

use crate::message::IngestMessage;
use crate::stage_actor::Outbox;

/// Counts and logs the loss, and stops the pipeline if the input's `on_data_loss` says so.
pub(super) fn report(
    inputs: &[InputSpec],
    partition: PartitionId,
    from: i64,
    to: i64,
    out: &mut Outbox<IngestMessage>,
) {
    let Some(input) = inputs.get(partition.input.index()) else { return };
    let records = u64::try_from(to.saturating_sub(from)).unwrap_or(0);
    telemetry::data_lost(&input.name, records);
    match input.on_data_loss {
        OnDataLoss::Continue => tracing::error!(
            input = input.name,
            topic = input.topic,
            partition = partition.partition,
            records,
            from,
            to,
            remedy = "keep records longer (retention.ms, retention.bytes) or read faster",
            "records deleted before they were read"
        ),
        OnDataLoss::Stop => out.end(format!(
            "topic {} partition {}: the broker deleted {records} records (offsets {from} to {}) before they were read; \
             keep records longer (retention.ms, retention.bytes) or read faster; stopping, as on_data_loss of input {} asks",
            input.topic,
            partition.partition,
            to - 1,
            input.name
        )),
    }
}
