//! The actor around a stage. It handles one message at a time, catches panics, supplies the time, and takes no message while
//! the stage's own messages wait for a full mailbox.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use actix::{Actor, ActorFutureExt, Arbiter, AsyncContext, Context, Handler, SpawnHandle, WrapFuture};
use lockstep_engine::telemetry;
use lockstep_engine::time::Timestamp;

use crate::failure::{Failures, PipelineFailure};
use crate::heartbeat::{Beat, Heartbeat};
use crate::mailbox::{Credit, Envelope, Mailbox, Refused};
use crate::panic_text::panic_text;

/// The logic of a stage.
pub trait Stage: Send + Unpin + 'static {
    /// The messages that the stage handles.
    type Message: Send + Unpin + 'static;

    /// Handles a message. A stage that needs more time for the message takes its `credit` and drops it when it has finished.
    /// Otherwise the actor drops the credit once every message in `out` has been accepted.
    fn handle(
        &mut self,
        message: Self::Message,
        credit: &mut Option<Credit>,
        now: Timestamp,
        out: &mut Outbox<Self::Message>,
    );

    /// Does the work that is due. The actor calls it when it starts and at [`Self::next_deadline`]. `_waiting` is the number of
    /// messages that have arrived and are not handled.
    fn tick(&mut self, _now: Timestamp, _waiting: u64, _out: &mut Outbox<Self::Message>) {}

    /// Called when a full mailbox blocks the stage's own messages. No message is handled until they are accepted.
    fn blocked(&mut self, _now: Timestamp) {}

    /// Called when all blocked messages have been accepted.
    fn unblocked(&mut self, _now: Timestamp) {}

    /// Returns the next time at which work is due. The actor asks after each call of [`Self::handle`] and [`Self::tick`].
    fn next_deadline(&self) -> Option<Timestamp> {
        None
    }
}

type PendingSend = Pin<Box<dyn Future<Output = ()>>>;
type PendingMessage<M> = Pin<Box<dyn Future<Output = M>>>;

/// The messages that a stage sends.
pub struct Outbox<M> {
    pending: VecDeque<PendingSend>,
    to_self: Vec<PendingMessage<M>>,
    failure: Option<PipelineFailure>,
}

impl<M> Outbox<M> {
    pub(crate) fn new() -> Self {
        Self { pending: VecDeque::new(), to_self: Vec::new(), failure: None }
    }

    /// Sends a message. If the mailbox is full, the actor handles nothing more until the message is accepted. A message to an
    /// actor that has ended, or to a closed mailbox, is dropped.
    pub fn send<N: Send + 'static>(&mut self, mailbox: &Mailbox<N>, message: N) {
        let message = if self.pending.is_empty() {
            match mailbox.try_send(message) {
                Ok(()) | Err(Refused::Closed(_)) => return,
                Err(Refused::Full(message)) => message,
            }
        } else {
            message
        };
        let mailbox = mailbox.clone();
        self.pending.push_back(Box::pin(async move { mailbox.send(message).await }));
    }

    /// Sends the future's outcome to the stage itself once it is ready. The actor handles other messages meanwhile.
    pub fn later(&mut self, message: impl Future<Output = M> + 'static) {
        self.to_self.push(Box::pin(message));
    }

    /// Ends the pipeline with a failure.
    pub fn failed(&mut self, failure: PipelineFailure) {
        self.failure.get_or_insert(failure);
    }

    /// Ends the pipeline with a failure that a new pipeline may overcome.
    pub fn fail(&mut self, why: String) {
        self.failed(PipelineFailure::Restart(why));
    }

    /// Ends the pipeline with a failure that a new pipeline would repeat.
    pub fn end(&mut self, why: String) {
        self.failed(PipelineFailure::Final(why));
    }
}

/// A stage with an actor around it.
pub struct StageActor<R: Stage> {
    name: String,
    stage: R,
    capacity: usize,
    failures: Failures,
    heartbeat: Arc<Heartbeat>,
    timer: Option<(Timestamp, SpawnHandle)>,
    /// True once the stage has panicked: its state may be half changed.
    is_broken: bool,
    /// True while a full mailbox blocks the stage's messages. The actix context still delivers timers and messages to itself.
    is_blocked: bool,
    /// Calls that arrived while blocked, in order: handled at once, their messages would overtake the blocked ones.
    deferred: VecDeque<(Option<Credit>, Beat, Call<R::Message>)>,
}

impl<R: Stage> StageActor<R> {
    /// Starts a stage as an actor on a thread, and returns its mailbox for at most `capacity` messages.
    pub fn start(
        name: String,
        mailbox: &'static str,
        stage: R,
        capacity: usize,
        arbiter: &Arbiter,
        failures: Failures,
    ) -> Mailbox<R::Message> {
        let heartbeat = failures.status().heartbeat(&name);
        failures.starting(&name);
        let stage_actor = Self {
            name,
            stage,
            capacity,
            failures,
            heartbeat: heartbeat.clone(),
            timer: None,
            is_broken: false,
            is_blocked: false,
            deferred: VecDeque::new(),
        };
        let actor = Self::start_in_arbiter(&arbiter.handle(), move |_| stage_actor);
        Mailbox::new(mailbox, &actor, capacity, heartbeat)
    }

    fn call(&mut self, ctx: &mut Context<Self>, credit: Option<Credit>, beat: Beat, call: Call<R::Message>) {
        if self.is_broken {
            return;
        }
        if self.is_blocked {
            return self.deferred.push_back((credit, beat, call));
        }
        let (now, began) = (Timestamp::now(), Instant::now());
        let waiting = self.heartbeat.left().saturating_sub(1);
        let mut credit = credit;
        let mut out = Outbox::new();
        let outcome = catch_unwind(AssertUnwindSafe(|| match call {
            Call::Handle(message) => self.stage.handle(message, &mut credit, now, &mut out),
            Call::Tick => self.stage.tick(now, waiting, &mut out),
        }));
        self.heartbeat.worked(began.elapsed());
        if let Err(panic) = outcome {
            telemetry::panicked(&self.name);
            self.is_broken = true;
            // Messages of the failed call are dropped: one of them could take effect without the others.
            out = Outbox::new();
            out.fail(format!("the actor panicked: {}", panic_text(panic.as_ref())));
        }
        if let Some(failure) = out.failure {
            self.failures.report(&self.name, failure);
        }
        for message in out.to_self {
            let deliver = message.into_actor(self).map(|message, actor, ctx| {
                actor.call(ctx, None, actor.heartbeat.begin(), Call::Handle(message));
            });
            ctx.spawn(deliver);
        }
        if out.pending.is_empty() {
            drop(beat);
        } else {
            self.heartbeat.blocked();
            let send_all = async move {
                for pending in out.pending {
                    pending.await;
                }
                drop(credit);
                drop(beat);
            };
            self.is_blocked = true;
            if !self.is_broken {
                self.stage.blocked(Timestamp::now());
            }
            ctx.wait(send_all.into_actor(self).map(|(), actor, ctx| actor.unblocked(ctx)));
        }
        self.set_timer(ctx, now);
    }

    /// Handles the calls that arrived while the actor was blocked.
    fn unblocked(&mut self, ctx: &mut Context<Self>) {
        self.is_blocked = false;
        if !self.is_broken {
            self.stage.unblocked(Timestamp::now());
        }
        while !self.is_blocked
            && let Some((credit, beat, call)) = self.deferred.pop_front()
        {
            self.call(ctx, credit, beat, call);
        }
    }

    fn set_timer(&mut self, ctx: &mut Context<Self>, now: Timestamp) {
        let due = self.stage.next_deadline();
        if self.timer.as_ref().map(|(at, _)| *at) == due {
            return;
        }
        if let Some((_, handle)) = self.timer.take() {
            ctx.cancel_future(handle);
        }
        if let Some(due) = due {
            let handle = ctx.run_later(due.since(now), |actor, ctx| {
                actor.timer = None;
                actor.call(ctx, None, actor.heartbeat.begin(), Call::Tick);
            });
            self.timer = Some((due, handle));
        }
    }
}

enum Call<M> {
    Handle(M),
    Tick,
}

impl<R: Stage> Actor for StageActor<R> {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(self.capacity);
        self.failures.running(&self.name);
        self.call(ctx, None, self.heartbeat.begin(), Call::Tick);
    }
}

impl<R: Stage> Handler<Envelope<R::Message>> for StageActor<R> {
    type Result = ();

    fn handle(&mut self, envelope: Envelope<R::Message>, ctx: &mut Context<Self>) {
        self.call(ctx, Some(envelope.credit), envelope.beat, Call::Handle(envelope.message));
    }
}

#[cfg(test)]
#[path = "stage_actor_tests.rs"]
mod tests;
