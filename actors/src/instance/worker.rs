//! One thread of an instance. It loads the model, goes on with the slot's work in flight, and takes batches until the senders
//! are gone or the model has to be loaded again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use lockstep_engine::infer::job::StepOutcome;
use lockstep_engine::infer::retry::AfterFailure;
use lockstep_engine::infer::rows::StepOutput;
use lockstep_engine::infer::step::OnOpenCircuit;
use lockstep_engine::sample::StreamKey;
use lockstep_engine::supervision::breaker::Admit;
use lockstep_engine::supervision::restart::RestartDecision;
use lockstep_engine::telemetry;
use lockstep_engine::time::Timestamp;
use tokio::sync::oneshot;

use super::call::{Failed, call, with_state};
use super::core::{Instance, InstanceParts, Task};
use super::loading::{ModelHolder, Ready};
use super::models::Runner;
use super::slot::{InFlight, Occupant};
use super::work::BatchRun;
use crate::failure::PipelineFailure;
use crate::instance_handle::Loaded;
use crate::message::Order;
use crate::panic_text::panic_text;
use crate::route::Onward;

/// Signals that a leaving instance has ended.
type Gone = Option<oneshot::Sender<()>>;

/// The reason for which a thread leaves its slot.
enum Leave {
    /// The senders are gone, or the instance must end.
    Ended,
    /// The watchdog gave the slot to another thread.
    Evicted,
    /// The model has to be loaded again at once, because the search for the failing bundle goes on.
    Reload(String),
    /// The model has to be loaded again when the restart policy allows it.
    Failed(String),
}

/// Starts the first thread of an instance. It loads the model and then calls `loaded`.
///
/// # Errors
/// When the system gives no thread.
pub(super) fn start(instance: &Arc<Instance>, loaded: Loaded) -> std::io::Result<()> {
    let thread = spawn(instance, 0, Some(loaded))?;
    instance.slot.lock().thread = Some(thread);
    Ok(())
}

/// Starts a thread that may hold the slot while the slot's generation is this one.
pub(super) fn spawn(
    instance: &Arc<Instance>,
    generation: u64,
    loaded: Option<Loaded>,
) -> std::io::Result<JoinHandle<()>> {
    let worker = Worker { instance: instance.clone(), generation };
    std::thread::Builder::new().name(instance.name.clone()).spawn(move || worker.live(loaded))
}

/// A thread that holds an instance's slot.
struct Worker {
    instance: Arc<Instance>,
    generation: u64,
}

impl Worker {
    fn parts(&self) -> &InstanceParts {
        &self.instance.parts
    }

    fn step(&self) -> &str {
        &self.parts().runtime.spec().name
    }

    /// Runs the thread. The first thread of an instance calls `loaded`; if its model cannot be loaded, no other thread tries.
    fn live(self, loaded: Option<Loaded>) {
        let lived = catch_unwind(AssertUnwindSafe(|| {
            let mut in_flight = self.instance.slot.lock().take(self.generation)?;
            // A thread that replaces another goes on with its work at once.
            let is_lazy = loaded.is_some() && self.parts().is_lazy;
            let mut models = ModelHolder::new(&self.instance, self.generation);
            let first = if is_lazy { Ready::Yes } else { models.load_ahead() };
            let device = models.device().map(str::to_owned);
            match (first, loaded) {
                (Ready::Yes, loaded) => {
                    self.parts().failures.running(&self.instance.name);
                    match loaded {
                        Some(loaded) => loaded(Ok(device)),
                        None => tracing::info!(instance = self.instance.name, device, "model reloaded"),
                    }
                }
                (Ready::Failed(error), Some(loaded)) => {
                    self.instance.slot.lock().close_unused();
                    loaded(Err(error));
                    return None;
                }
                (Ready::Failed(error), None) => {
                    return self.leave(in_flight, Leave::Failed(error.to_string()));
                }
                (Ready::Ended, _) => return self.leave(in_flight, Leave::Ended),
            }
            loop {
                match self.work(in_flight, &mut models) {
                    Ok(back) => in_flight = back,
                    Err((_, Leave::Evicted)) => return None,
                    Err((in_flight, why)) => {
                        return in_flight.and_then(|in_flight| self.leave(in_flight, why));
                    }
                }
            }
        }));
        match lived {
            // The models are released only now.
            Ok(gone) => {
                if let Some(gone) = gone {
                    let _ = gone.send(());
                }
            }
            Err(panic) => {
                // The model is not to blame: `call` catches its panics. This pipeline has lost the batch in flight.
                telemetry::panicked(&self.instance.name);
                let why = format!("the thread panicked: {}", panic_text(panic.as_ref()));
                self.parts().failures.report(&self.instance.name, PipelineFailure::Restart(why));
            }
        }
    }

    /// Puts the work in flight back into the slot for the next thread. Returns the signal to send once the models are
    /// released, if the instance must end.
    fn leave(&self, in_flight: Box<InFlight>, why: Leave) -> Gone {
        let mut slot = self.instance.slot.lock();
        slot.in_flight = Some(in_flight);
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
            Leave::Reload(why) => (RestartDecision::Again { after: Duration::ZERO }, why),
            Leave::Failed(why) => (slot.restarts.failed(Timestamp::now()), why),
        };
        match decision {
            RestartDecision::Again { after } => {
                slot.generation += 1;
                slot.occupant = Occupant::Vacant(Instant::now() + after);
                drop(slot);
                tracing::warn!(instance = self.instance.name, ?after, why, "restarting instance");
                self.parts().failures.failed(&self.instance.name, &why);
                telemetry::restarted(&self.instance.name);
                self.parts().notify.notify();
            }
            RestartDecision::GiveUp => {
                slot.occupant = Occupant::Closed;
                let policy = *slot.restarts.policy();
                drop(slot);
                let why = format!("{why}; gave up after {} restarts within {:?}", policy.most, policy.within);
                self.parts().failures.report(&self.instance.name, PipelineFailure::Restart(why));
            }
        }
        None
    }

    /// Goes on with the batch in flight, or executes the next order.
    fn work(
        &self,
        mut in_flight: Box<InFlight>,
        models: &mut ModelHolder,
    ) -> Result<Box<InFlight>, (Option<Box<InFlight>>, Leave)> {
        if let Some(why) = in_flight.hung.take()
            && self.blame(&mut in_flight, models, Runner::Model, &why)
        {
            return Err((Some(in_flight), Leave::Failed(why)));
        }
        if in_flight.work.is_none() {
            match models.next_task() {
                Task::End => return Err((Some(in_flight), Leave::Ended)),
                Task::Load => {
                    if let Ready::Failed(error) = models.load_ahead() {
                        models.load_failed(&error);
                    }
                }
                Task::Unload(why) => models.unload(why),
                Task::Order(Order::Batch(batch)) => {
                    in_flight.work = Some(BatchRun::new(batch, self.parts().runtime.spec().care.tries));
                }
                Task::Order(Order::HandOver { resize, reply }) => {
                    let _ = reply.send(in_flight.state.hand_over(|stream| resize.moves(stream).is_some()));
                }
                Task::Order(Order::Adopt(given)) => in_flight.state.adopt(given),
            }
        }
        loop {
            let Some(work) = &mut in_flight.work else { return Ok(in_flight) };
            work.remaining.cut(self.parts().runtime.most());
            if work.remaining.next().is_none() {
                in_flight.work = None;
                return Ok(in_flight);
            }
            let Some(runner) = self.admitted(work, models) else {
                return Err((Some(in_flight), Leave::Ended));
            };
            if work.remaining.next().is_none() {
                continue;
            }
            match models.ready(runner) {
                Ready::Yes => in_flight = self.run_part(in_flight, models, runner)?,
                Ready::Failed(error) => {
                    models.load_failed(&error);
                    if runner == Runner::Fallback && !models.pause() {
                        return Err((Some(in_flight), Leave::Ended));
                    }
                }
                Ready::Ended => return Err((Some(in_flight), Leave::Ended)),
            }
        }
    }

    /// Waits until the breaker permits a call, or chooses the fallback model, or fails the batch, as `on_open_circuit` says.
    /// Returns `None` if the pipeline ends.
    fn admitted(&self, work: &mut BatchRun, models: &mut ModelHolder) -> Option<Runner> {
        let runtime = &self.parts().runtime;
        loop {
            let count = self.parts().notify.count();
            let now = Timestamp::now();
            let until = match runtime.admit(now, self.parts().failures.status()) {
                Admit::Yes => return Some(Runner::Model),
                Admit::Probe => {
                    work.remaining.cut(1);
                    return Some(Runner::Model);
                }
                Admit::No { until } => until,
            };
            match &runtime.spec().care.on_open_circuit {
                OnOpenCircuit::Fallback(_) => return Some(Runner::Fallback),
                OnOpenCircuit::DeadLetter => {
                    let rows = work.remaining.drain();
                    let why = runtime.why_open();
                    let mut onward = Onward::default();
                    for row in rows {
                        work.fail(row, &why, 0, (runtime, &self.parts().routes.graph), &mut onward);
                    }
                    work.release_if_done();
                    models.send(onward);
                    return Some(Runner::Model);
                }
                OnOpenCircuit::Wait => {
                    if !self.parts().notify.wait(count, Instant::now() + until.since(now)) {
                        return None;
                    }
                    models.give_way();
                }
            }
        }
    }

    /// Runs the next part of the batch in flight.
    fn run_part(
        &self,
        mut in_flight: Box<InFlight>,
        holder: &mut ModelHolder,
        runner: Runner,
    ) -> Result<Box<InFlight>, (Option<Box<InFlight>>, Leave)> {
        let Some(models) = holder.get() else { return Ok(in_flight) };
        let InFlight { work: Some(work), state, .. } = &mut *in_flight else { return Ok(in_flight) };
        let Some(rows) = work.remaining.next() else { return Ok(in_flight) };
        let runtime = &self.parts().runtime;
        if runtime.spec().is_stateful() {
            work.jobs(&rows).for_each(|job| runtime.admit_state(state, job));
        }
        let tensors = work.inputs(runtime, &rows).and_then(|inputs| {
            let streams: Vec<&StreamKey> = work.jobs(&rows).map(|job| &job.bundle.stream).collect();
            with_state(state, &streams, inputs)
        });
        let (started_at, since) = (Timestamp::now(), Instant::now());
        let outcome = match tensors {
            Err(failed) => Err(failed),
            Ok(tensors) => {
                let Some(model) = models.of(runner) else { return Ok(in_flight) };
                let deadline = since + runtime.spec().care.deadline;
                self.instance.slot.lock().store(in_flight, deadline, model.interrupt());
                let outcome = call(runtime, &mut **model, rows.len(), tensors);
                let back = self.instance.slot.lock().take(self.generation);
                let Some(back) = back else {
                    tracing::warn!(instance = self.instance.name, "late answer ignored");
                    return Err((None, Leave::Evicted));
                };
                in_flight = back;
                outcome
            }
        };
        let busy = since.elapsed();
        models.used();
        self.parts().runtime.worked(busy);
        telemetry::batch_run(&runtime.id, self.parts().number, rows.len(), busy, outcome.is_ok());
        if runner == Runner::Model && outcome.is_ok() {
            runtime.batch_took(rows.len(), busy);
        }
        let why = match outcome {
            Ok(outputs) => {
                let onward = self.succeeded(&mut in_flight, runner, outputs, started_at);
                holder.send(onward);
                return Ok(in_flight);
            }
            Err(Failed::OutOfMemory(why)) if rows.len() > 1 => {
                models.of(runner).into_iter().for_each(|model| model.release_memory());
                let most = runtime.shrink(rows.len().div_ceil(2));
                telemetry::batch_split(&runtime.id, "memory");
                telemetry::batch_limit(&runtime.id, most);
                tracing::warn!(step = self.step(), most, why, "batch size lowered");
                return Ok(in_flight);
            }
            Err(Failed::Device(why)) => {
                // A first loss may be chance. A second one with the same batch points to the batch.
                if in_flight.work.as_mut().is_some_and(BatchRun::lost_again) {
                    self.blame(&mut in_flight, holder, runner, &why);
                }
                return Err((Some(in_flight), Leave::Failed(why)));
            }
            Err(Failed::Panicked(why)) => {
                let leave = match self.blame(&mut in_flight, holder, runner, &why) {
                    true => Leave::Failed(why),
                    false => Leave::Reload(why),
                };
                return Err((Some(in_flight), leave));
            }
            Err(Failed::Batch(why) | Failed::OutOfMemory(why)) => why,
        };
        if self.blame(&mut in_flight, holder, runner, &why) {
            return Err((Some(in_flight), Leave::Failed(why)));
        }
        Ok(in_flight)
    }

    /// Returns the jobs of a part that ran, for their next steps.
    fn succeeded(
        &self,
        in_flight: &mut InFlight,
        runner: Runner,
        outputs: Vec<StepOutput>,
        started_at: Timestamp,
    ) -> Onward {
        let mut onward = Onward::default();
        let InFlight { work: Some(work), state, .. } = in_flight else { return onward };
        let Some(rows) = work.remaining.next() else { return onward };
        let runtime = &self.parts().runtime;
        if runtime.spec().is_stateful() {
            let streams: Vec<(&StreamKey, u32)> =
                work.jobs(&rows).map(|job| (&job.bundle.stream, job.assignment())).collect();
            state.store(&streams, &outputs);
        }
        work.remaining.succeeded();
        work.release_if_done();
        if runner == Runner::Model && runtime.succeeded(self.parts().failures.status()) {
            self.parts().notify.notify();
        }
        let times = (started_at, Timestamp::now());
        let of = (runtime.index(), &*self.parts().routes.graph);
        for (row, output) in rows.zip(outputs) {
            work.report(row, |placement| StepOutcome::Done { output, placement }, times, of, &mut onward);
        }
        onward
    }

    /// Handles a failed part of a batch: splits it, tries it again or gives it up. Returns true if the model has failed so often
    /// in a row that it has to be loaded again.
    fn blame(&self, in_flight: &mut InFlight, models: &mut ModelHolder, runner: Runner, why: &str) -> bool {
        let runtime = &self.parts().runtime;
        let tries = runtime.spec().care.tries;
        let Some(work) = &mut in_flight.work else { return false };
        let size = work.remaining.next().map_or(0, |rows| rows.len());
        tracing::error!(step = self.step(), size, why, "batch failed");
        let (now, mut is_for_good) = (Timestamp::now(), false);
        match work.remaining.failed() {
            AfterFailure::Split => telemetry::batch_split(&runtime.id, "failure"),
            AfterFailure::Again => {}
            AfterFailure::Poison(row) => {
                is_for_good = true;
                work.release_if_done();
                let mut onward = Onward::default();
                work.fail(row, why, tries, (runtime, &self.parts().routes.graph), &mut onward);
                models.send(onward);
            }
        }
        let status = self.parts().failures.status();
        runner == Runner::Model
            && runtime.failed(is_for_good, now, status)
            && runtime.spec().care.on_open_circuit == OnOpenCircuit::Wait
    }
}
