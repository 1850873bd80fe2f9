//! How many instances a step has and is to have: what those who ask share with the batch actor, which sees to it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use lockstep_engine::control::scaling::MOST_INSTANCES;
use parking_lot::Mutex;
use tokio::sync::watch;

/// How many instances of a step somebody asks for, and how many there are. Asked for again and again, the last word
/// counts. It outlives the pipeline: one that is started again begins with as many as the file says, and goes on to as
/// many as were asked for.
#[derive(Debug)]
pub struct Instances {
    /// 0 as long as nobody has asked.
    asked: watch::Sender<usize>,
    current: AtomicUsize,
    by_hand: AtomicBool,
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

impl Default for Instances {
    fn default() -> Self {
        let (asked, current, by_hand) = (watch::Sender::new(0), AtomicUsize::new(0), AtomicBool::new(false));
        Self { asked, current, by_hand, coming: Mutex::default() }
    }
}

impl Instances {
    /// Asks for so many by hand, at least 1 and at most [`MOST_INSTANCES`]. From then on the law of scaling leaves them
    /// alone. What could not be loaded is tried again.
    pub fn ask(&self, instances: usize) {
        self.by_hand.store(true, Ordering::Relaxed);
        self.coming.lock().most = None;
        self.follow(instances);
    }

    /// Asks for so many as the law of scaling says.
    pub(crate) fn follow(&self, instances: usize) {
        let instances = instances.clamp(1, MOST_INSTANCES);
        self.asked.send_if_modified(|asked| std::mem::replace(asked, instances) != instances);
    }

    /// Whether anybody has asked by hand.
    pub fn is_by_hand(&self) -> bool {
        self.by_hand.load(Ordering::Relaxed)
    }

    /// How many are asked for, if anybody has asked.
    pub fn asked(&self) -> Option<usize> {
        Some(*self.asked.borrow()).filter(|asked| *asked > 0)
    }

    /// Tells of another number that is asked for.
    pub(crate) fn changes(&self) -> watch::Receiver<usize> {
        self.asked.subscribe()
    }

    /// How many take batches; 0 before the pipeline runs.
    pub fn current(&self) -> usize {
        self.current.load(Ordering::Relaxed)
    }

    pub(crate) fn set_current(&self, instances: usize) {
        self.current.store(instances, Ordering::Relaxed);
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
        self.follow(most);
    }

    /// The pipeline is put together anew.
    pub(crate) fn begin(&self) {
        self.set_current(0);
        *self.coming.lock() = Coming::default();
    }
}
