//! The transactional id, by which brokers know a producer of transactions.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use lockstep_engine::pipeline::KafkaSpec;
use lockstep_engine::publish::transaction_window::TransactionWindow;
use lockstep_engine::time::Timestamp;
use parking_lot::Mutex;

/// The time for which the broker keeps a transaction open after its process has gone, unless `transaction.timeout.ms` is set.
/// Until then, readers of committed records see no record behind it, and no other process takes over its partitions.
pub const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(10);

/// The name by which brokers know a producer of transactions (`transactional.id`). A new producer fences the older ones of its
/// name, and the broker aborts a transaction that they left open.
#[derive(Clone, Debug)]
pub struct TransactionalId {
    name: String,
    /// The number of changes so far. None if the name is the group member's own.
    changes: Option<Arc<AtomicU32>>,
    /// The send window that the last producer of the name learned.
    window: Arc<Mutex<Arc<Mutex<TransactionWindow>>>>,
}

impl TransactionalId {
    /// Makes a name for this process, to be kept for as long as it runs. Two processes of one name would fence each other. So
    /// only a group member with a name of its own (`group.instance.id`) keeps the same one across restarts.
    pub fn new(spec: &KafkaSpec) -> Self {
        let (name, changes) = match spec.consumer.get("group.instance.id") {
            Some(instance) => (instance.clone(), None),
            None => {
                let name = format!("{}-{:x}", std::process::id(), Timestamp::wall().as_nanos());
                (name, Some(Arc::default()))
            }
        };
        let timeout = spec.producer.get("transaction.timeout.ms").and_then(|millis| millis.parse().ok());
        let window = TransactionWindow::new(timeout.map_or(TRANSACTION_TIMEOUT, Duration::from_millis));
        Self { name: format!("lockstep-{}-{name}", spec.group), changes, window: fresh(window) }
    }

    /// The send window of the next producer. It is a copy of the last one's, because callbacks of that producer may still run.
    pub(super) fn window(&self) -> Arc<Mutex<TransactionWindow>> {
        let mut last = self.window.lock();
        let mut window = last.lock().clone();
        window.restart();
        *last = Arc::new(Mutex::new(window));
        last.clone()
    }

    /// The name of the next producer.
    pub(super) fn now(&self) -> String {
        match self.changes.as_ref().map(|changes| changes.load(Ordering::Relaxed)) {
            None | Some(0) => self.name.clone(),
            Some(changes) => format!("{}-{changes}", self.name),
        }
    }

    /// Changes the name of the next producer. The last one may still be at work, begin a transaction later, and fence it.
    pub(super) fn change(&self) {
        if let Some(changes) = &self.changes {
            changes.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn fresh<T>(value: T) -> Arc<Mutex<Arc<Mutex<T>>>> {
    Arc::new(Mutex::new(Arc::new(Mutex::new(value))))
}
