//! The one way from an actor to another: a mailbox with a bound that holds.
//!
//! A message goes only with a credit, and the credit is given back when the receiver has finished with the
//! message, not when it has merely taken it. So a link's capacity counts everything that has been sent
//! and not yet dealt with. (An actix mailbox alone bounds less: its capacity is for each clone of the
//! address, and a handler that returns a future has left the mailbox already.)

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use actix::dev::ToEnvelope;
use actix::{Actor, Addr, Handler, Message, Recipient};
use lockstep_engine::telemetry;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::heartbeat::Heartbeat;

/// A message under way, with its place in the link.
pub struct Envelope<M> {
    /// What is sent.
    pub message: M,
    /// Its place in the link, free again when this is dropped.
    pub credit: Credit,
}

impl<M> Message for Envelope<M> {
    type Result = ();
}

/// A place in a link.
#[derive(Debug)]
pub struct Credit(#[allow(dead_code, reason = "held for what its drop does")] OwnedSemaphorePermit);

/// The sending end of a link. Clones share its capacity.
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

/// Why a message was not sent.
#[derive(Debug)]
pub enum Refused<M> {
    /// There is no room now.
    Full(M),
    /// The receiver is gone.
    Closed(M),
}

impl<M: Send + 'static> Mailbox<M> {
    /// A link to an actor for at most so many messages at a time. The actor's own mailbox must have room
    /// for as many. `heartbeat` is the actor's.
    pub fn new<A>(name: &'static str, actor: &Addr<A>, capacity: usize, heartbeat: Arc<Heartbeat>) -> Self
    where
        A: Actor + Handler<Envelope<M>>,
        A::Context: ToEnvelope<A, Envelope<M>>,
    {
        let credits = Arc::new(Semaphore::new(capacity.max(1)));
        Self { name, recipient: actor.clone().recipient(), credits, heartbeat }
    }

    /// Sends if there is room.
    ///
    /// # Errors
    /// The message, when there is none, or nobody to take it.
    pub fn try_send(&self, message: M) -> Result<(), Refused<M>> {
        match self.credits.clone().try_acquire_owned() {
            Ok(credit) => self.put(message, credit),
            Err(_) => Err(Refused::Full(message)),
        }
    }

    /// Waits for room, then sends. A message to an actor that is gone is dropped: what it carries was
    /// never committed and will be read again.
    pub async fn send(&self, message: M) {
        let Some(credit) = self.reserve().await else { return };
        if self.put(message, credit).is_err() {
            tracing::debug!(link = self.name, "a message to an actor that is gone was dropped");
        }
    }

    /// Like [`Self::send`], for threads that run no actors.
    pub fn send_blocking(&self, message: M) {
        let message = match self.try_send(message) {
            Ok(()) => return,
            Err(Refused::Full(message) | Refused::Closed(message)) => message,
        };
        crate::run::block_on(self.send(message));
    }

    /// Nobody waits for room any more, and what is sent from here on is dropped.
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
        let envelope = Envelope { message, credit: Credit(credit) };
        let refused = |error: actix::dev::SendError<Envelope<M>>| match error {
            actix::dev::SendError::Full(envelope) => Refused::Full(envelope.message),
            actix::dev::SendError::Closed(envelope) => Refused::Closed(envelope.message),
        };
        self.recipient.try_send(envelope).map_err(refused).inspect(|()| self.heartbeat.given())
    }
}
