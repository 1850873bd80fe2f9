//! The memory of a buffered sample, beside the sample itself: the growth of the process's memory by held samples. And
//! the memory of a silent stream.

use std::sync::Arc;
use std::time::Duration;

use lockstep_engine::align::AlignPolicy;

use super::load::Load;

const STREAMS: usize = 1_000;

/// Resident memory in bytes; `None` where the system does not report it as Linux does.
#[allow(clippy::disallowed_methods, reason = "a benchmark reads its own memory")]
fn resident() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok()? * 1024.0)
}

/// Prints the bytes of memory of each held sample when an input holds about `depth` samples of a stream.
pub(super) fn print(depth: u32) {
    println!("bytes of a buffered sample, {STREAMS} streams, about {depth} of each of 3 inputs in each:");
    for (name, policy, lasts) in super::methods(super::load::PERIOD * depth) {
        let before = resident();
        let mut load = Load::new(policy, STREAMS, lasts);
        load.rounds(2 * depth as usize + 10);
        match (before, resident()) {
            (Some(before), Some(after)) => {
                let held = load.buffered();
                println!("  {name:<18} {:>6.0}  ({held} held)", (after - before) / held.max(1) as f64);
            }
            _ => println!("  {name:<18} this system does not tell"),
        }
        // The next load would reuse freed memory, and is measured by the growth of the process: so this one is not
        // freed.
        std::mem::forget(load);
    }
}

/// Prints the bytes of memory of each stream without held samples, for this number of streams. Memory that was freed
/// counts until the allocator returns it to the system.
pub(super) fn print_idle(streams: usize) {
    println!("bytes of an idle stream, {streams} streams of 3 inputs, its key included:");
    for (name, policy, lasts) in super::methods(super::load::PERIOD) {
        let mut policy = AlignPolicy::clone(&policy);
        policy.inputs.iter_mut().for_each(|input| input.idle_timeout = Duration::from_secs(1));
        policy.max_wait = Duration::from_secs(1);
        let before = resident();
        let mut load = Load::new(Arc::new(policy), streams, lasts);
        load.rounds(10);
        load.fall_silent(Duration::from_secs(60));
        match (before, resident()) {
            (Some(before), Some(after)) => {
                let held = load.buffered();
                println!("  {name:<18} {:>6.0}  ({held} held)", (after - before) / streams as f64);
            }
            _ => println!("  {name:<18} this system does not tell"),
        }
        std::mem::forget(load);
    }
}
