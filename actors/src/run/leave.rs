//! How a pipeline leaves its group: drained as far as time allows, and with its positions committed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lockstep_engine::ingest::source::SourceControl;
use tokio::sync::{mpsc, oneshot};

use super::Ended;
use crate::failure::Remedy;
use crate::ingest::IngestMessage;
use crate::mailbox::Mailbox;
use crate::publish::PublishMessage;

/// Stops intake, lets what is under way come to its end, commits, and leaves the group.
pub(super) async fn stop_in_order(
    source: &Arc<dyn SourceControl>,
    (ingest, publish): (&Mailbox<IngestMessage>, &Mailbox<PublishMessage>),
    all_done: oneshot::Receiver<()>,
    failed: &mut mpsc::Receiver<(String, Remedy)>,
    within: Duration,
) -> Ended {
    let since = Instant::now();
    tracing::info!("stopping: no more records are taken in");
    source.stop();
    let drained = async {
        ingest.send(IngestMessage::Stop).await;
        all_done.await.is_ok()
    };
    tokio::select! {
        drained = tokio::time::timeout(within, drained) => {
            leave(source, publish, drained == Ok(true), since, within).await
        }
        // Without that actor the rest of the work cannot end: what has ended is committed.
        Some((why, _)) = failed.recv() => {
            let _cut_short = leave(source, publish, false, since, within).await;
            Ended::CutShort(format!("{why}; what had not ended by then is not committed and will be read again"))
        }
    }
}

/// Commits and leaves the group, when a stop has begun at a time.
pub(super) async fn leave(
    source: &Arc<dyn SourceControl>,
    publish: &Mailbox<PublishMessage>,
    drained: bool,
    since: Instant,
    within: Duration,
) -> Ended {
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
            Ended::InOrder
        }
        (false, _) => Ended::CutShort(format!(
            "bundles were still under way after {within:?} (limits.stop_within); they are not committed and will be read again"
        )),
        (true, Err(error)) => {
            Ended::CutShort(format!("the last commit failed, so some results will be made again: {error}"))
        }
    }
}
