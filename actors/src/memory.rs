//! The memory of the machine and of this process.

use std::fs;

/// Returns the free bytes of this machine, or of the group that bounds this process's memory (cgroup v2) if those are fewer;
/// `None` if the system does not report them.
///
/// Sources: proc(5), `MemAvailable`; the kernel's "Control Group v2", `memory.max` and `memory.current`.
pub(crate) fn free() -> Option<u64> {
    let read = |path: &str| fs::read_to_string(path).ok();
    let of_machine = available(&read("/proc/meminfo")?)?;
    let group =
        read("/proc/self/cgroup").and_then(|text| group(&text).map(str::to_owned)).unwrap_or_default();
    let of_group = |name: &str| read(&format!("/sys/fs/cgroup{group}/{name}"))?.trim().parse::<u64>().ok();
    let left =
        of_group("memory.max").zip(of_group("memory.current")).map(|(max, now)| max.saturating_sub(now));
    Some(left.map_or(of_machine, |left| left.min(of_machine)))
}

/// Returns the bytes of this process that are in memory; `None` if the system does not report them. Source: proc(5), `VmRSS`.
pub(crate) fn resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Returns `MemAvailable` in bytes.
fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Returns the process's group in the one hierarchy of cgroup v2.
fn group(cgroup: &str) -> Option<&str> {
    cgroup.lines().find_map(|line| line.strip_prefix("0::"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn available_memory_is_read_in_bytes() {
        let text = "MemTotal:       24689764 kB\nMemAvailable:   20480000 kB\nBuffers: 1 kB\n";
        assert_eq!(available(text), Some(20_480_000 * 1024));
        assert_eq!(available("MemTotal: 1 kB\n"), None);
        assert_eq!(group("12:cpu:/a\n0::/system.slice/lockstep\n"), Some("/system.slice/lockstep"));
    }
}
