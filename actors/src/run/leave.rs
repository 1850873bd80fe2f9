//! The orderly stop of a pipeline: drains it within the deadline, commits its offsets and leaves the group.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lockstep_engine::ingest::source::SourceControl;
use tokio::sync::{mpsc, oneshot};

use super::outcome::PipelineEnd;
use crate::failure::PipelineFailure;
use crate::mailbox::Mailbox;
use crate::message::{IngestMessage, PublishMessage};

/// Stops reading, waits for the records in flight, commits, and leaves the group.
pub(super) async fn stop_in_order(
    source: &Arc<dyn SourceControl>,
    ingest: &Mailbox<IngestMessage>,
    publish: &Mailbox<PublishMessage>,
    all_done: oneshot::Receiver<()>,
    failed: &mut mpsc::Receiver<PipelineFailure>,
    within: Duration,
) -> PipelineEnd {
    let since = Instant::now();
    tracing::info!("stopping, no more records are read");
    source.stop();
    let drained = async {
        ingest.send(IngestMessage::Stop).await;
        all_done.await.is_ok()
    };
    tokio::select! {
        drained = tokio::time::timeout(within, drained) => {
            leave(source, publish, drained == Ok(true), since, within).await
        }
        // Without the failed actor the other records cannot end. The offsets of ended records are committed.
        Some(why) = failed.recv() => {
            let _cut_short = leave(source, publish, false, since, within).await;
            PipelineEnd::CutShort(format!("{why}; records that had not ended are not committed and will be read again"))
        }
    }
}

/// Commits and leaves the group. The deadline counts from `since`, the begin of the stop.
pub(super) async fn leave(
    source: &Arc<dyn SourceControl>,
    publish: &Mailbox<PublishMessage>,
    drained: bool,
    since: Instant,
    within: Duration,
) -> PipelineEnd {
    let (answer, positions) = oneshot::channel();
    let ask = async {
        publish.send(PublishMessage::Positions(answer)).await;
        positions.await.unwrap_or_default()
    };
    let positions = tokio::time::timeout(Duration::from_secs(1), ask).await.unwrap_or_default();
    let left = within.saturating_sub(since.elapsed()).max(Duration::from_secs(1));
    let closed = source.close(positions, left);
    match (drained, closed) {
        (true, Ok(())) => {
            tracing::info!("stopped in order");
            PipelineEnd::InOrder
        }
        (false, _) => PipelineEnd::CutShort(format!(
            "bundles were still in flight after {within:?} (limits.stop_within); they are not committed and will be read again"
        )),
        (true, Err(error)) => PipelineEnd::CutShort(format!(
            "the last commit failed, so some results will be repeated: {error}"
        )),
    }
}
