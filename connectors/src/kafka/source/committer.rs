//! Commits, on a thread of its own: librdkafka tells the outcome of a commit only to one who waits for it
//! (with events, an asynchronous commit is never answered), and the poll thread must not wait.

use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};

use parking_lot::Mutex;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::topic_partition_list::TopicPartitionList;

use super::context::{Context, Notices, Wake};
use crate::kafka::fault_point;

/// Makes one commit at a time.
pub(super) struct Committer {
    lists: SyncSender<TopicPartitionList>,
}

impl Committer {
    /// Ends when dropped, after the commit that it is making.
    pub(super) fn start(
        consumer: Arc<BaseConsumer<Context>>,
        notices: Arc<Mutex<Notices>>,
        wake: Arc<Wake>,
    ) -> std::io::Result<Self> {
        let (lists, asked) = sync_channel::<TopicPartitionList>(1);
        std::thread::Builder::new().name("kafka-commit".into()).spawn(move || {
            for list in asked {
                fault_point::pass("before-commit");
                let outcome = consumer.commit(&list, CommitMode::Sync);
                fault_point::pass("after-commit");
                notices.lock().committed = Some(outcome);
                wake.wake();
            }
        })?;
        Ok(Self { lists })
    }

    /// Whether the commit was taken. The caller makes sure that none is under way.
    pub(super) fn commit(&self, list: TopicPartitionList) -> bool {
        match self.lists.try_send(list) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        }
    }
}
