//! The watchdog over the instances of a pipeline. It abandons threads that hang in a call and starts new ones.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use lockstep_engine::telemetry;
use parking_lot::Mutex;

use super::core::Instance;
use super::slot::Occupant;
use super::worker;
use crate::failure::PipelineFailure;
use crate::notify::Notify;

/// The time within which threads must end after the last sender is gone.
const JOIN_WITHIN: Duration = Duration::from_secs(5);
/// A check that comes later than this shows that the process was starved or suspended, and the watched threads with it.
const OVERSLEPT: Duration = Duration::from_secs(1);
/// The most abandoned threads of an instance at a time. Each still holds its copy of the model.
const MOST_ABANDONED: usize = 16;

/// The watched instances.
#[derive(Clone, Default)]
pub struct Watched {
    notify: Arc<Notify>,
    instances: Arc<Mutex<Vec<Arc<Instance>>>>,
}

impl Watched {
    /// Returns the notification on which instances and the watchdog wait.
    pub fn notify(&self) -> &Arc<Notify> {
        &self.notify
    }

    /// Adds an instance to watch, and to join in the end.
    pub fn add(&self, instance: Arc<Instance>) {
        self.instances.lock().push(instance);
        // Its deadline may be the next one.
        self.notify.notify();
    }

    /// Returns the instances that have not ended.
    fn all(&self) -> Vec<Arc<Instance>> {
        let mut instances = self.instances.lock();
        instances.retain(|instance| !instance.slot.lock().has_ended());
        instances.clone()
    }
}

/// The watchdog over all instances of a pipeline.
#[derive(Default)]
pub struct Watchdog {
    watched: Watched,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    /// Returns the watched instances.
    pub fn watched(&self) -> &Watched {
        &self.watched
    }

    /// Starts the watchdog's thread.
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
                // A model in a suspended or starved process could not have returned in time.
                let late = Some(now.saturating_duration_since(next)).filter(|late| *late > OVERSLEPT);
                let instances = watched.all();
                let checks = instances.iter().map(|instance| check(instance, now, late.unwrap_or_default()));
                next = match checks.min() {
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

    /// Stops the watchdog and joins the instances' threads after their last sender is gone. The wait is bounded: a model that
    /// does not return must not keep the process.
    pub fn close(self) {
        self.watched.notify.close();
        if self.thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the watchdog panicked");
        }
        let since = Instant::now();
        for instance in self.watched.all() {
            let (thread, abandoned) = {
                let mut slot = instance.slot.lock();
                (slot.thread.take(), std::mem::take(&mut slot.abandoned))
            };
            for thread in thread.into_iter().chain(abandoned) {
                while !thread.is_finished() && since.elapsed() < JOIN_WITHIN {
                    std::thread::park_timeout(Duration::from_millis(1));
                }
                if !thread.is_finished() {
                    tracing::error!(
                        thread = thread.thread().name(),
                        "model did not return, thread abandoned"
                    );
                } else if thread.join().is_err() {
                    tracing::error!("instance thread panicked");
                }
            }
        }
    }
}

/// Does the work that is due for an instance. Deadlines move by `late`. Returns the time of the next check.
fn check(instance: &Arc<Instance>, now: Instant, late: Duration) -> Instant {
    let limit = instance.parts.runtime.spec().care.deadline;
    let (name, failures) = (&instance.name, &instance.parts.failures);
    let mut slot = instance.slot.lock();
    if let Occupant::Taken(Some(deadline)) = &mut slot.occupant {
        *deadline += late;
    }
    if let Occupant::Taken(Some(deadline)) = slot.occupant
        && deadline <= now
    {
        slot.evict(now);
        let (step, abandoned) = (&instance.parts.runtime.spec().name, slot.abandoned.len());
        let why = format!("the model has not returned within {limit:?} (deadline of step {step})");
        if let Some(in_flight) = &mut slot.in_flight {
            in_flight.hung = Some(why.clone());
        }
        telemetry::abandoned(&instance.parts.runtime.id);
        telemetry::restarted(name);
        tracing::error!(instance = name, why, "instance thread abandoned");
        failures.failed(name, &why);
        if abandoned > MOST_ABANDONED {
            slot.occupant = Occupant::Closed;
            let why = format!("{why}, nor have {abandoned} others, which keep their memory");
            failures.report(name, PipelineFailure::Restart(why));
        }
    }
    if matches!(slot.occupant, Occupant::Vacant(_))
        && slot.in_flight.as_ref().is_some_and(|in_flight| in_flight.work.is_none())
        && let Some(gone) = slot.clear()
    {
        failures.ended(name);
        let _ = gone.send(());
    }
    if let Occupant::Vacant(due) = slot.occupant
        && due <= now
    {
        failures.starting(name);
        match worker::spawn(instance, slot.generation, None) {
            Ok(thread) => {
                slot.occupant = Occupant::Taken(None);
                slot.thread = Some(thread);
            }
            Err(error) => {
                slot.occupant = Occupant::Closed;
                failures
                    .report(name, PipelineFailure::Restart(format!("the system gives no thread: {error}")));
            }
        }
    }
    match slot.occupant {
        Occupant::Taken(Some(deadline)) => deadline,
        Occupant::Vacant(due) => due,
        // The deadline of a call that begins after this check is later than that.
        Occupant::Taken(None) | Occupant::Closed => now + limit,
    }
}
