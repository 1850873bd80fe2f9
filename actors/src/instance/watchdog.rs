//! Watches the instances of a pipeline: leaves threads behind that do not come back from a call, and
//! seats new ones.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use lockstep_engine::telemetry;
use parking_lot::Mutex;

use super::slot::Occupant;
use super::{Instance, Notify};

/// How long threads may take to end once nobody sends to them any more.
const JOIN_WITHIN: Duration = Duration::from_secs(5);
/// A watch that comes later than that to its look did not get to run, and so may those that it watches.
const OVERSLEPT: Duration = Duration::from_secs(1);
/// The most threads of an instance that are left behind at a time: each still has its copy of the model.
const MOST_BEHIND: usize = 16;

/// The instances that are watched.
#[derive(Clone, Default)]
pub struct Watched {
    notify: Arc<Notify>,
    instances: Arc<Mutex<Vec<Arc<Instance>>>>,
}

impl Watched {
    /// What is rung when something has changed that instances or the watch wait for.
    pub fn notify(&self) -> &Arc<Notify> {
        &self.notify
    }

    /// An instance to be watched, and joined in the end.
    pub fn add(&self, instance: Arc<Instance>) {
        self.instances.lock().push(instance);
        // Its deadline may be sooner than those of the others.
        self.notify.ring();
    }

    /// All of them, but for those that have gone.
    fn all(&self) -> Vec<Arc<Instance>> {
        let mut instances = self.instances.lock();
        instances.retain(|instance| !instance.slot.lock().is_deserted());
        instances.clone()
    }
}

/// The watch over all instances of a pipeline.
#[derive(Default)]
pub struct Watchdog {
    watched: Watched,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    /// Those that are watched.
    pub fn watched(&self) -> &Watched {
        &self.watched
    }

    /// Begins.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(&mut self) -> std::io::Result<()> {
        let watched = self.watched.clone();
        let watch = move || {
            let mut next = Instant::now();
            loop {
                let count = watched.notify.count();
                let now = Instant::now();
                // A process that was suspended, or starved, could not have returned in time.
                let late = Some(now.saturating_duration_since(next)).filter(|late| *late > OVERSLEPT);
                let instances = watched.all();
                let looks = instances.iter().map(|instance| instance.look(now, late.unwrap_or_default()));
                next = match looks.min() {
                    Some(next) => next,
                    None => return,
                };
                if !watched.notify.wait(count, next) {
                    return;
                }
            }
        };
        self.thread = Some(std::thread::Builder::new().name("watch".into()).spawn(watch)?);
        Ok(())
    }

    /// Ends, when nobody sends to the instances any more, and waits for their threads, but not for ever: a model
    /// that does not return must not keep the process.
    pub fn close(self) {
        self.watched.notify.close();
        if self.thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the watch over the instances panicked");
        }
        let since = Instant::now();
        for instance in self.watched.all() {
            let (thread, behind) = {
                let mut slot = instance.slot.lock();
                (slot.thread.take(), std::mem::take(&mut slot.behind))
            };
            for thread in thread.into_iter().chain(behind) {
                while !thread.is_finished() && since.elapsed() < JOIN_WITHIN {
                    std::thread::park_timeout(Duration::from_millis(1));
                }
                if !thread.is_finished() {
                    tracing::error!(
                        thread = thread.thread().name(),
                        "a model has not returned; its thread is left behind"
                    );
                } else if thread.join().is_err() {
                    tracing::error!("an instance's thread panicked");
                }
            }
        }
    }
}

impl Instance {
    /// Does what is due; deadlines are put off by `late`. When to look again at the latest.
    fn look(self: &Arc<Self>, now: Instant, late: Duration) -> Instant {
        let limit = self.parts.runtime.step.care.deadline;
        let mut slot = self.slot.lock();
        if let Occupant::Taken(Some(deadline)) = &mut slot.occupant {
            *deadline += late;
        }
        if let Occupant::Taken(Some(deadline)) = slot.occupant
            && deadline <= now
        {
            slot.evict(now);
            let (step, behind) = (&self.parts.runtime.step.name, slot.behind.len());
            let why = format!("the model has not returned within {limit:?} (deadline of step {step})");
            if let Some(hands) = &mut slot.hands {
                hands.hung = Some(why.clone());
            }
            telemetry::abandoned(step);
            telemetry::restarted(&self.name);
            tracing::error!(instance = self.name, "{why}; the thread is left behind");
            self.parts.failures.failed(&self.name, &why);
            if behind > MOST_BEHIND {
                slot.occupant = Occupant::Closed;
                let why = format!("{why}, nor have {behind} others, which keep their memory");
                self.parts.failures.report(&self.name, &why);
            }
        }
        if matches!(slot.occupant, Occupant::Vacant(_))
            && slot.hands.as_ref().is_some_and(|hands| hands.work.is_none())
            && let Some(gone) = slot.clear()
        {
            self.parts.failures.ended(&self.name);
            let _ = gone.send(());
        }
        if let Occupant::Vacant(due) = slot.occupant
            && due <= now
        {
            self.parts.failures.starting(&self.name);
            match self.occupant(slot.generation, None) {
                Ok(thread) => {
                    slot.occupant = Occupant::Taken(None);
                    slot.thread = Some(thread);
                }
                Err(error) => {
                    slot.occupant = Occupant::Closed;
                    self.parts.failures.report(&self.name, &format!("there is no thread for it: {error}"));
                }
            }
        }
        match slot.occupant {
            Occupant::Taken(Some(deadline)) => deadline,
            Occupant::Vacant(due) => due,
            // A call that begins after this look must have returned later than that.
            Occupant::Taken(None) | Occupant::Closed => now + limit,
        }
    }
}
