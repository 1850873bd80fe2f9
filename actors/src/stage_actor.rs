//! What every actor does around its room: one message at a time, panics caught, time brought in, and
//! nothing taken while what it has to say finds no room.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use actix::{Actor, ActorFutureExt, Arbiter, AsyncContext, Context, Handler, SpawnHandle, WrapFuture};
use lockstep_engine::telemetry;
use lockstep_engine::time::Timestamp;

use crate::failure::{Failures, Remedy};
use crate::heartbeat::Heartbeat;
use crate::mailbox::{Credit, Envelope, Mailbox, Refused};

/// What an actor does, apart from being one.
pub trait Stage: Send + Unpin + 'static {
    /// What it takes.
    type Message: Send + Unpin + 'static;

    /// Deals with a message. The sender's place in the link is free again when `credit` is dropped: a
    /// room that keeps the message keeps the credit with it. Otherwise it is dropped once everything that the
    /// room says to `out` has been taken.
    fn handle(
        &mut self,
        message: Self::Message,
        credit: &mut Option<Credit>,
        now: Timestamp,
        out: &mut Outbox<Self::Message>,
    );

    /// Does what is due. So many messages have come that it has not dealt with.
    fn tick(&mut self, _now: Timestamp, _waiting: u64, _out: &mut Outbox<Self::Message>) {}

    /// What it has said finds no room: it is given nothing until that has been taken.
    fn waits(&mut self, _now: Timestamp) {}

    /// What it had said has been taken.
    fn goes_on(&mut self, _now: Timestamp) {}

    /// When something will be due.
    fn next_deadline(&self) -> Option<Timestamp> {
        None
    }
}

type Pending = Pin<Box<dyn Future<Output = ()>>>;
type PendingMessage<M> = Pin<Box<dyn Future<Output = M>>>;

/// What a room has to say.
pub struct Outbox<M> {
    pending: VecDeque<Pending>,
    to_self: Vec<PendingMessage<M>>,
    failure: Option<(String, Remedy)>,
}

impl<M> Outbox<M> {
    pub(crate) fn new() -> Self {
        Self { pending: VecDeque::new(), to_self: Vec::new(), failure: None }
    }

    /// Sends a message. If the link is full, the actor waits, and takes nothing until it is sent.
    pub fn send<N: Send + 'static>(&mut self, link: &Mailbox<N>, message: N) {
        let message = if self.pending.is_empty() {
            match link.try_send(message) {
                Ok(()) => return,
                Err(Refused::Full(message) | Refused::Closed(message)) => message,
            }
        } else {
            message
        };
        let link = link.clone();
        self.pending.push_back(Box::pin(async move { link.send(message).await }));
    }

    /// The actor goes on, and gets the outcome as a message when it is there.
    pub fn later(&mut self, message: impl Future<Output = M> + 'static) {
        self.to_self.push(Box::pin(message));
    }

    /// The room cannot go on, and with it the pipeline; a new one may.
    pub fn fail(&mut self, why: String) {
        self.failure.get_or_insert((why, Remedy::Restart));
    }

    /// The room cannot go on, and a new one could not either.
    pub fn end(&mut self, why: String) {
        self.failure.get_or_insert((why, Remedy::None));
    }
}

/// A room with an actor around it.
pub struct StageActor<R: Stage> {
    name: String,
    room: R,
    mailbox: usize,
    failures: Failures,
    heartbeat: Arc<Heartbeat>,
    timer: Option<(Timestamp, SpawnHandle)>,
    /// The room has panicked: what it knows is half of one thing and half of another.
    is_broken: bool,
    /// What it has said finds no room. Its context still lets a timer or a message to itself through that is ready then.
    is_waiting: bool,
    /// What came meanwhile, in its order: else what comes of it would overtake what waits.
    meanwhile: VecDeque<(Option<Credit>, Call<R::Message>)>,
}

impl<R: Stage> StageActor<R> {
    /// Starts a room as an actor on a thread, with a link to it for at most `capacity` messages.
    pub fn start(
        name: String,
        link: &'static str,
        room: R,
        capacity: usize,
        arbiter: &Arbiter,
        failures: Failures,
    ) -> Mailbox<R::Message> {
        let heartbeat = failures.status().heartbeat(&name);
        failures.starting(&name);
        let shell = Self {
            name,
            room,
            mailbox: capacity,
            failures,
            heartbeat: heartbeat.clone(),
            timer: None,
            is_broken: false,
            is_waiting: false,
            meanwhile: VecDeque::new(),
        };
        let actor = Self::start_in_arbiter(&arbiter.handle(), move |_| shell);
        Mailbox::new(link, &actor, capacity, heartbeat)
    }

    fn call(&mut self, ctx: &mut Context<Self>, credit: Option<Credit>, call: Call<R::Message>) {
        if self.is_broken {
            return self.heartbeat.done();
        }
        if self.is_waiting {
            return self.meanwhile.push_back((credit, call));
        }
        let (now, began) = (Timestamp::now(), Instant::now());
        let waiting = self.heartbeat.left().saturating_sub(1);
        let mut credit = credit;
        let mut out = Outbox::new();
        let outcome = catch_unwind(AssertUnwindSafe(|| match call {
            Call::Handle(message) => self.room.handle(message, &mut credit, now, &mut out),
            Call::Tick => self.room.tick(now, waiting, &mut out),
        }));
        self.heartbeat.worked(began.elapsed());
        if let Err(panic) = outcome {
            telemetry::panicked(&self.name);
            self.is_broken = true;
            // Nothing comes of what it had begun to say: it might count, and what belongs to it not.
            out = Outbox::new();
            out.fail(format!("it panicked: {}", panic_text(panic.as_ref())));
        }
        if let Some((why, remedy)) = out.failure {
            self.failures.report_with(&self.name, &why, remedy);
        }
        for message in out.to_self {
            let deliver = message.into_actor(self).map(|message, shell, ctx| {
                shell.heartbeat.given();
                shell.call(ctx, None, Call::Handle(message));
            });
            ctx.spawn(deliver);
        }
        if out.pending.is_empty() {
            self.heartbeat.done();
        } else {
            self.heartbeat.waits();
            let heartbeat = self.heartbeat.clone();
            let send_all = async move {
                for pending in out.pending {
                    pending.await;
                }
                drop(credit);
                heartbeat.done();
            };
            self.is_waiting = true;
            if !self.is_broken {
                self.room.waits(Timestamp::now());
            }
            ctx.wait(send_all.into_actor(self).map(|(), shell, ctx| shell.goes_on(ctx)));
        }
        self.set_timer(ctx, now);
    }

    /// All that it had said has been taken.
    fn goes_on(&mut self, ctx: &mut Context<Self>) {
        self.is_waiting = false;
        if !self.is_broken {
            self.room.goes_on(Timestamp::now());
        }
        while !self.is_waiting
            && let Some((credit, call)) = self.meanwhile.pop_front()
        {
            self.call(ctx, credit, call);
        }
    }

    fn set_timer(&mut self, ctx: &mut Context<Self>, now: Timestamp) {
        let due = self.room.next_deadline();
        if self.timer.as_ref().map(|(at, _)| *at) == due {
            return;
        }
        if let Some((_, handle)) = self.timer.take() {
            ctx.cancel_future(handle);
        }
        if let Some(due) = due {
            let handle = ctx.run_later(due.since(now), |shell, ctx| {
                shell.timer = None;
                shell.heartbeat.given();
                shell.call(ctx, None, Call::Tick);
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
        ctx.set_mailbox_capacity(self.mailbox);
        self.failures.running(&self.name);
        self.heartbeat.given();
        self.call(ctx, None, Call::Tick);
    }
}

impl<R: Stage> Handler<Envelope<R::Message>> for StageActor<R> {
    type Result = ();

    fn handle(&mut self, envelope: Envelope<R::Message>, ctx: &mut Context<Self>) {
        self.call(ctx, Some(envelope.credit), Call::Handle(envelope.message));
    }
}

/// What a panic said.
pub fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

#[cfg(test)]
#[path = "stage_actor_tests.rs"]
mod tests;
