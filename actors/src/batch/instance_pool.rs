//! The instances of one step: what they are made of, who is there, who comes and who goes.

use std::collections::BTreeSet;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};
use lockstep_engine::infer::backend::{Backend, BackendError};
use lockstep_engine::supervision::restart::{Decision, RestartPolicy, Restarts};
use lockstep_engine::telemetry;
use lockstep_engine::time::Timestamp;
use tokio::sync::oneshot;

use super::{BatchMessage, Change};
use crate::failure::Failures;
use crate::instance::count::Instances;
use crate::instance::{Instance, InstanceParts, Order, Watched};
use crate::prepare::StepRuntime;
use crate::route::Routes;
use crate::stage_actor::Outbox;

/// What the instances of a step are made of.
pub struct CrewParts {
    /// The step.
    pub runtime: Arc<StepRuntime>,
    /// What loads its model.
    pub backend: Arc<dyn Backend>,
    /// What loads the model that stands in for it, if there is one.
    pub fallback: Option<Arc<dyn Backend>>,
    /// Where its jobs go.
    pub routes: Routes,
    /// Who is told when an instance cannot be helped.
    pub failures: Failures,
    /// How often one is started again, and how often it is tried to load a further one.
    pub restarts: RestartPolicy,
    /// Who watches over them.
    pub watched: Watched,
}

/// An instance of those with which the pipeline begins: which it is, and what became of its model.
pub type First = (usize, Receiver<Result<String, BackendError>>);

/// The instances of a step.
pub(super) struct InstancePool {
    pub(super) parts: CrewParts,
    pub(super) counts: Arc<Instances>,
    /// In the order in which they came. Those of a model with state have the queues at the same places.
    present: Vec<Arc<Instance>>,
    /// The numbers of those that are present, come, or have not quite gone.
    numbers: BTreeSet<usize>,
    coming: Option<Coming>,
    loads: Restarts,
    not_before: Option<Timestamp>,
}

/// An instance that nobody counts on yet.
struct Coming {
    instance: Arc<Instance>,
    /// Where its orders go, if it is to have a queue of its own.
    to: Option<Sender<Order>>,
    has_loaded: bool,
}

impl InstancePool {
    /// Where what cannot go on is reported.
    pub(super) fn failures(&self) -> &Failures {
        &self.parts.failures
    }

    pub(super) fn new(parts: CrewParts) -> Self {
        let counts = parts.failures.status().instances_of(&parts.runtime.step.name);
        let loads = Restarts::new(parts.restarts, parts.runtime.index as u64);
        let (present, numbers) = (Vec::new(), BTreeSet::new());
        Self { parts, counts, present, numbers, coming: None, loads, not_before: None }
    }

    fn step(&self) -> &str {
        &self.parts.runtime.step.name
    }

    /// How many take batches.
    pub(super) fn len(&self) -> usize {
        self.present.len()
    }

    /// Says how many there are.
    pub(super) fn tell(&self) {
        self.counts.set_current(self.len());
        telemetry::instances::count(self.step(), self.len());
    }

    /// One that takes its orders from there.
    fn make(&mut self, orders: Receiver<Order>) -> Arc<Instance> {
        let number = (0..).find(|number| !self.numbers.contains(number)).unwrap_or_default();
        self.numbers.insert(number);
        let parts = &self.parts;
        Arc::new(Instance::new(InstanceParts {
            runtime: parts.runtime.clone(),
            number,
            backend: parts.backend.clone(),
            fallback: parts.fallback.clone(),
            orders,
            routes: parts.routes.clone(),
            failures: parts.failures.clone(),
            restarts: parts.restarts,
            notify: parts.watched.notify().clone(),
        }))
    }

    /// Starts one of those with which the pipeline begins.
    pub(super) fn first(&mut self, orders: Receiver<Order>) -> std::io::Result<First> {
        let (tell, told) = crossbeam_channel::bounded(1);
        let instance = self.make(orders);
        self.parts.failures.starting(instance.name());
        instance.start(Box::new(move |outcome| {
            let _ = tell.send(outcome);
        }))?;
        self.parts.watched.add(instance.clone());
        let number = instance.number();
        self.present.push(instance);
        Ok((number, told))
    }

    /// When it may be tried again to load one, if that is not now.
    pub(super) fn not_before(&self) -> Option<Timestamp> {
        self.not_before
    }

    /// Whether one may be loaded that is wanted.
    pub(super) fn may_load(&self, now: Timestamp) -> bool {
        self.coming.is_none()
            && self.not_before.is_none_or(|due| due <= now)
            && self.counts.coming().most.is_none_or(|most| self.len() < most)
    }

    /// Has one come, which loads its model on a thread of its own while the others go on.
    pub(super) fn load(
        &mut self,
        (to, orders): (Option<Sender<Order>>, Receiver<Order>),
        now: Timestamp,
        out: &mut Outbox<BatchMessage>,
    ) {
        let instance = self.make(orders);
        let (tell, told) = oneshot::channel();
        let started = instance.start(Box::new(move |outcome| {
            let _ = tell.send(outcome.map_err(|error| error.to_string()));
        }));
        self.not_before = None;
        self.coming = Some(Coming { instance: instance.clone(), to, has_loaded: false });
        if let Err(error) = started {
            return self.loaded(Err(format!("there is no thread for it: {error}")), now);
        }
        tracing::info!(step = self.step(), instance = instance.number(), "a further model is being loaded");
        self.parts.watched.add(instance);
        self.counts.is_loading(true);
        out.later(async move {
            let outcome = told.await.unwrap_or_else(|_| Err("it ended before its model was loaded".into()));
            BatchMessage::Change(Change::Loaded(outcome))
        });
    }

    /// The one that comes has loaded its model, and on which device, or has not. What cannot be loaded is tried again as
    /// often as is said of restarts, and then no more until somebody asks by hand.
    pub(super) fn loaded(&mut self, outcome: Result<String, String>, now: Timestamp) {
        self.counts.is_loading(false);
        let Some(coming) = &mut self.coming else { return };
        let number = coming.instance.number();
        let why = match outcome {
            Ok(device) => {
                coming.has_loaded = true;
                return tracing::info!(step = self.step(), instance = number, device, "model loaded");
            }
            Err(why) => why,
        };
        self.coming = None;
        self.numbers.remove(&number);
        self.counts.load_failed(&why);
        telemetry::instances::load_failed(self.step());
        match self.loads.failed(now) {
            Decision::Again { after } => {
                self.not_before = Some(now.after(after));
                tracing::warn!(step = self.step(), ?after, "no further instance, to be tried again: {why}");
            }
            Decision::GiveUp => {
                let RestartPolicy { most, within, .. } = *self.loads.policy();
                self.loads = Restarts::new(self.parts.restarts, self.parts.runtime.index as u64);
                let there = self.len();
                tracing::error!(
                    step = self.step(),
                    "no further instance: {why}; given up after {most} more tries in {within:?}, it stays at {there}"
                );
                self.counts.give_up(there);
            }
        }
    }

    /// Whether the one that comes has loaded its model.
    pub(super) fn has_loaded(&self) -> bool {
        self.coming.as_ref().is_some_and(|coming| coming.has_loaded)
    }

    /// From here on the one that came is one of them. Gives where its orders go, if it has a queue of its own.
    pub(super) fn join(&mut self) -> Option<Sender<Order>> {
        let Coming { instance, to, .. } = self.coming.take()?;
        self.present.push(instance);
        to
    }

    /// The one that came is not needed any more.
    pub(super) fn turn_away(&mut self, out: &mut Outbox<BatchMessage>) {
        if let Some(coming) = self.coming.take() {
            self.dismiss(&coming.instance, out);
        }
    }

    /// The last one goes. It takes no more orders; those that it has been given are done.
    pub(super) fn let_go(&mut self, out: &mut Outbox<BatchMessage>) {
        if let Some(instance) = self.present.pop() {
            self.dismiss(&instance, out);
        }
    }

    fn dismiss(&self, instance: &Instance, out: &mut Outbox<BatchMessage>) {
        let (tell, told) = oneshot::channel();
        let number = instance.number();
        tracing::info!(
            step = self.step(),
            instance = number,
            "it is to finish what it has in hand, and to go"
        );
        instance.leave(tell);
        out.later(async move {
            let _ = told.await;
            BatchMessage::Change(Change::Gone(number))
        });
    }

    /// One has gone that was to go, and its model with it.
    pub(super) fn gone(&mut self, number: usize) {
        self.numbers.remove(&number);
        tracing::info!(step = self.step(), instance = number, "it has gone, and its model with it");
    }
}
