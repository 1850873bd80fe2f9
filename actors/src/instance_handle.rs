//! The batch stage's view of an instance, so that batch does not import the instance stage.

use std::sync::Arc;

use crossbeam_channel::Receiver;
use lockstep_backend::BackendError;
use tokio::sync::oneshot;

use crate::message::Order;

/// Called once when an instance can take batches, or cannot: with the device of its model, none if the model loads when it is
/// needed, or the error.
pub type Loaded = Box<dyn FnOnce(Result<Option<String>, BackendError>) + Send>;

/// Creates an instance with this number that takes its orders from this channel. If the flag is set, a lazy model is not loaded
/// before the first bundle.
pub type MakeInstance = Box<dyn Fn(usize, bool, Receiver<Order>) -> Arc<dyn InstanceHandle> + Send>;

/// An instance that can be started and sent away.
pub trait InstanceHandle: Send + Sync {
    /// The number of the instance within its step.
    fn number(&self) -> usize;

    /// The instance's name among the actors.
    fn name(&self) -> &str;

    /// Starts the first thread, which loads the model, unless it is lazy, and then calls `loaded`. The health endpoint does not
    /// show the instance before that.
    ///
    /// # Errors
    /// When the system gives no thread.
    fn start(&self, loaded: Loaded) -> std::io::Result<()>;

    /// Ends the instance: it takes no more orders, finishes its batch, releases its model and then signals `gone`.
    fn leave(&self, gone: oneshot::Sender<()>);
}
