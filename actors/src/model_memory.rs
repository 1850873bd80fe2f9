//! The memory for models, by device. An instance's thread asks for memory before it loads a model and holds a [`ResidentCopy`]
//! until it has released the model. The rules are those of [`lockstep_engine::models`].
//!
//! Pipelines that replace one another share one account, since threads of the old one may still hold models.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use lockstep_engine::models::{CopyId, LEAST_STAY, Need, Residency, WouldNotFit};
use lockstep_engine::time::Timestamp;
use parking_lot::Mutex;

use crate::notify::Notify;

/// The longest wait for a change that nobody announces. Every change is announced; this only bounds a mistake.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// The account of all devices. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct ModelMemory {
    devices: Arc<Mutex<BTreeMap<Arc<str>, DeviceMemory>>>,
    limits: Arc<BTreeMap<String, u64>>,
    least_stay: Duration,
}

#[derive(Debug, Default)]
struct DeviceMemory {
    residency: Residency,
    owners: BTreeMap<CopyId, Owner>,
}

/// The thread that asked for a copy.
#[derive(Debug)]
struct Owner {
    notify: Arc<Notify>,
    /// Tells it to release the copy after its batch.
    leave: Sender<()>,
    request: MemoryRequest,
}

/// The state of a request for memory.
#[derive(Clone, Copy, Debug)]
enum MemoryRequest {
    Waits,
    Answered(Result<(), WouldNotFit>),
    /// The thread has read the answer.
    Ended,
}

impl Owner {
    fn take_answer(&mut self) -> Option<Result<(), WouldNotFit>> {
        let MemoryRequest::Answered(answer) = self.request else { return None };
        self.request = MemoryRequest::Ended;
        Some(answer)
    }
}

/// The end of a wait for memory.
pub(crate) enum Acquired {
    /// The copy may load.
    Admitted(ResidentCopy),
    /// The copy can never load.
    Refused(WouldNotFit),
    /// The instance must end, or the pipeline has.
    Ended,
}

impl ModelMemory {
    /// An account with these limits in bytes, by the names of the devices.
    pub fn new(limits: BTreeMap<String, u64>) -> Self {
        Self::with_least_stay(limits, LEAST_STAY)
    }

    /// An account in which a copy stays at least for this time.
    pub fn with_least_stay(limits: BTreeMap<String, u64>, least_stay: Duration) -> Self {
        Self { devices: Arc::default(), limits: Arc::new(limits), least_stay }
    }

    /// Waits until a copy may load on a device.
    pub(crate) fn acquire(
        &self,
        device: &Arc<str>,
        need: Need,
        notify: &Arc<Notify>,
        must_end: impl Fn() -> bool,
    ) -> Acquired {
        let (leave, leaves) = crossbeam_channel::bounded(1);
        let id = self.with(device, |memory| {
            let id = memory.residency.ask(need);
            let owner = Owner { notify: notify.clone(), leave, request: MemoryRequest::Waits };
            memory.owners.insert(id, owner);
            id
        });
        let copy = CopyHandle { memory: self.clone(), device: device.clone(), id };
        loop {
            let count = notify.count();
            let now = Timestamp::now();
            let (answer, again_at) = self.with(device, |memory| {
                let again_at = memory.decide(now);
                (memory.owners.get_mut(&id).and_then(Owner::take_answer), again_at)
            });
            match answer {
                Some(Ok(())) => return Acquired::Admitted(ResidentCopy { copy, leaves }),
                Some(Err(why)) => {
                    copy.forget();
                    return Acquired::Refused(why);
                }
                None => {}
            }
            let wait = again_at.map_or(LOOK_AGAIN, |at| at.since(now)).min(LOOK_AGAIN);
            if must_end() || !notify.wait(count, Instant::now() + wait) {
                copy.forget();
                return Acquired::Ended;
            }
        }
    }

    fn with<T>(&self, device: &Arc<str>, act: impl FnOnce(&mut DeviceMemory) -> T) -> T {
        let mut devices = self.devices.lock();
        let memory = devices.entry(device.clone()).or_insert_with(|| DeviceMemory {
            residency: Residency::new(self.limits.get(&**device).copied(), self.least_stay),
            owners: BTreeMap::new(),
        });
        act(memory)
    }
}

impl DeviceMemory {
    /// Decides, and tells the owners. Returns when to decide again.
    fn decide(&mut self, now: Timestamp) -> Option<Timestamp> {
        let decision = self.residency.decide(now);
        let admitted = decision.admitted.into_iter().map(|id| (id, Ok(())));
        let refused = decision.refused.into_iter().map(|(id, why)| (id, Err(why)));
        for (id, answer) in admitted.chain(refused) {
            if let Some(owner) = self.owners.get_mut(&id) {
                owner.request = MemoryRequest::Answered(answer);
                owner.notify.notify();
            }
        }
        for id in decision.evicted {
            if let Some(owner) = self.owners.get(&id) {
                let _ = owner.leave.try_send(());
                // It may wait for its circuit breaker.
                owner.notify.notify();
            }
        }
        decision.again_at
    }

    /// Wakes the owners that wait, after a change that may admit them.
    fn wake(&self) {
        let waits = |owner: &&Owner| matches!(owner.request, MemoryRequest::Waits);
        self.owners.values().filter(waits).for_each(|owner| owner.notify.notify());
    }
}

/// Names a copy in the account.
#[derive(Clone, Debug)]
pub(crate) struct CopyHandle {
    memory: ModelMemory,
    device: Arc<str>,
    id: CopyId,
}

impl CopyHandle {
    /// Notes that the copy's thread hangs in a call. The bytes count until the thread returns.
    pub(crate) fn lost(&self) {
        self.memory.with(&self.device, |memory| {
            memory.residency.lost(self.id);
            memory.wake();
        });
    }

    fn forget(&self) {
        self.memory.with(&self.device, |memory| {
            memory.residency.forget(self.id);
            memory.owners.remove(&self.id);
            memory.wake();
        });
    }
}

/// The right to hold a copy of a model in memory. Dropping it gives the bytes back, so drop the model first.
#[derive(Debug)]
pub(crate) struct ResidentCopy {
    copy: CopyHandle,
    leaves: Receiver<()>,
}

impl ResidentCopy {
    /// Notes that the model has loaded in this time.
    pub(crate) fn loaded(&self, took: Duration) {
        self.copy.memory.with(&self.copy.device, |memory| {
            memory.residency.loaded(self.copy.id, took, Timestamp::now());
            memory.wake();
        });
    }

    /// Notes that the model has run a batch.
    pub(crate) fn used(&self) {
        let copy = &self.copy;
        copy.memory.with(&copy.device, |memory| memory.residency.used(copy.id, Timestamp::now()));
    }

    /// Gets a message when another copy needs the memory.
    pub(crate) fn leaves(&self) -> Receiver<()> {
        self.leaves.clone()
    }

    /// True if the device has a limit, so that another copy may need the memory.
    pub(crate) fn is_limited(&self) -> bool {
        self.copy.memory.limits.contains_key(&*self.copy.device)
    }

    /// Names the copy.
    pub(crate) fn handle(&self) -> CopyHandle {
        self.copy.clone()
    }
}

impl Drop for ResidentCopy {
    fn drop(&mut self) {
        self.copy.forget();
    }
}
