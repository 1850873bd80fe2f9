//! The commit thread. librdkafka reports the outcome of a commit only to a caller that waits for it: with events, an asynchronous
//! commit is never answered. The poll thread must not wait.

use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};

use parking_lot::Mutex;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::topic_partition_list::TopicPartitionList;

use super::context::{Notices, SourceContext, Wake};
use crate::fault_point;

/// A thread that makes one commit at a time.
pub(super) struct Committer {
    lists: SyncSender<TopicPartitionList>,
}

impl Committer {
    /// Starts the thread. It ends when this is dropped, after the pending commit.
    pub(super) fn start(
        consumer: Arc<BaseConsumer<SourceContext>>,
        notices: Arc<Mutex<Notices>>,
        wake: Arc<Wake>,
    ) -> std::io::Result<Self> {
        let (lists, received) = sync_channel::<TopicPartitionList>(1);
        std::thread::Builder::new().name("kafka-commit".into()).spawn(move || {
            for list in received {
                fault_point::pass("before-commit");
                let outcome = consumer.commit(&list, CommitMode::Sync);
                fault_point::pass("after-commit");
                notices.lock().committed = Some(outcome);
                wake.wake();
            }
        })?;
        Ok(Self { lists })
    }

    /// Hands a commit to the thread, and returns false if the thread did not take it. The caller ensures that none is pending.
    pub(super) fn commit(&self, list: TopicPartitionList) -> bool {
        match self.lists.try_send(list) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        }
    }
}
