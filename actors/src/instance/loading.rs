//! The load and unload of an instance's models, when they are needed or their memory is.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lockstep_backend::{BackendError, named};
use lockstep_engine::models::Need;
use lockstep_engine::telemetry;
use lockstep_engine::telemetry::models::Unload;
use lockstep_engine::time::Timestamp;

use super::core::{Instance, StayEvents, Task};
use super::models::{CopyAccount, Models, Runner};
use crate::memory::resident;
use crate::model_memory::Acquired;
use crate::route::Onward;

/// The pause before a fallback that could not be loaded is tried again.
const RELOAD_AFTER: Duration = Duration::from_secs(1);

/// The interval of tries to send to a full mailbox while another copy may need the memory.
const TRY_AGAIN: Duration = Duration::from_millis(5);

/// The readiness of a model to run.
pub(super) enum Ready {
    Yes,
    /// It cannot be loaded.
    Failed(BackendError),
    /// The instance must end, or the pipeline has ended.
    Ended,
}

/// The models of a thread, in memory or not.
pub(super) struct ModelHolder {
    instance: Arc<Instance>,
    /// The generation of the thread in the instance's slot.
    generation: u64,
    models: Option<Models>,
}

impl ModelHolder {
    /// No models yet.
    pub(super) fn new(instance: &Arc<Instance>, generation: u64) -> Self {
        Self { instance: instance.clone(), generation, models: None }
    }

    /// The models, if they are in memory.
    pub(super) fn get(&mut self) -> Option<&mut Models> {
        self.models.as_mut()
    }

    /// The device of the models, if they are in memory.
    pub(super) fn device(&self) -> Option<&str> {
        self.models.as_ref().map(Models::device)
    }

    /// Waits for the next task of the thread.
    pub(super) fn next_task(&self) -> Task {
        let unload_after = self.instance.parts.runtime.unit.residency.unload_after;
        match &self.models {
            None => self.instance.next_task(None),
            Some(models) => self.instance.next_task(Some(StayEvents {
                evicted: models.account.memory.leaves(),
                idle_at: unload_after.map(|after| models.used_at + after),
            })),
        }
    }

    /// Loads the model ahead of the first bundle.
    pub(super) fn load_ahead(&mut self) -> Ready {
        self.load(|instance| instance.must_end())
    }

    /// Loads the model that is to run, if it is not in memory. Even an instance that must end runs the batch that it has.
    pub(super) fn ready(&mut self, runner: Runner) -> Ready {
        match &self.models {
            Some(models) if runner == Runner::Fallback || models.own.is_some() => Ready::Yes,
            // The fallback runs alone, and a probe asks for the step's own model.
            Some(_) => {
                self.unload(Unload::Ended);
                self.load(|_| false)
            }
            None => self.load(|_| false),
        }
    }

    /// Waits for memory and loads the models.
    fn load(&mut self, must_end: impl Fn(&Instance) -> bool) -> Ready {
        let parts = &self.instance.parts;
        let runtime = &parts.runtime;
        let footprint = &runtime.footprint;
        // Copies beyond the configured ones may leave, so that they never keep another model out.
        let is_pinned = footprint.need.is_pinned && parts.number < runtime.spec().instances;
        let need = Need { is_pinned, ..footprint.need };
        let acquired =
            parts.memory.acquire(&footprint.device, need, &parts.notify, || must_end(&self.instance));
        let memory = match acquired {
            Acquired::Admitted(memory) => memory,
            Acquired::Ended => return Ready::Ended,
            Acquired::Refused(why) => {
                let message = format!("{why}, on {}; raise the limit, or unpin models", footprint.device);
                return Ready::Failed(BackendError::Load { model: named(&runtime.unit.model), message });
            }
        };
        let copy = memory.handle();
        match Models::load(parts, CopyAccount::begin(runtime, memory)) {
            Ok((loaded, error)) => {
                let mut slot = self.instance.slot.lock();
                if slot.generation == self.generation {
                    slot.copy = Some(copy);
                }
                drop(slot);
                tracing::info!(instance = self.instance.name, device = loaded.device(), "model loaded");
                self.models = Some(loaded);
                match error {
                    None => runtime.load_succeeded(),
                    Some(error) => self.load_failed(&error),
                }
                Ready::Yes
            }
            Err(error) => Ready::Failed(error),
        }
    }

    /// Releases the models and their memory.
    pub(super) fn unload(&mut self, why: Unload) {
        let Some(mut models) = self.models.take() else { return };
        models.account.unload = why;
        self.instance.slot.lock().copy = None;
        let before = resident();
        drop(models);
        let freed = before.zip(resident()).map(|(before, after)| before.saturating_sub(after));
        if let Some(bytes) = freed {
            telemetry::models::unload_memory(&self.instance.parts.runtime.id, bytes);
        }
        tracing::info!(instance = self.instance.name, why = why.as_str(), freed, "model unloaded");
    }

    /// Releases the models if another copy needs their memory.
    pub(super) fn give_way(&mut self) {
        let is_evicted =
            self.models.as_ref().is_some_and(|models| models.account.memory.leaves().try_recv().is_ok());
        if is_evicted {
            self.unload(Unload::Evicted);
        }
    }

    /// Sends jobs on, and waits for full mailboxes. The step that fills one may wait for the memory of these models, so they
    /// leave meanwhile if they are asked to.
    pub(super) fn send(&mut self, mut onward: Onward) {
        let instance = self.instance.clone();
        let routes = &instance.parts.routes;
        while let Some(models) = self.models.as_ref().filter(|models| models.account.memory.is_limited()) {
            let leaves = models.account.memory.leaves();
            let Some(left) = onward.try_send(routes) else { return };
            onward = left;
            if leaves.recv_timeout(TRY_AGAIN).is_ok() {
                self.unload(Unload::Evicted);
            }
        }
        onward.send_blocking(routes);
    }

    /// Opens the breaker, since the model cannot be loaded.
    pub(super) fn load_failed(&self, error: &BackendError) {
        let parts = &self.instance.parts;
        let (runtime, status) = (&parts.runtime, parts.failures.status());
        let why = error.to_string();
        tracing::error!(step = runtime.id.step(), why, "model not loaded");
        telemetry::models::load_failed(&runtime.id);
        status.instances_of(runtime.id.step()).load_failed(&why);
        runtime.load_failed(&why, Timestamp::now(), status);
    }

    /// Waits before a fallback that could not be loaded is tried again, since no breaker is before it. Returns false if the
    /// pipeline ends.
    pub(super) fn pause(&self) -> bool {
        let notify = &self.instance.parts.notify;
        notify.wait(notify.count(), Instant::now() + RELOAD_AFTER)
    }
}
