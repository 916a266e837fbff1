//! Requests to stop that come from outside: Ctrl-C, `kill`, a terminal that is closed.
//!
//! A command that was started with hang-ups ignored (`nohup`) is meant to outlive its terminal: for it they stay ignored.
//! Ctrl-C is heard even where it was ignored, as it is in what a script's shell runs in the background: there it is passed on
//! with `kill -INT`, by somebody who means it. ctrlc, which listens on Windows, was tried everywhere: it takes hang-ups
//! whatever they were, or none.

/// Calls `handler` at each request, from a thread of its own. Where no listener can be had, a request ends the process at
/// once, which a store and what is kept beside it survive.
#[cfg(unix)]
pub fn on_request(mut handler: impl FnMut() + Send + 'static) {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    use signal_hook::iterator::Signals;
    let wanted = if hangups_ignored() { vec![SIGINT, SIGTERM] } else { vec![SIGINT, SIGTERM, SIGHUP] };
    let listen = move || {
        if let Ok(mut signals) = Signals::new(wanted) {
            signals.forever().for_each(|_| handler());
        }
    };
    // A thread first, a listener in it: signals that nobody could hear would stop nothing at all.
    let _ = std::thread::Builder::new().name("interrupt".into()).spawn(listen);
}

#[cfg(not(unix))]
pub fn on_request(handler: impl FnMut() + Send + 'static) {
    let _ = ctrlc::set_handler(handler);
}

/// Whether this process was started with hang-ups ignored. Where the system does not say, they keep what effect they have: none
/// after `nohup`, and otherwise an end as of a crash.
#[cfg(unix)]
fn hangups_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignored(&status).is_none_or(|mask| mask & (1 << (signal_hook::consts::SIGHUP - 1)) != 0)
}

/// Ignored signals in a process's `status`: signal `n` is bit `n - 1`.
#[cfg(unix)]
fn ignored(status: &str) -> Option<u64> {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_read_off() {
        assert_eq!(ignored("Name:\tablate\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\n"), Some(0x1001));
        assert_eq!(ignored("Name:\tablate\n"), None);
    }
}
