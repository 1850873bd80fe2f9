//! The load of a pipeline. Ingest, publish and the autoscaler share its meter.

use std::sync::Arc;
use std::time::Duration;

use lockstep_engine::scaling::Meter;
use parking_lot::{Mutex, MutexGuard};

/// The meter of the load. Clones share it.
#[derive(Clone, Debug)]
pub struct Load(Arc<Mutex<Meter>>);

impl Load {
    /// Creates a meter whose rates are averages over `smooth`.
    pub fn new(smooth: Duration) -> Self {
        Self(Arc::new(Mutex::new(Meter::new(smooth))))
    }

    /// Locks the meter, to count or to read.
    pub fn lock(&self) -> MutexGuard<'_, Meter> {
        self.0.lock()
    }
}
