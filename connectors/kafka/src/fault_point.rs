//! Fault points: places in the code at which a test kills the process, to prove that no record is lost there.
//!
//! `LOCKSTEP_FAULT_POINT=before-commit:3` ends the process, as SIGKILL would, when it passes that place for the third time. Only
//! builds with debug assertions have fault points.

/// Passes the fault point of this name.
#[cfg(debug_assertions)]
pub(super) fn pass(name: &str) {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static WANTED: LazyLock<Option<(String, u64)>> = LazyLock::new(|| {
        let text = std::env::var("LOCKSTEP_FAULT_POINT").ok()?;
        let (name, nth) = text.split_once(':')?;
        Some((name.to_owned(), nth.parse().ok()?))
    });
    static PASSED: AtomicU64 = AtomicU64::new(0);
    if let Some((wanted, nth)) = &*WANTED
        && wanted == name
        && PASSED.fetch_add(1, Ordering::Relaxed) + 1 == *nth
    {
        // Runs no destructor, flushes nothing, and sends nothing to the broker.
        std::process::abort();
    }
}

/// Passes the fault point of this name.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub(super) fn pass(_name: &str) {}
