//! How much memory this machine has, where the system says: all of it, and what it would give without swapping. Within a
//! container, no more than its limit; under `ulimit -v`, no more than the addresses that are left.

/// Bytes that are installed and may be used.
pub fn installed() -> Option<u64> {
    least([of_system("MemTotal:"), of_container(), of_addresses()])
}

/// Bytes that are available.
#[cfg(feature = "engine")]
pub fn available() -> Option<u64> {
    let used = number("/sys/fs/cgroup/memory.current").unwrap_or(0);
    let container = of_container().map(|limit| limit.saturating_sub(used));
    least([of_system("MemAvailable:"), container, of_addresses()])
}

/// Whether it is `ulimit -v` that leaves the least.
#[cfg(feature = "engine")]
pub fn short_of_addresses() -> bool {
    let others = least([of_system("MemTotal:"), of_container(), None]);
    of_addresses().is_some_and(|left| others.is_none_or(|room| left < room))
}

/// A limit counts only where the first, the system's own number, is known.
fn least(sizes: [Option<u64>; 3]) -> Option<u64> {
    sizes[0].and(sizes.into_iter().flatten().min())
}

fn of_system(name: &str) -> Option<u64> {
    kilobytes(&std::fs::read_to_string("/proc/meminfo").ok()?, name)
}

/// `max` is none.
fn of_container() -> Option<u64> {
    number("/sys/fs/cgroup/memory.max")
}

/// What `ulimit -v` leaves: the program itself, its libraries and its threads' stacks have addresses too. What the allocator
/// has reserved and not used is still to be had.
fn of_addresses() -> Option<u64> {
    let limit = soft_limit(&std::fs::read_to_string("/proc/self/limits").ok()?, "Max address space")?;
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let of = |name| kilobytes(&status, name);
    let reserved = of("VmData:")?.saturating_sub(of("RssAnon:")?);
    Some(limit.saturating_sub(of("VmSize:")?.saturating_sub(reserved)))
}

/// In bytes; `unlimited` is none.
fn soft_limit(limits: &str, name: &str) -> Option<u64> {
    limits.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

fn number(path: &str) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(all(test, feature = "engine", target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn what_is_available_is_part_of_what_is_installed() {
        let (installed, available) = (installed().unwrap(), available().unwrap());
        assert!(available <= installed && installed > 1 << 26, "{available} of {installed}");
    }

    #[test]
    fn the_soft_limit_is_the_one_that_holds() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
                      Max cpu time              unlimited            unlimited            seconds   \n\
                      Max address space         65536000             unlimited            bytes     \n";
        assert_eq!(soft_limit(limits, "Max address space"), Some(65_536_000));
        assert_eq!(soft_limit(limits, "Max cpu time"), None);
    }
}
