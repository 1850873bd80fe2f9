//! Transactions: results and the offsets that they come from are committed together, or not at all.
//!
//! librdkafka's calls wait for the brokers, so a thread of its own makes them. It handles errors as librdkafka's INTRODUCTION.md
//! ("Transactional Producer API") says. It repeats a call after a retriable error, aborts the transaction when the error asks
//! for that, and fails for good on any other error. It also fails if a call has not succeeded within `RECOVERS_WITHIN`, though
//! the brokers answer another client. A watchdog on a second thread (`pending_call`) fails a call that never returns.

mod pending_call;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use lockstep_engine::condition::{Cause, Conditions, Work};
use lockstep_engine::position::Commit;
use lockstep_engine::publish::sink::{Ended, Ending, Transactions};
use parking_lot::Mutex;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::producer::{Producer, ThreadedProducer};

use self::pending_call::{CALL, OnEnded, PendingCall, watch};
use super::commits::commit_list;
use super::inquiry::Inquiry;
use super::membership::Membership;
use super::sink_context::SinkContext;
use super::transactional_id::TransactionalId;
use super::{Error, diagnosis, fault_point};

/// The pause before a failed call is repeated.
const RETRY: Duration = Duration::from_millis(100);
/// The time for a client to recover by itself, if the brokers answer another one.
const RECOVERS_WITHIN: Duration = Duration::from_secs(30);
/// The time for aborting the last transaction when the client is dropped.
const LEAVE_WITHIN: Duration = Duration::from_secs(2);

/// A request to end a transaction, and the group member as which it commits offsets.
struct EndRequest {
    ending: Ending,
    member: Option<Arc<ConsumerGroupMetadata>>,
    on_ended: OnEnded,
}

/// The transactions of a producer.
pub struct KafkaTransactions {
    /// None once this is being dropped.
    requests: Option<SyncSender<EndRequest>>,
    membership: Arc<Membership>,
    id: TransactionalId,
    closed: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl KafkaTransactions {
    pub(super) fn start(
        producer: Arc<ThreadedProducer<SinkContext>>,
        id: TransactionalId,
        membership: Arc<Membership>,
        conditions: Arc<dyn Conditions>,
        topics: Vec<String>,
        inquiry: Inquiry,
    ) -> Result<Self, Error> {
        // One request at a time: the publisher waits for the outcome before the next.
        let (requests, receiver) = sync_channel(1);
        let closed = Arc::new(AtomicBool::new(false));
        let pending = Arc::<Mutex<PendingCall>>::default();
        let (watched, is_closed) = (pending.clone(), closed.clone());
        std::thread::Builder::new()
            .name("kafka-transact-watch".into())
            .spawn(move || watch(&watched, &is_closed))
            .map_err(|error| Error::client("cannot start the thread that watches transactions", error))?;
        let worker = TransactionThread {
            producer,
            topics,
            inquiry,
            closed: closed.clone(),
            conditions,
            id: id.clone(),
            pending,
        };
        let thread = std::thread::Builder::new()
            .name("kafka-transact".into())
            .spawn(move || worker.run(&receiver))
            .map_err(|error| Error::client("cannot start the thread of transactions", error))?;
        Ok(Self { requests: Some(requests), membership, id, closed, thread })
    }
}

impl Transactions for KafkaTransactions {
    fn end(&mut self, ending: Ending, on_ended: OnEnded) {
        // The current membership owns the partitions: a revocation waits until this transaction has committed their offsets.
        let request = EndRequest { ending, member: self.membership.current(), on_ended };
        let refused = match &self.requests {
            Some(thread) => thread.try_send(request).err(),
            None => Some(TrySendError::Disconnected(request)),
        };
        if let Some(TrySendError::Full(request) | TrySendError::Disconnected(request)) = refused {
            (request.on_ended)(Ended::Failed("the thread of transactions does not answer".into()));
        }
    }
}

impl Drop for KafkaTransactions {
    /// Stops the retries and aborts the open transaction. Otherwise readers of committed records would wait until it times out.
    /// If the thread does not end in time, the next producer gets another transactional id: this one might still use the old.
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Relaxed);
        self.requests = None;
        let until = Instant::now() + LEAVE_WITHIN;
        while !self.thread.is_finished() && Instant::now() < until {
            std::thread::park_timeout(Duration::from_millis(1));
        }
        if !self.thread.is_finished() {
            self.id.change();
        }
    }
}

struct TransactionThread {
    producer: Arc<ThreadedProducer<SinkContext>>,
    topics: Vec<String>,
    inquiry: Inquiry,
    closed: Arc<AtomicBool>,
    conditions: Arc<dyn Conditions>,
    id: TransactionalId,
    pending: Arc<Mutex<PendingCall>>,
}

/// The consequence of a failed call.
enum CallFailure {
    /// The transaction can only be aborted.
    Abort(String),
    /// The client begins no other transaction.
    Fatal(String),
}

impl TransactionThread {
    fn run(self, requests: &Receiver<EndRequest>) {
        while let Ok(EndRequest { ending, member, on_ended }) = requests.recv() {
            self.pending.lock().on_ended = Some(on_ended);
            let ended = self.end(ending, member.as_deref());
            let on_ended = self.pending.lock().on_ended.take();
            if let Some(on_ended) = on_ended {
                on_ended(ended);
            }
        }
        // An open transaction would hold up all readers of committed records until it times out.
        if self.producer.client().fatal_error().is_none() {
            let _aborted = self.producer.abort_transaction(LEAVE_WITHIN);
        }
    }

    fn end(&self, ending: Ending, member: Option<&ConsumerGroupMetadata>) -> Ended {
        let ended = match ending {
            Ending::None => {
                self.call("cannot begin with transactions", || self.producer.init_transactions(CALL))
            }
            Ending::Commit(commits) => self.commit(commits, member),
            Ending::Abort => self.abort(),
        };
        let outcome = match ended {
            Ok(()) => Ended::AsAsked,
            Err(CallFailure::Fatal(why)) => return Ended::Failed(why),
            Err(CallFailure::Abort(why)) => match self.abort() {
                Ok(()) => Ended::Aborted(why),
                Err(CallFailure::Abort(and) | CallFailure::Fatal(and)) => {
                    return Ended::Failed(format!("{why}; then {and}"));
                }
            },
        };
        match self.call("cannot begin a transaction", || self.producer.begin_transaction()) {
            Ok(()) => outcome,
            Err(CallFailure::Abort(why) | CallFailure::Fatal(why)) => Ended::Failed(why),
        }
    }

    fn commit(
        &self,
        commits: Vec<Commit>,
        member: Option<&ConsumerGroupMetadata>,
    ) -> Result<(), CallFailure> {
        if !commits.is_empty() {
            let member = member.ok_or_else(|| CallFailure::Abort("its partitions were revoked".into()))?;
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

    fn abort(&self) -> Result<(), CallFailure> {
        self.call("cannot abort a transaction", || self.producer.abort_transaction(CALL))?;
        // The cause of the abort may last: without a pause the thread would retry in a tight loop.
        std::thread::park_timeout(RETRY);
        Ok(())
    }

    /// Repeats a call until it succeeds or fails for good.
    fn call(&self, what: &str, call: impl Fn() -> KafkaResult<()>) -> Result<(), CallFailure> {
        let mut failing_since = Instant::now();
        loop {
            self.pending.lock().since = Some(Instant::now());
            let called = call();
            self.pending.lock().since = None;
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
                    return Err(CallFailure::Abort(why));
                }
                KafkaError::Transaction(error) if error.is_retriable() => {}
                // rdkafka flushes before it commits. All deliveries were reported already, so a repeat suffices.
                KafkaError::Flush(_) => {}
                _ => return Err(CallFailure::Fatal(why)),
            }
            if self.closed.load(Ordering::Relaxed) {
                return Err(CallFailure::Fatal(why));
            }
            if failing_since.elapsed() >= RECOVERS_WITHIN {
                if self.inquiry.is_answered() {
                    let seconds = RECOVERS_WITHIN.as_secs();
                    return Err(CallFailure::Fatal(format!(
                        "{why}; the producer has not recovered within {seconds} s, though the brokers answer another client"
                    )));
                }
                failing_since = Instant::now();
            }
            std::thread::park_timeout(RETRY);
        }
    }
}

/// The subject of conditions about transactions.
const TRANSACTION: &str = "transaction";

impl TransactionThread {
    fn cause(&self, what: &str, error: &KafkaError) -> Cause {
        cause(&self.id, what, error)
    }
}

/// The cause of an error about transactions.
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
    match error {
        KafkaError::Transaction(error) => error.string(),
        other => other.to_string(),
    }
}
