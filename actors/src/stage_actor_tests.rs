use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use actix::System;
use tokio::sync::oneshot;

use super::*;
use crate::status::Status;

/// Reports each message that it handles, one for each permission.
struct Listener {
    permissions: Receiver<()>,
    handled: SyncSender<&'static str>,
}

impl Stage for Listener {
    type Message = &'static str;

    fn handle(
        &mut self,
        message: &'static str,
        _permit: &mut Option<Credit>,
        _now: Timestamp,
        _out: &mut Outbox<&'static str>,
    ) {
        self.permissions.recv().expect("a permission");
        self.handled.send(message).expect("the test receives");
    }
}

/// Sends two messages, of which the second finds the mailbox full, and a third after a message to itself.
struct Talker {
    to: Mailbox<&'static str>,
    noted: SyncSender<&'static str>,
    signal: Option<oneshot::Receiver<()>>,
    has_sent: bool,
}

#[derive(Clone, Copy)]
enum Command {
    Begin,
    Send,
    ToItself,
}

impl Stage for Talker {
    type Message = Command;

    fn handle(
        &mut self,
        command: Command,
        _credit: &mut Option<Credit>,
        _now: Timestamp,
        out: &mut Outbox<Command>,
    ) {
        match command {
            Command::Begin => {
                let signal = self.signal.take().expect("it begins once");
                out.later(async {
                    signal.await.expect("a signal");
                    Command::ToItself
                });
                self.noted.send("has begun").expect("the test receives");
            }
            Command::Send => {
                self.has_sent = true;
                out.send(&self.to, "first");
                out.send(&self.to, "second");
            }
            // The message to itself may come before the one from outside.
            Command::ToItself if !self.has_sent => out.later(async { Command::ToItself }),
            Command::ToItself => out.send(&self.to, "third"),
        }
    }

    fn blocked(&mut self, _now: Timestamp) {
        self.noted.send("blocked").expect("the test receives");
    }

    fn unblocked(&mut self, _now: Timestamp) {
        self.noted.send("unblocked").expect("the test receives");
    }
}

#[test]
fn blocked_stage_actor_keeps_the_order_of_its_messages() {
    let (permit, permissions) = sync_channel(8);
    let (handled, received) = sync_channel(8);
    let (noted, notes) = sync_channel(8);
    System::new().block_on(async move {
        let (failures, _failed) = Failures::new(Arc::new(Status::default()));
        let (of_listener, of_talker) = (Arbiter::new(), Arbiter::new());
        let listener = Listener { permissions, handled };
        let to =
            StageActor::start("listener".into(), "listener", listener, 1, &of_listener, failures.clone());
        let (send, signal) = oneshot::channel();
        let talker = Talker { to, noted, signal: Some(signal), has_sent: false };
        let talker = StageActor::start("talker".into(), "talker", talker, 2, &of_talker, failures);
        talker.send(Command::Begin).await;
        assert_eq!(notes.recv().expect("it begins"), "has begun");
        // Both messages are in its mailbox before it handles one.
        let (open, gate) = sync_channel::<()>(1);
        assert!(of_talker.spawn_fn(move || gate.recv().expect("it opens")));
        talker.send(Command::Send).await;
        send.send(()).expect("the talker waits");
        open.send(()).expect("the gate waits");
        assert_eq!(notes.recv().expect("a note"), "blocked");
        (0..3).for_each(|_| permit.send(()).expect("the listener waits"));
        let received: Vec<_> = (0..3).map(|_| received.recv().expect("a message")).collect();
        assert_eq!(received, ["first", "second", "third"]);
        assert_eq!(notes.recv().expect("a note"), "unblocked");
        of_listener.stop();
        of_talker.stop();
    });
}

#[test]
fn closed_mailbox_is_told_from_a_full_one() {
    let (permit, permissions) = sync_channel(8);
    let (handled, received) = sync_channel(8);
    let status = Arc::new(Status::default());
    let heartbeat = status.heartbeat("listener");
    System::new().block_on(async move {
        let (failures, _failed) = Failures::new(status);
        let (arbiter, listener) = (Arbiter::new(), Listener { permissions, handled });
        let to = StageActor::start("listener".into(), "listener", listener, 1, &arbiter, failures);
        assert!(to.try_send("first").is_ok());
        assert!(matches!(to.try_send("second"), Err(Refused::Full("second"))));
        to.close();
        assert!(matches!(to.try_send("third"), Err(Refused::Closed("third"))));
        permit.send(()).expect("the listener waits");
        assert_eq!(received.recv().expect("a message"), "first");
        arbiter.stop();
        arbiter.join().expect("it ends");
    });
    assert_eq!(heartbeat.left(), 0, "only the first message was on its way");
}
