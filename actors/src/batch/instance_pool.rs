//! The instances of one step: those present, the one being added and those that leave.

use std::collections::BTreeSet;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};
use lockstep_backend::BackendError;
use lockstep_engine::supervision::restart::{RestartDecision, RestartPolicy, Restarts};
use lockstep_engine::telemetry;
use lockstep_engine::time::Timestamp;
use tokio::sync::oneshot;

use crate::counts::Instances;
use crate::failure::Failures;
use crate::instance_handle::{InstanceHandle, MakeInstance};
use crate::message::{BatchMessage, LoadError, Order, PoolChange};
use crate::stage_actor::Outbox;
use crate::unit_runtime::UnitRuntime;

/// The parts of a pool.
pub struct PoolParts {
    /// The step.
    pub runtime: Arc<UnitRuntime>,
    /// Receives failures that end the pipeline.
    pub failures: Failures,
    /// The limit of tries to load a further model.
    pub restarts: RestartPolicy,
    /// Creates the instances.
    pub make: MakeInstance,
}

/// An instance that the pipeline begins with.
pub struct FirstInstance {
    /// Its number within the step.
    pub number: usize,
    /// Receives the outcome of loading its model: the device, or the error.
    pub loaded: Receiver<Result<Option<String>, BackendError>>,
}

/// The instances of a step.
pub(super) struct InstancePool {
    pub(super) parts: PoolParts,
    pub(super) counts: Arc<Instances>,
    /// The instances in the order of their start. With stream state, the queues have the same order.
    present: Vec<Arc<dyn InstanceHandle>>,
    /// The numbers of the instances that are present, being added, or still ending.
    numbers: BTreeSet<usize>,
    coming: Option<PendingInstance>,
    loads: Restarts,
    not_before: Option<Timestamp>,
}

/// An instance that is being added and takes no batches yet.
struct PendingInstance {
    instance: Arc<dyn InstanceHandle>,
    /// The sender of its orders, if it is to have its own queue.
    to: Option<Sender<Order>>,
    has_loaded: bool,
}

impl InstancePool {
    /// Returns the receiver of failures that end the pipeline.
    pub(super) fn failures(&self) -> &Failures {
        &self.parts.failures
    }

    pub(super) fn new(parts: PoolParts) -> Self {
        let counts = parts.failures.status().instances_of(&parts.runtime.spec().name);
        let loads = Restarts::new(parts.restarts, parts.runtime.index() as u64);
        let (present, numbers) = (Vec::new(), BTreeSet::new());
        Self { parts, counts, present, numbers, coming: None, loads, not_before: None }
    }

    fn step(&self) -> &str {
        &self.parts.runtime.spec().name
    }

    /// Returns the number of instances that take batches.
    pub(super) fn len(&self) -> usize {
        self.present.len()
    }

    /// Publishes the current number of instances.
    pub(super) fn publish_count(&self) {
        self.counts.set_current(self.len());
        telemetry::instances::count(&self.parts.runtime.id, self.len());
    }

    /// Creates an instance with the lowest free number. Only the first ones may wait with their model for a bundle.
    fn make(&mut self, may_wait: bool, orders: Receiver<Order>) -> Arc<dyn InstanceHandle> {
        let number = (0..).find(|number| !self.numbers.contains(number)).unwrap_or_default();
        self.numbers.insert(number);
        (self.parts.make)(number, may_wait, orders)
    }

    /// Starts an instance that the pipeline begins with.
    pub(super) fn first(&mut self, orders: Receiver<Order>) -> std::io::Result<FirstInstance> {
        let (report, loaded) = crossbeam_channel::bounded(1);
        let instance = self.make(true, orders);
        self.parts.failures.starting(instance.name());
        instance.start(Box::new(move |outcome| {
            let _ = report.send(outcome);
        }))?;
        let number = instance.number();
        self.present.push(instance);
        Ok(FirstInstance { number, loaded })
    }

    /// Returns the time before which no further model is loaded, after a failed try.
    pub(super) fn not_before(&self) -> Option<Timestamp> {
        self.not_before
    }

    /// Returns true if a further model may be loaded now.
    pub(super) fn may_load(&self, now: Timestamp) -> bool {
        self.coming.is_none()
            && self.not_before.is_none_or(|due| due <= now)
            && self.counts.coming().most.is_none_or(|most| self.len() < most)
    }

    /// Adds an instance, which loads its model on its own thread while the others go on.
    pub(super) fn load(
        &mut self,
        to: Option<Sender<Order>>,
        orders: Receiver<Order>,
        now: Timestamp,
        out: &mut Outbox<BatchMessage>,
    ) {
        let instance = self.make(false, orders);
        let (report, loaded) = oneshot::channel();
        let started = instance.start(Box::new(move |outcome| {
            let _ = report.send(outcome.map_err(LoadError::Model));
        }));
        self.not_before = None;
        self.coming = Some(PendingInstance { instance: instance.clone(), to, has_loaded: false });
        if let Err(error) = started {
            return self.loaded(Err(LoadError::NoThread(error)), now);
        }
        tracing::info!(step = self.step(), instance = instance.number(), "loading a further model");
        self.counts.is_loading(true);
        out.later(async move {
            let outcome = loaded.await.unwrap_or(Err(LoadError::Ended));
            BatchMessage::Change(PoolChange::Loaded(outcome))
        });
    }

    /// Handles the outcome of loading a further model: its device or the error. A failed load is tried again as often as the
    /// restart policy allows, and then no more until an operator sets the number.
    pub(super) fn loaded(&mut self, outcome: Result<Option<String>, LoadError>, now: Timestamp) {
        self.counts.is_loading(false);
        let Some(coming) = &mut self.coming else { return };
        let number = coming.instance.number();
        let why = match outcome {
            Ok(device) => {
                coming.has_loaded = true;
                let device = device.as_deref().unwrap_or("none yet");
                return tracing::info!(step = self.step(), instance = number, device, "instance added");
            }
            Err(error) => error.to_string(),
        };
        self.coming = None;
        self.numbers.remove(&number);
        self.counts.load_failed(&why);
        telemetry::instances::load_failed(&self.parts.runtime.id);
        match self.loads.failed(now) {
            RestartDecision::Again { after } => {
                self.not_before = Some(now.after(after));
                tracing::warn!(step = self.step(), ?after, why, "further model not loaded, trying again");
            }
            RestartDecision::GiveUp => {
                let RestartPolicy { most, within, .. } = *self.loads.policy();
                self.loads = Restarts::new(self.parts.restarts, self.parts.runtime.index() as u64);
                let instances = self.len();
                tracing::error!(
                    step = self.step(),
                    instances,
                    tries = most,
                    ?within,
                    why,
                    "further model not loaded, giving up"
                );
                self.counts.give_up(instances);
            }
        }
    }

    /// Returns true if the instance that is being added has loaded its model.
    pub(super) fn has_loaded(&self) -> bool {
        self.coming.as_ref().is_some_and(|coming| coming.has_loaded)
    }

    /// Admits the added instance to the pool. Returns the sender of its orders, if it has its own queue.
    pub(super) fn join(&mut self) -> Option<Sender<Order>> {
        let PendingInstance { instance, to, .. } = self.coming.take()?;
        self.present.push(instance);
        to
    }

    /// Dismisses the added instance, which is not wanted any more.
    pub(super) fn turn_away(&mut self, out: &mut Outbox<BatchMessage>) {
        if let Some(coming) = self.coming.take() {
            self.dismiss(&*coming.instance, out);
        }
    }

    /// Dismisses the last instance. It finishes the orders that it has and takes no more.
    pub(super) fn dismiss_last(&mut self, out: &mut Outbox<BatchMessage>) {
        if let Some(instance) = self.present.pop() {
            self.dismiss(&*instance, out);
        }
    }

    fn dismiss(&self, instance: &dyn InstanceHandle, out: &mut Outbox<BatchMessage>) {
        let (gone, has_gone) = oneshot::channel();
        let number = instance.number();
        tracing::info!(step = self.step(), instance = number, "stopping instance after its batch");
        instance.leave(gone);
        out.later(async move {
            let _ = has_gone.await;
            BatchMessage::Change(PoolChange::Gone(number))
        });
    }

    /// Frees the number of an instance that has ended and released its model.
    pub(super) fn gone(&mut self, number: usize) {
        self.numbers.remove(&number);
        tracing::info!(step = self.step(), instance = number, "instance stopped, model released");
    }
}
