//! The memory of a process, as the system reports it.

/// The memory of a process that is in RAM (resident set size), in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Memory {
    /// Now.
    pub(super) now: f64,
    /// At most, ever.
    pub(super) most: f64,
    /// Now, without the pages of files (anonymous memory).
    pub(super) own: f64,
}

/// The memory of the process with this id. None where the system does not say.
pub(super) fn of_process(id: u32) -> Option<Memory> {
    read(&std::fs::read_to_string(format!("/proc/{id}/status")).ok()?)
}

/// `VmRSS`, `VmHWM` and `RssAnon` of proc(5)'s `status`.
fn read(status: &str) -> Option<Memory> {
    let of = |name: &str| -> Option<f64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        let kilobytes: f64 = line.split_whitespace().next()?.parse().ok()?;
        Some(kilobytes * 1024.0)
    };
    Some(Memory { now: of("VmRSS")?, most: of("VmHWM")?, own: of("RssAnon")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_what_is_resident_now_and_was_at_most() {
        let found = read("Name:\tlockstep\nVmHWM:\t   2048 kB\nVmRSS:\t    1024 kB\nRssAnon:\t  512 kB\n")
            .expect("all");
        assert_eq!((found.now, found.most, found.own), (1_048_576.0, 2_097_152.0, 524_288.0));
        assert!(read("Name:\tlockstep\n").is_none());
    }
}
