//! The desired and current numbers of shards and instances.

use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};

use lockstep_engine::scaling::MOST_INSTANCES;
use lockstep_engine::sharding::MOST_SHARDS;
use parking_lot::Mutex;

use crate::desired::Desired;

/// The desired and current number of shards. Streams begin to move within a tenth of a second after the desired number
/// changes. If streams move already, the next move begins after that one.
pub type ShardCount = Desired<MOST_SHARDS>;

/// The desired and current number of instances of a step. The batch actor shares it with the autoscaler and the operator.
/// A restarted pipeline begins with the number in its configuration.
#[derive(Debug, Default)]
pub struct Instances {
    count: Desired<MOST_INSTANCES>,
    coming: Mutex<StartingInstance>,
    /// The number of bundles in the batch queues of the step.
    queued: AtomicUsize,
}

/// The state of the instance that is being added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StartingInstance {
    /// True while the instance loads its model.
    pub is_loading: bool,
    /// The number of failed loads.
    pub failures: u64,
    /// The reason of the last failed load.
    pub last_error: Option<String>,
    /// The most instances that are possible, since loading has failed too often. An operator's next request lifts it.
    pub most: Option<usize>,
}

impl Deref for Instances {
    type Target = Desired<MOST_INSTANCES>;

    fn deref(&self) -> &Self::Target {
        &self.count
    }
}

impl Instances {
    /// Sets the desired number on behalf of an operator, as [`Desired::override_with`] does, and permits failed loads to be tried
    /// again.
    pub fn override_with(&self, instances: usize) {
        self.coming.lock().most = None;
        self.count.override_with(instances);
    }

    /// Returns the state of the instance that is being added.
    pub fn coming(&self) -> StartingInstance {
        self.coming.lock().clone()
    }

    /// Returns the number of bundles that wait in the batch queues of the step.
    pub fn queued(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }

    pub(crate) fn set_queued(&self, bundles: usize) {
        self.queued.store(bundles, Ordering::Relaxed);
    }

    pub(crate) fn is_loading(&self, is_loading: bool) {
        self.coming.lock().is_loading = is_loading;
    }

    /// Counts a model that could not be loaded.
    pub(crate) fn load_failed(&self, why: &str) {
        let mut coming = self.coming.lock();
        coming.failures += 1;
        coming.last_error = Some(why.to_owned());
    }

    /// Limits the number of instances to `most`.
    pub(crate) fn give_up(&self, most: usize) {
        self.coming.lock().most = Some(most);
        self.lower_to(most);
    }

    /// Resets the counts for a new pipeline.
    pub(crate) fn begin(&self) {
        self.set_current(0);
        self.set_queued(0);
        *self.coming.lock() = StartingInstance::default();
    }
}
