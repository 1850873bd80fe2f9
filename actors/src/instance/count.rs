//! How many instances a step has and is to have: what those who ask share with the batch actor, which sees to it.

use std::ops::Deref;

use lockstep_engine::scaling::MOST_INSTANCES;
use parking_lot::Mutex;

use crate::desired::Desired;

/// How many instances a step has and is to have. A pipeline that is started again begins with as many as the file says.
#[derive(Debug, Default)]
pub struct Instances {
    count: Desired<MOST_INSTANCES>,
    coming: Mutex<Coming>,
}

/// What is known of the instance that comes, or did not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coming {
    /// Whether a model is being loaded for it.
    pub is_loading: bool,
    /// How often that has failed.
    pub failures: u64,
    /// Why, the last time.
    pub last_error: Option<String>,
    /// There can be no more than so many, since loading has failed too often. Holds until somebody asks by hand.
    pub most: Option<usize>,
}

impl Deref for Instances {
    type Target = Desired<MOST_INSTANCES>;

    fn deref(&self) -> &Self::Target {
        &self.count
    }
}

impl Instances {
    /// Asks for so many by hand, as [`Desired::ask`] does, and for what could not be loaded once more.
    pub fn ask(&self, instances: usize) {
        self.coming.lock().most = None;
        self.count.ask(instances);
    }

    /// What is known of the one that comes.
    pub fn coming(&self) -> Coming {
        self.coming.lock().clone()
    }

    pub(crate) fn is_loading(&self, is_loading: bool) {
        self.coming.lock().is_loading = is_loading;
    }

    /// A model could not be loaded.
    pub(crate) fn load_failed(&self, why: &str) {
        let mut coming = self.coming.lock();
        coming.failures += 1;
        coming.last_error = Some(why.to_owned());
    }

    /// No more than so many can be had.
    pub(crate) fn give_up(&self, most: usize) {
        self.coming.lock().most = Some(most);
        self.lower_to(most);
    }

    /// The pipeline is put together anew.
    pub(crate) fn begin(&self) {
        self.set_current(0);
        *self.coming.lock() = Coming::default();
    }
}
