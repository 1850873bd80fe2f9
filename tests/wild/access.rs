//! Secured brokers, missing rights, and what health says meanwhile.
