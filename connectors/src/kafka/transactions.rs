//! Transactions: what is produced counts together with the positions that it comes from, or not at all.
//!
//! librdkafka's calls wait for the brokers, so a thread of its own makes them. Errors are dealt with as its
//! INTRODUCTION.md ("Transactional Producer API") says: what may pass is tried again, what asks for it
//! aborts the transaction, and what is fatal ends the client.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use lockstep_engine::condition::{Cause, Conditions, Work};
use lockstep_engine::pipeline::KafkaSpec;
use lockstep_engine::position::Commit;
use lockstep_engine::publish::sink::{Ended, Ending, Transactions};
use lockstep_engine::publish::transaction_window::TransactionWindow;
use lockstep_engine::time::Timestamp;
use parking_lot::Mutex;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaError, RDKafkaErrorCode};
use rdkafka::producer::{Producer, ThreadedProducer};

use super::commits::commit_list;
use super::inquiry::Inquiry;
use super::membership::Membership;
use super::sink::Context;
use super::{Error, diagnosis, fault_point};

/// How long the broker keeps a transaction open for a process that has gone, unless `transaction.timeout.ms` says otherwise.
/// Until then nobody who reads what is committed sees past it, and nobody takes over its partitions.
pub const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(10);

/// How long one call may wait. What has not been done by then is asked for again.
const CALL: Duration = Duration::from_secs(5);
/// How soon a call that failed is made again.
const RETRY: Duration = Duration::from_millis(100);
/// How long a client has to recover by itself, if the brokers answer another one.
const RECOVERS_WITHIN: Duration = Duration::from_secs(30);
/// A call that has not returned for so long, though it is limited to [`CALL`], never will. librdkafka has been seen to exceed that
/// limit by as much again.
const STUCK: Duration = Duration::from_secs(20);

/// How long the last transaction may take to be aborted when nobody needs the client any more.
const LEAVE_WITHIN: Duration = Duration::from_secs(2);

/// The name that brokers know a producer of transactions by (`transactional.id`). One that begins fences those of its name
/// before it, and a transaction that they left open is aborted.
#[derive(Clone, Debug)]
pub struct TransactionalId {
    name: String,
    /// How often it had to be another. None where it is the member's own.
    changes: Option<Arc<AtomicU32>>,
    /// What the last producer of the name had learned.
    window: Arc<Mutex<Arc<Mutex<TransactionWindow>>>>,
}

impl TransactionalId {
    /// A name for this process, to be kept for as long as it runs. Two processes of one name would fence each other, so only
    /// a member of the group that keeps its own name over restarts (`group.instance.id`) has the same one then.
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

    /// How much of a transaction of the next producer may be under way. It begins with what was learned from the one before,
    /// which may have callbacks that run still.
    pub(super) fn window(&self) -> Arc<Mutex<TransactionWindow>> {
        let mut last = self.window.lock();
        let mut window = last.lock().clone();
        window.restart();
        *last = Arc::new(Mutex::new(window));
        last.clone()
    }

    /// What the next producer is called.
    pub(super) fn now(&self) -> String {
        match self.changes.as_ref().map(|changes| changes.load(Ordering::Relaxed)) {
            None | Some(0) => self.name.clone(),
            Some(changes) => format!("{}-{changes}", self.name),
        }
    }

    /// A producer of the name may be at work still, and begin after the next: it must not fence that.
    fn change(&self) {
        if let Some(changes) = &self.changes {
            changes.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn fresh<T>(value: T) -> Arc<Mutex<Arc<Mutex<T>>>> {
    Arc::new(Mutex::new(Arc::new(Mutex::new(value))))
}

type Then = Box<dyn FnOnce(Ended) + Send>;

/// What is under way, for those who watch the thread that calls librdkafka.
#[derive(Default)]
struct UnderWay {
    /// Since when a call has not returned.
    called: Option<Instant>,
    /// Who waits for the outcome.
    then: Option<Then>,
}

/// Watches over calls that never return, until the transactions are closed or one has been found.
fn watch(under_way: &Mutex<UnderWay>, closed: &AtomicBool) {
    while !closed.load(Ordering::Relaxed) {
        std::thread::park_timeout(Duration::from_millis(500));
        if look(under_way) {
            return;
        }
    }
}

/// Says of a call that never returns that it has failed. Whether there is one.
fn look(under_way: &Mutex<UnderWay>) -> bool {
    let mut held = under_way.lock();
    if held.called.is_none_or(|called| called.elapsed() < STUCK) {
        return false;
    }
    let Some(then) = held.then.take() else { return false };
    drop(held);
    let seconds = STUCK.as_secs();
    then(Ended::Failed(format!(
        "librdkafka has not returned from a call about a transaction for {seconds} s"
    )));
    true
}

/// A transaction's end, and as whom positions are committed with it.
struct Asked {
    how: Ending,
    member: Option<Arc<ConsumerGroupMetadata>>,
    then: Then,
}

/// The transactions of a producer.
pub struct KafkaTransactions {
    /// Until it is dropped.
    asked: Option<SyncSender<Asked>>,
    membership: Arc<Membership>,
    id: TransactionalId,
    closed: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl KafkaTransactions {
    pub(super) fn start(
        (producer, id): (Arc<ThreadedProducer<Context>>, TransactionalId),
        (membership, conditions): (Arc<Membership>, Arc<dyn Conditions>),
        (topics, inquiry): (Vec<String>, Inquiry),
    ) -> Result<Self, Error> {
        // One call at a time, and the next only when its outcome is there.
        let (asked, asks) = sync_channel(1);
        let closed = Arc::new(AtomicBool::new(false));
        let under_way = Arc::<Mutex<UnderWay>>::default();
        let (watched, is_closed) = (under_way.clone(), closed.clone());
        std::thread::Builder::new()
            .name("kafka-transact-watch".into())
            .spawn(move || watch(&watched, &is_closed))
            .map_err(|error| Error::client("cannot start the thread that watches transactions", error))?;
        let worker = Worker {
            producer,
            topics,
            inquiry,
            closed: closed.clone(),
            conditions,
            id: id.clone(),
            under_way,
        };
        let thread = std::thread::Builder::new()
            .name("kafka-transact".into())
            .spawn(move || worker.run(&asks))
            .map_err(|error| Error::client("cannot start the thread of transactions", error))?;
        Ok(Self { asked: Some(asked), membership, id, closed, thread })
    }
}

impl Transactions for KafkaTransactions {
    fn end(&mut self, how: Ending, then: Then) {
        // Asked now, while those who let partitions go still wait for what this transaction says of them.
        let asked = Asked { how, member: self.membership.current(), then };
        let refused = match &self.asked {
            Some(thread) => thread.try_send(asked).err(),
            None => Some(TrySendError::Disconnected(asked)),
        };
        if let Some(TrySendError::Full(asked) | TrySendError::Disconnected(asked)) = refused {
            (asked.then)(Ended::Failed("the thread of transactions does not answer".into()));
        }
    }
}

impl Drop for KafkaTransactions {
    /// What waits for a broker gives up, and the transaction under way is aborted: whoever reads what is committed would
    /// wait for it until it times out.
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Relaxed);
        self.asked = None;
        let until = Instant::now() + LEAVE_WITHIN;
        while !self.thread.is_finished() && Instant::now() < until {
            std::thread::park_timeout(Duration::from_millis(1));
        }
        if !self.thread.is_finished() {
            self.id.change();
        }
    }
}

struct Worker {
    producer: Arc<ThreadedProducer<Context>>,
    topics: Vec<String>,
    inquiry: Inquiry,
    closed: Arc<AtomicBool>,
    conditions: Arc<dyn Conditions>,
    id: TransactionalId,
    under_way: Arc<Mutex<UnderWay>>,
}

/// Why a call has not done what it should.
enum Trouble {
    /// The transaction can only be aborted.
    Abort(String),
    /// Nothing can be done any more.
    Fatal(String),
}

impl Worker {
    fn run(self, asks: &Receiver<Asked>) {
        while let Ok(Asked { how, member, then }) = asks.recv() {
            self.under_way.lock().then = Some(then);
            let ended = self.end(how, member.as_deref());
            let then = self.under_way.lock().then.take();
            if let Some(then) = then {
                then(ended);
            }
        }
        // A transaction left open would hold up all who read what was committed until it times out.
        if self.producer.client().fatal_error().is_none() {
            let _aborted = self.producer.abort_transaction(LEAVE_WITHIN);
        }
    }

    fn end(&self, how: Ending, member: Option<&ConsumerGroupMetadata>) -> Ended {
        let ended = match how {
            Ending::None => {
                self.call("cannot begin with transactions", || self.producer.init_transactions(CALL))
            }
            Ending::Commit(commits) => self.commit(commits, member),
            Ending::Abort => self.abort(),
        };
        let outcome = match ended {
            Ok(()) => Ended::AsAsked,
            Err(Trouble::Fatal(why)) => return Ended::Failed(why),
            Err(Trouble::Abort(why)) => match self.abort() {
                Ok(()) => Ended::Aborted(why),
                Err(Trouble::Abort(and) | Trouble::Fatal(and)) => {
                    return Ended::Failed(format!("{why}; then {and}"));
                }
            },
        };
        match self.call("cannot begin a transaction", || self.producer.begin_transaction()) {
            Ok(()) => outcome,
            Err(Trouble::Abort(why) | Trouble::Fatal(why)) => Ended::Failed(why),
        }
    }

    fn commit(&self, commits: Vec<Commit>, member: Option<&ConsumerGroupMetadata>) -> Result<(), Trouble> {
        if !commits.is_empty() {
            let member = member.ok_or_else(|| Trouble::Abort("its partitions have been let go".into()))?;
            let list = commit_list(&self.topics, commits);
            self.call("cannot add positions to a transaction", || {
                self.producer.send_offsets_to_transaction(&list, member, CALL)
            })?;
        }
        fault_point::pass("before-commit");
        self.call("cannot commit a transaction", || self.producer.commit_transaction(CALL))?;
        fault_point::pass("after-commit");
        Ok(())
    }

    fn abort(&self) -> Result<(), Trouble> {
        self.call("cannot abort a transaction", || self.producer.abort_transaction(CALL))?;
        // What aborted it may be there still: the next is not to be tried as fast as the machine can.
        std::thread::park_timeout(RETRY);
        Ok(())
    }

    /// Makes a call until it succeeds or fails for good.
    fn call(&self, what: &str, call: impl Fn() -> KafkaResult<()>) -> Result<(), Trouble> {
        let mut failing_since = Instant::now();
        loop {
            self.under_way.lock().called = Some(Instant::now());
            let called = call();
            self.under_way.lock().called = None;
            let error = match called {
                Ok(()) => {
                    self.conditions.done(Work::Commit, TRANSACTION);
                    return Ok(());
                }
                Err(error) => error,
            };
            self.conditions.report(Work::Commit, TRANSACTION, self.cause(what, &error));
            let why = format!("{what}: {}", in_words(&error));
            match &error {
                KafkaError::Transaction(error) if error.txn_requires_abort() => {
                    return Err(Trouble::Abort(why));
                }
                KafkaError::Transaction(error) if error.is_retriable() => {}
                // The flush before a commit: everything has been told of, so it has but to be repeated.
                KafkaError::Flush(_) => {}
                _ => return Err(Trouble::Fatal(why)),
            }
            if self.closed.load(Ordering::Relaxed) {
                return Err(Trouble::Fatal(why));
            }
            if failing_since.elapsed() >= RECOVERS_WITHIN {
                if self.inquiry.is_answered() {
                    let seconds = RECOVERS_WITHIN.as_secs();
                    return Err(Trouble::Fatal(format!(
                        "{why}; the producer has not recovered within {seconds} s, though the brokers answer another client"
                    )));
                }
                failing_since = Instant::now();
            }
            std::thread::park_timeout(RETRY);
        }
    }
}

/// What conditions name that are about transactions.
const TRANSACTION: &str = "transaction";

impl Worker {
    fn cause(&self, what: &str, error: &KafkaError) -> Cause {
        cause(&self.id, what, error)
    }
}

/// Why something about transactions cannot be done.
pub(super) fn cause(id: &TransactionalId, what: &str, error: &KafkaError) -> Cause {
    use RDKafkaErrorCode as Code;
    match error.rdkafka_error_code() {
        Some(Code::TransactionalIdAuthorizationFailed) => {
            diagnosis::lacks("WRITE", &format!("transactional id {}", id.now()))
        }
        Some(Code::OperationTimedOut) => Cause::passing(
            format!("{what}: the brokers do not answer in time"),
            "where that lasts, see that the brokers can make the topic __transaction_state and that it has its replicas \
             (transaction.state.log.replication.factor, transaction.state.log.min.isr)",
        ),
        code => diagnosis::cause(code, &format!("{what}: {}", in_words(error))),
    }
}

fn in_words(error: &KafkaError) -> String {
    let said = |error: &RDKafkaError| error.string();
    match error {
        KafkaError::Transaction(error) => said(error),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    /// A watch that looks once at a call which began so long ago, and what it says of it.
    fn told_of(called: Option<Duration>) -> Option<Ended> {
        let (told, tells) = sync_channel(1);
        let under_way = UnderWay {
            called: called.and_then(|ago| Instant::now().checked_sub(ago)),
            then: Some(Box::new(move |ended| told.send(ended).unwrap())),
        };
        look(&Mutex::new(under_way));
        tells.try_recv().ok()
    }

    #[test]
    fn call_that_does_not_return_has_failed() {
        assert!(matches!(told_of(Some(STUCK)), Some(Ended::Failed(_))));
        assert!(told_of(Some(CALL)).is_none() && told_of(None).is_none());
    }
}
