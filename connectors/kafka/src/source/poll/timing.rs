//! The intervals and limits of the poll thread.

use std::time::Duration;

/// The longest sleep of the thread, well within the limits of any session and poll interval.
pub(super) const IDLE: Duration = Duration::from_millis(100);
/// The pause before a refused event is offered again.
pub(super) const OFFER_AGAIN: Duration = Duration::from_millis(1);
/// The limit for one request to the brokers.
pub(super) const REQUEST: Duration = Duration::from_secs(3);
/// The pause before the consumer joins a group again that has refused it.
pub(super) const REJOIN: Duration = Duration::from_secs(5);
/// The pause before a failed request is repeated.
pub(super) const RETRY: Duration = Duration::from_millis(500);
