//! The mailbox of an actor: the one way to send it a message, with a bound that holds (credit-based flow control).
//!
//! A message needs a credit. The receiver returns the credit when it has finished with the message, not when it has merely
//! taken it. So a mailbox's capacity counts every message that was sent and is not finished. An actix mailbox alone bounds
//! less: its capacity holds for each clone of the address, and a handler that returns a future has left the mailbox already.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use actix::dev::ToEnvelope;
use actix::{Actor, Addr, Handler, Message, Recipient};
use lockstep_engine::telemetry;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

use crate::heartbeat::{Beat, Heartbeat};

/// A message under way with its credit.
pub struct Envelope<M> {
    /// The message.
    pub message: M,
    /// The credit, which returns to the mailbox when it is dropped.
    pub credit: Credit,
    /// Counts the message as pending until it is dropped.
    pub beat: Beat,
}

impl<M> Message for Envelope<M> {
    type Result = ();
}

/// The right to one message in a mailbox.
#[derive(Debug)]
pub struct Credit(#[allow(dead_code, reason = "held for what its drop does")] OwnedSemaphorePermit);

/// The sending end of a mailbox. Clones share its capacity.
pub struct Mailbox<M: Send + 'static> {
    name: &'static str,
    recipient: Recipient<Envelope<M>>,
    credits: Arc<Semaphore>,
    heartbeat: Arc<Heartbeat>,
}

impl<M: Send + 'static> Clone for Mailbox<M> {
    fn clone(&self) -> Self {
        Self {
            name: self.name,
            recipient: self.recipient.clone(),
            credits: self.credits.clone(),
            heartbeat: self.heartbeat.clone(),
        }
    }
}

impl<M: Send + 'static> fmt::Debug for Mailbox<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mailbox({})", self.name)
    }
}

/// A message that was not sent, with the reason.
#[derive(Debug)]
pub enum Refused<M> {
    /// No credit is free: try again later.
    Full(M),
    /// The actor has ended, or [`Mailbox::close`] has closed the mailbox: no message will be handled.
    Closed(M),
}

impl<M: Send + 'static> Mailbox<M> {
    /// Creates a mailbox for at most `capacity` messages at a time. The actor's actix mailbox must hold as many. `heartbeat`
    /// is the actor's.
    pub fn new<A>(name: &'static str, actor: &Addr<A>, capacity: usize, heartbeat: Arc<Heartbeat>) -> Self
    where
        A: Actor + Handler<Envelope<M>>,
        A::Context: ToEnvelope<A, Envelope<M>>,
    {
        let credits = Arc::new(Semaphore::new(capacity.max(1)));
        Self { name, recipient: actor.clone().recipient(), credits, heartbeat }
    }

    /// Sends if a credit is free.
    ///
    /// # Errors
    /// The message, if the mailbox is full or closed, or the actor has ended.
    pub fn try_send(&self, message: M) -> Result<(), Refused<M>> {
        match self.credits.clone().try_acquire_owned() {
            Ok(credit) => self.put(message, credit),
            Err(TryAcquireError::NoPermits) => Err(Refused::Full(message)),
            Err(TryAcquireError::Closed) => Err(Refused::Closed(message)),
        }
    }

    /// Waits for a credit, then sends. A message to an actor that has ended, or to a closed mailbox, is dropped: its records
    /// were never committed and will be read again.
    pub async fn send(&self, message: M) {
        let Some(credit) = self.reserve().await else { return };
        if self.put(message, credit).is_err() {
            tracing::debug!(mailbox = self.name, "dropped a message to an actor that is gone");
        }
    }

    /// Sends like [`Self::send`], on a thread that runs no actors.
    pub fn send_blocking(&self, message: M) {
        if let Err(Refused::Full(message)) = self.try_send(message) {
            pollster::block_on(self.send(message));
        }
    }

    /// Closes the mailbox: waiting senders return, [`Self::send`] drops later messages, and [`Self::try_send`] returns them.
    pub fn close(&self) {
        self.credits.close();
    }

    async fn reserve(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(credit) = self.credits.clone().try_acquire_owned() {
            return Some(credit);
        }
        let since = Instant::now();
        let credit = self.credits.clone().acquire_owned().await.ok();
        telemetry::mailbox_blocked(self.name, since.elapsed());
        credit
    }

    fn put(&self, message: M, credit: OwnedSemaphorePermit) -> Result<(), Refused<M>> {
        let envelope = Envelope { message, credit: Credit(credit), beat: self.heartbeat.begin() };
        let refused = |error: actix::dev::SendError<Envelope<M>>| match error {
            actix::dev::SendError::Full(envelope) => Refused::Full(envelope.message),
            actix::dev::SendError::Closed(envelope) => Refused::Closed(envelope.message),
        };
        self.recipient.try_send(envelope).map_err(refused)
    }
}
