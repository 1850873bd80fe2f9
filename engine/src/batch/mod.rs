//! Gathers bundles into batches.
