use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use actix::System;
use tokio::sync::oneshot;

use super::*;
use crate::status::Status;

/// Tells what it takes, each time that it is let.
struct Listener {
    let_go: Receiver<()>,
    told: SyncSender<&'static str>,
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
        self.let_go.recv().expect("it is let go");
        self.told.send(message).expect("somebody listens");
    }
}

/// Says two things, of which the second finds no room, and one more when it hears of itself.
struct Talker {
    to: Mailbox<&'static str>,
    noted: SyncSender<&'static str>,
    hear: Option<oneshot::Receiver<()>>,
    has_spoken: bool,
}

#[derive(Clone, Copy)]
enum Said {
    Begin,
    Speak,
    ByItself,
}

impl Stage for Talker {
    type Message = Said;

    fn handle(&mut self, said: Said, _permit: &mut Option<Credit>, _now: Timestamp, out: &mut Outbox<Said>) {
        match said {
            Said::Begin => {
                let hear = self.hear.take().expect("it begins once");
                out.later(async {
                    hear.await.expect("it is told");
                    Said::ByItself
                });
                self.noted.send("has begun").expect("somebody listens");
            }
            Said::Speak => {
                self.has_spoken = true;
                out.send(&self.to, "first");
                out.send(&self.to, "second");
            }
            // The message to itself may come before the one from outside.
            Said::ByItself if !self.has_spoken => out.later(async { Said::ByItself }),
            Said::ByItself => out.send(&self.to, "third"),
        }
    }

    fn waits(&mut self, _now: Timestamp) {
        self.noted.send("waits").expect("somebody listens");
    }

    fn goes_on(&mut self, _now: Timestamp) {
        self.noted.send("goes on").expect("somebody listens");
    }
}

#[test]
fn nothing_that_comes_while_an_actor_waits_overtakes_what_it_has_said() {
    let (let_it, let_go) = sync_channel(8);
    let (told, heard) = sync_channel(8);
    let (noted, notes) = sync_channel(8);
    System::new().block_on(async move {
        let (failures, _failed) = Failures::new(Arc::new(Status::default()));
        let (of_listener, of_talker) = (Arbiter::new(), Arbiter::new());
        let room = Listener { let_go, told };
        let to = StageActor::start("listener".into(), "listener", room, 1, &of_listener, failures.clone());
        let (tell, hear) = oneshot::channel();
        let room = Talker { to, noted, hear: Some(hear), has_spoken: false };
        let talker = StageActor::start("talker".into(), "talker", room, 2, &of_talker, failures);
        talker.send(Said::Begin).await;
        assert_eq!(notes.recv().expect("it begins"), "has begun");
        // What it hears and what it hears of itself are there when it looks.
        let (open, gate) = sync_channel::<()>(1);
        assert!(of_talker.spawn_fn(move || gate.recv().expect("it opens")));
        talker.send(Said::Speak).await;
        tell.send(()).expect("it listens");
        open.send(()).expect("it waits");
        assert_eq!(notes.recv().expect("it waits"), "waits");
        (0..3).for_each(|_| let_it.send(()).expect("it listens"));
        let heard: Vec<_> = (0..3).map(|_| heard.recv().expect("it is told")).collect();
        assert_eq!(heard, ["first", "second", "third"]);
        assert_eq!(notes.recv().expect("it goes on"), "goes on");
        of_listener.stop();
        of_talker.stop();
    });
}
