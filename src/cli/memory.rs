//! How much memory this machine has, where the system says: all of it, and what it would give without swapping. Within a
//! container, no more than its limit.

/// Bytes that are installed.
pub fn installed() -> Option<u64> {
    let total = of_system("MemTotal:")?;
    Some(limit().map_or(total, |limit| limit.min(total)))
}

/// Bytes that are available.
#[cfg(feature = "engine")]
pub fn available() -> Option<u64> {
    let available = of_system("MemAvailable:")?;
    let rest = limit().map(|limit| limit.saturating_sub(number("/sys/fs/cgroup/memory.current").unwrap_or(0)));
    Some(rest.map_or(available, |rest| rest.min(available)))
}

fn of_system(name: &str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

/// Of a container; `max` is none.
fn limit() -> Option<u64> {
    number("/sys/fs/cgroup/memory.max")
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
}
