//! Places in the code where a process can be made to die, to prove that nothing is lost there.
//!
//! `LOCKSTEP_FAULT_POINT=before-commit:3` ends the process, as SIGKILL would, the third time that it comes by that
//! place. In builds with debug assertions alone: elsewhere this is nothing.

/// The process comes by a place of this name.
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
        // Nothing is dropped, flushed or said to the broker.
        std::process::abort();
    }
}

/// The process comes by a place of this name.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub(super) fn pass(_name: &str) {}
