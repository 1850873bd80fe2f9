//! The processor time that this process has taken: unlike throughput it does not depend on how many cores
//! there are and what else runs on them.

/// Ticks a second of what Linux reports, whatever the kernel's own are (`USER_HZ`).
const TICKS: f64 = 100.0;

/// Seconds of processor time, of all threads, since the process began. None where the system does not say.
pub(super) fn seconds() -> Option<f64> {
    // proc(5): the name, in parentheses, may hold anything; `utime` and `stime` are the 12th and 13th after it.
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let mut after = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let (user, system): (f64, f64) = (after.next()?.parse().ok()?, after.next()?.parse().ok()?);
    Some((user + system) / TICKS)
}

/// Runs a closure and returns its result and the processor time that it took.
pub(super) fn measured<T>(run: impl FnOnce() -> T) -> (T, Option<f64>) {
    let before = seconds();
    let outcome = run();
    let took = before.and_then(|before| Some(seconds()? - before));
    (outcome, took)
}
