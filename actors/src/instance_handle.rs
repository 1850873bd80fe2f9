//! The batch stage's view of an instance, so that batch does not import the instance stage.

use std::sync::Arc;

use crossbeam_channel::Receiver;
use lockstep_backend::BackendError;
use tokio::sync::oneshot;

use crate::message::Order;

/// Called once after the first load of a model, with its device or the error.
pub type Loaded = Box<dyn FnOnce(Result<String, BackendError>) + Send>;

/// Creates an instance with this number that takes its orders from this channel.
pub type MakeInstance = Box<dyn Fn(usize, Receiver<Order>) -> Arc<dyn InstanceHandle> + Send>;

/// An instance that can be started and sent away.
pub trait InstanceHandle: Send + Sync {
    /// The number of the instance within its step.
    fn number(&self) -> usize;

    /// The instance's name among the actors.
    fn name(&self) -> &str;

    /// Starts the first thread, which loads the model and then calls `loaded`. The health endpoint does not show the
    /// instance before its model is loaded.
    ///
    /// # Errors
    /// When the system gives no thread.
    fn start(&self, loaded: Loaded) -> std::io::Result<()>;

    /// Ends the instance: it takes no more orders, finishes its batch, releases its model and then signals `gone`.
    fn leave(&self, gone: oneshot::Sender<()>);
}
