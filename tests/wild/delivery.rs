//! What brokers refuse, delete or slow down of what Lockstep writes.
