//! One thread of an instance: it loads the model, goes on with what lies on the slot, and takes batches
//! until nobody sends any more or the model has to be loaded anew.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use lockstep_engine::fault::{Fault, Reason, StageKind};
use lockstep_engine::infer::backend::{Backend, BackendError, LoadModel, Model};
use lockstep_engine::infer::job::{Failure, Outcome};
use lockstep_engine::infer::retry::AfterFailure;
use lockstep_engine::infer::rows::StepOutput;
use lockstep_engine::infer::step::OnOpenCircuit;
use lockstep_engine::sample::StreamKey;
use lockstep_engine::supervision::breaker::Admit;
use lockstep_engine::supervision::restart::Decision;
use lockstep_engine::telemetry;
use lockstep_engine::time::Timestamp;
use tokio::sync::oneshot;

use super::call::{Failed, call, with_state};
use super::slot::{InFlight, Occupant};
use super::work::Work;
use super::{Instance, InstanceParts, Loaded, Order};
use crate::route::Onward;
use crate::stage_actor::panic_text;

/// Who is told when an instance has gone that was to go.
type Gone = Option<oneshot::Sender<()>>;

/// Why a thread leaves its slot.
enum Leave {
    /// Nobody sends any more.
    Ended,
    /// Somebody else sits there now.
    Evicted,
    /// The model has to be loaded anew, at once: what it failed at is being found out.
    Anew(String),
    /// The model has to be loaded anew, as soon as the restart policy lets it.
    Failed(String),
}

/// Who runs a piece of a batch.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Model,
    Fallback,
}

/// The models of a thread.
struct Models {
    own: Box<dyn Model>,
    fallback: Option<Box<dyn Model>>,
}

/// A thread at an instance's slot.
pub(super) struct Worker {
    instance: Arc<Instance>,
    generation: u64,
}

impl Worker {
    pub(super) fn new(instance: Arc<Instance>, generation: u64) -> Self {
        Self { instance, generation }
    }

    fn parts(&self) -> &InstanceParts {
        &self.instance.parts
    }

    fn step(&self) -> &str {
        &self.parts().runtime.step.name
    }

    /// All that the thread does. `loaded` is told of the first one, and then a model that cannot be loaded is no
    /// reason to try again.
    pub(super) fn live(self, loaded: Option<Loaded>) {
        let lived = catch_unwind(AssertUnwindSafe(|| {
            let mut hands = self.instance.slot.lock().take(self.generation)?;
            let mut models = match (self.load(), loaded) {
                (Ok(models), loaded) => {
                    self.parts().failures.running(&self.instance.name);
                    let device = models.own.device().to_owned();
                    match loaded {
                        Some(loaded) => loaded(Ok(device)),
                        None => tracing::info!(instance = self.instance.name, device, "model loaded again"),
                    }
                    models
                }
                (Err(error), Some(loaded)) => {
                    let mut slot = self.instance.slot.lock();
                    (slot.occupant, slot.is_gone) = (Occupant::Closed, true);
                    drop(slot);
                    loaded(Err(error));
                    return None;
                }
                (Err(error), None) => return self.leave(hands, Leave::Failed(error.to_string())),
            };
            loop {
                match self.work(hands, &mut models) {
                    Ok(back) => hands = back,
                    Err((_, Leave::Evicted)) => return None,
                    Err((hands, why)) => return hands.and_then(|hands| self.leave(hands, why)),
                }
            }
        }));
        match lived {
            // Only now are its models gone.
            Ok(gone) => {
                if let Some(gone) = gone {
                    let _ = gone.send(());
                }
            }
            Err(panic) => {
                // Not the model's doing, which is caught closer by: what was in hand is lost to this pipeline.
                telemetry::panicked(&self.instance.name);
                let why = format!("it panicked: {}", panic_text(panic.as_ref()));
                self.parts().failures.report(&self.instance.name, &why);
            }
        }
    }

    fn load(&self) -> Result<Models, BackendError> {
        let step = &self.parts().runtime.step;
        let own = load(&*self.parts().backend, &step.model)?;
        let fallback = match (&step.care.on_open_circuit, &self.parts().fallback) {
            (OnOpenCircuit::Fallback(fallback), Some(backend)) => Some(load(&**backend, &fallback.model)?),
            _ => None,
        };
        Ok(Models { own, fallback })
    }

    /// Puts everything back on the slot for the next, if there is to be one. Gives who is to be told when the models
    /// are gone, if it was to go.
    fn leave(&self, hands: Box<InFlight>, why: Leave) -> Gone {
        let mut slot = self.instance.slot.lock();
        slot.hands = Some(hands);
        let (decision, why) = match why {
            Leave::Evicted => return None,
            Leave::Ended => {
                slot.occupant = Occupant::Closed;
                let gone = slot.clear();
                if gone.is_some() {
                    self.parts().failures.ended(&self.instance.name);
                }
                return gone;
            }
            Leave::Anew(why) => (Decision::Again { after: std::time::Duration::ZERO }, why),
            Leave::Failed(why) => (slot.restarts.failed(Timestamp::now()), why),
        };
        match decision {
            Decision::Again { after } => {
                slot.generation += 1;
                slot.occupant = Occupant::Vacant(Instant::now() + after);
                drop(slot);
                tracing::warn!(instance = self.instance.name, ?after, "to be replaced: {why}");
                self.parts().failures.failed(&self.instance.name, &why);
                telemetry::restarted(&self.instance.name);
                self.parts().notify.ring();
            }
            Decision::GiveUp => {
                slot.occupant = Occupant::Closed;
                let policy = *slot.restarts.policy();
                drop(slot);
                let why = format!("{why}; given up after {} restarts in {:?}", policy.most, policy.within);
                self.parts().failures.report(&self.instance.name, &why);
            }
        }
        None
    }

    /// Does the batch that is in hand, or takes an order and does that.
    fn work(
        &self,
        mut hands: Box<InFlight>,
        models: &mut Models,
    ) -> Result<Box<InFlight>, (Option<Box<InFlight>>, Leave)> {
        if let Some(why) = hands.hung.take()
            && self.blame(&mut hands, Who::Model, &why)
        {
            return Err((Some(hands), Leave::Failed(why)));
        }
        if hands.work.is_none() {
            match self.instance.next_order() {
                None => return Err((Some(hands), Leave::Ended)),
                Some(Order::Batch(batch)) => {
                    hands.work = Some(Work::new(batch, self.parts().runtime.step.care.tries));
                }
                Some(Order::HandOver { resize, reply }) => {
                    let _ = reply.send(hands.state.hand_over(|stream| resize.moves(stream).is_some()));
                }
                Some(Order::Adopt(given)) => hands.state.adopt(given),
            }
        }
        loop {
            let Some(work) = &mut hands.work else { return Ok(hands) };
            work.remaining.cut(self.parts().runtime.most());
            if work.remaining.next().is_none() {
                hands.work = None;
                return Ok(hands);
            }
            let Some(who) = self.admitted(work) else { return Err((Some(hands), Leave::Ended)) };
            hands = self.piece(hands, models, who)?;
        }
    }

    /// Waits until the model may be called, or says that its fallback does it. What is not to wait for that is
    /// reported as failed. None when the end has come.
    fn admitted(&self, work: &mut Work) -> Option<Who> {
        let runtime = &self.parts().runtime;
        loop {
            let count = self.parts().notify.count();
            let now = Timestamp::now();
            let until = match runtime.admit(now, self.parts().failures.status()) {
                Admit::Yes => return Some(Who::Model),
                Admit::Probe => {
                    work.remaining.cut(1);
                    return Some(Who::Model);
                }
                Admit::No { until } => until,
            };
            match &runtime.step.care.on_open_circuit {
                OnOpenCircuit::Fallback(_) => return Some(Who::Fallback),
                OnOpenCircuit::DeadLetter => {
                    let rows = work.remaining.drain();
                    let why = "it has failed too often in a row, and is left alone for a while";
                    let mut onward = Onward::default();
                    for row in rows {
                        self.fail(work, row, (why, 0), now, &mut onward);
                    }
                    work.let_go_if_done();
                    onward.send_blocking(&self.parts().routes);
                    return Some(Who::Model);
                }
                OnOpenCircuit::Wait => {
                    if !self.parts().notify.wait(count, Instant::now() + until.since(now)) {
                        return None;
                    }
                }
            }
        }
    }

    /// Runs what is next of the batch in hand.
    fn piece(
        &self,
        mut hands: Box<InFlight>,
        models: &mut Models,
        who: Who,
    ) -> Result<Box<InFlight>, (Option<Box<InFlight>>, Leave)> {
        let InFlight { work: Some(work), state, .. } = &mut *hands else { return Ok(hands) };
        let Some(rows) = work.remaining.next() else { return Ok(hands) };
        let runtime = &self.parts().runtime;
        if runtime.step.is_stateful() {
            work.jobs(&rows).for_each(|job| runtime.admit_state(state, job));
        }
        let tensors = work.inputs(runtime, &rows).and_then(|inputs| {
            let streams: Vec<&StreamKey> = work.jobs(&rows).map(|job| &job.bundle.stream).collect();
            with_state(state, &streams, inputs)
        });
        let (started_at, since) = (Timestamp::now(), Instant::now());
        let outcome = match tensors {
            Err(why) => Err(Failed::Batch(why)),
            Ok(tensors) => {
                let model = match (who, &mut models.fallback) {
                    (Who::Fallback, Some(fallback)) => fallback,
                    _ => &mut models.own,
                };
                self.lay_down(hands, since);
                let outcome = call(runtime, &mut **model, rows.len(), tensors);
                let back = self.instance.slot.lock().take(self.generation);
                let Some(back) = back else {
                    tracing::warn!(instance = self.instance.name, "an answer came too late and is ignored");
                    return Err((None, Leave::Evicted));
                };
                hands = back;
                outcome
            }
        };
        let busy = since.elapsed();
        self.parts().runtime.worked(busy);
        telemetry::batch_run(self.step(), self.parts().number, rows.len(), busy, outcome.is_ok());
        if who == Who::Model && outcome.is_ok() {
            runtime.batch_took(rows.len(), busy);
        }
        let why = match outcome {
            Ok(outputs) => {
                self.succeeded(&mut hands, who, outputs, started_at);
                return Ok(hands);
            }
            Err(Failed::OutOfMemory(why)) if rows.len() > 1 => {
                let model =
                    if who == Who::Fallback { models.fallback.as_mut() } else { Some(&mut models.own) };
                model.into_iter().for_each(|model| model.release_memory());
                let most = runtime.shrink(rows.len().div_ceil(2));
                telemetry::batch_split(self.step(), "memory");
                telemetry::batch_limit(self.step(), most);
                tracing::warn!(step = self.step(), "{why}; batches have at most {most} bundles from here on");
                return Ok(hands);
            }
            Err(Failed::Device(why)) => {
                // Once is bad luck; a batch with which it happens again may be the reason.
                let again = hands.work.as_mut().is_some_and(|work| {
                    work.losses += 1;
                    work.losses > 1
                });
                if again {
                    self.blame(&mut hands, who, &why);
                }
                return Err((Some(hands), Leave::Failed(why)));
            }
            Err(Failed::Panicked(why)) => {
                let opened = self.blame(&mut hands, who, &why);
                let leave = if opened { Leave::Failed(why) } else { Leave::Anew(why) };
                return Err((Some(hands), leave));
            }
            Err(Failed::Batch(why) | Failed::OutOfMemory(why)) => why,
        };
        if self.blame(&mut hands, who, &why) {
            return Err((Some(hands), Leave::Failed(why)));
        }
        Ok(hands)
    }

    /// Lays everything on the slot while the model is called.
    fn lay_down(&self, hands: Box<InFlight>, since: Instant) {
        let deadline = since + self.parts().runtime.step.care.deadline;
        let mut slot = self.instance.slot.lock();
        slot.hands = Some(hands);
        slot.occupant = Occupant::Taken(Some(deadline));
    }

    fn succeeded(&self, hands: &mut InFlight, who: Who, outputs: Vec<StepOutput>, started_at: Timestamp) {
        let InFlight { work: Some(work), state, .. } = hands else { return };
        let Some(rows) = work.remaining.next() else { return };
        let runtime = &self.parts().runtime;
        if runtime.step.is_stateful() {
            let streams: Vec<(&StreamKey, u32)> =
                work.jobs(&rows).map(|job| (&job.bundle.stream, job.assignment())).collect();
            state.store(&streams, &outputs);
        }
        work.remaining.succeeded();
        work.let_go_if_done();
        if who == Who::Model && runtime.succeeded(self.parts().failures.status()) {
            self.parts().notify.ring();
        }
        let times = (started_at, Timestamp::now());
        let of = (runtime.index, &*self.parts().routes.graph);
        let mut onward = Onward::default();
        for (row, output) in rows.zip(outputs) {
            work.report(row, |placement| Outcome::Done { output, placement }, times, of, &mut onward);
        }
        onward.send_blocking(&self.parts().routes);
    }

    /// What was next of the batch in hand has failed: it is split, tried again or given up. Whether the model
    /// has failed so often in a row that it has to be loaded anew.
    fn blame(&self, hands: &mut InFlight, who: Who, why: &str) -> bool {
        let tries = self.parts().runtime.step.care.tries;
        let Some(work) = &mut hands.work else { return false };
        let size = work.remaining.next().map_or(0, |rows| rows.len());
        tracing::error!(step = self.step(), size, "a batch failed: {why}");
        let (now, mut is_for_good) = (Timestamp::now(), false);
        match work.remaining.failed() {
            AfterFailure::Split => telemetry::batch_split(self.step(), "failure"),
            AfterFailure::Again => {}
            AfterFailure::Poison(row) => {
                is_for_good = true;
                work.let_go_if_done();
                let mut onward = Onward::default();
                self.fail(work, row, (why, tries), now, &mut onward);
                onward.send_blocking(&self.parts().routes);
            }
        }
        let runtime = &self.parts().runtime;
        let opened = who == Who::Model && runtime.failed(is_for_good, now, self.parts().failures.status());
        opened && runtime.step.care.on_open_circuit == OnOpenCircuit::Wait
    }

    /// A bundle is given up, after so many tries of it alone.
    fn fail(&self, work: &Work, row: usize, (why, tries): (&str, u32), now: Timestamp, onward: &mut Onward) {
        let message = format!("step {}: {why}", self.step());
        let fault = Fault::new(StageKind::Infer, Reason::ModelFailed, message).after_attempts(tries);
        let of = (self.parts().runtime.index, &*self.parts().routes.graph);
        let failed = Outcome::Failed(Failure { fault, culprit: None });
        work.report(row, |_| failed, (now, now), of, onward);
    }
}

fn load(backend: &dyn Backend, model: &LoadModel) -> Result<Box<dyn Model>, BackendError> {
    catch_unwind(AssertUnwindSafe(|| backend.load(model))).unwrap_or_else(|panic| {
        let message = format!("loading panicked: {}", panic_text(panic.as_ref()));
        Err(BackendError::Load { model: model.name.clone(), message })
    })
}
