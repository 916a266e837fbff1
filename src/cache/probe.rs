//! Whether a file system keeps the promises that the store builds on: locks that exclude, syncs that return.
//!
//! What cannot be seen from here: a disk that says it has synced and has not, and locks that hold on this machine but not on
//! the others that mount the same folder. Mount options tell of the latter on Linux, and are read for that.

use super::disk::{self, Result};
use super::lease::settle;
use super::store::{self, CacheError};
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What was seen of a folder's file system.
#[derive(Debug)]
pub struct Probe {
    /// An error if locks are refused or do not exclude.
    pub locks: store::Result<()>,
    /// To make a small file and its name durable; the median of several.
    pub sync: Result<Duration>,
    pub free: Option<u64>,
    /// The file system's name, where the system tells.
    pub kind: Option<String>,
    /// What people should know about this kind of file system.
    pub caveat: Option<String>,
}

/// Looks at the file system of a folder, which must exist. Leaves nothing behind.
pub fn probe(folder: &Path) -> Probe {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let real = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_path_buf());
    let mount = mount_of(&mounts, &real);
    Probe {
        locks: locks_exclude(folder),
        sync: sync_time(folder),
        free: disk::free(folder),
        kind: mount.map(|(kind, _)| kind.to_string()),
        caveat: mount.and_then(|(kind, options)| caveat(kind, options)),
    }
}

fn beside(folder: &Path, what: &str) -> PathBuf {
    use std::sync::atomic::{AtomicU64, Ordering};
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    folder.join(format!(".probe-{what}-{}-{count}", std::process::id()))
}

/// An error unless a second lock on a locked file is refused.
pub fn locks_exclude(folder: &Path) -> store::Result<()> {
    let path = beside(folder, "lock");
    let open = || OpenOptions::new().write(true).create(true).truncate(false).open(&path);
    let opened = disk::at("create", &path, open().and_then(|first| Ok((first, open()?))));
    let (first, second) = opened?;
    let judged =
        settle(&path, first.try_lock()).and_then(|got| excludes(&path, got, settle(&path, second.try_lock())?));
    drop((first, second));
    disk::remove_file(&path)?;
    judged
}

/// Judges two locks on one file: the first must be had, the second refused.
fn excludes(path: &Path, first: bool, second: bool) -> store::Result<()> {
    if first && !second {
        return Ok(());
    }
    let words = if first { "two locks on one file were both granted" } else { "a lock on a new file was refused" };
    Err(CacheError::NoLocks { path: path.to_path_buf(), source: std::io::Error::other(words) })
}

fn sync_time(folder: &Path) -> Result<Duration> {
    let mut times = vec![];
    for _ in 0..5 {
        let path = beside(folder, "sync");
        let begun = Instant::now();
        let written = disk::write_atomic(&path, &[7; 4096]);
        times.push(begun.elapsed());
        let removed = disk::remove_file(&path);
        written.and(removed)?;
    }
    times.sort();
    Ok(times[times.len() / 2])
}

/// Kind and options of the file system that holds a path: the longest mount point above it, the last if there are several.
fn mount_of<'a>(mounts: &'a str, path: &Path) -> Option<(&'a str, &'a str)> {
    let lines = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        let point = words.next()?.replace("\\040", " ");
        let (kind, options) = (words.next()?, words.next()?);
        path.starts_with(&point).then_some((point.len(), kind, options))
    });
    lines.max_by_key(|(length, ..)| *length).map(|(_, kind, options)| (kind, options))
}

fn caveat(kind: &str, options: &str) -> Option<String> {
    let has = |wanted: &[&str]| options.split(',').any(|option| wanted.contains(&option));
    match kind {
        "tmpfs" | "ramfs" => Some("it lies in memory and is gone with the power".to_string()),
        _ if kind.starts_with("nfs") && has(&["nolock", "local_lock=all", "local_lock=flock"]) => Some(
            "its locks hold on this machine only (mounted without network locks): don't let two machines share a store there"
                .to_string(),
        ),
        _ if kind.starts_with("nfs") || kind == "cifs" || kind == "smb3" || kind.starts_with("fuse") => {
            Some("it is a network or user-space file system: locks between machines are as good as its server".to_string())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_of_a_plain_folder_finds_locks_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let seen = probe(dir.path());
        seen.locks.unwrap();
        assert!(seen.sync.unwrap() > Duration::ZERO);
        assert!(disk::names(dir.path()).unwrap().is_empty());
    }

    #[test]
    fn locks_that_do_not_exclude_are_an_error_that_says_what_to_do() {
        let path = Path::new("/shared/x");
        excludes(path, true, false).unwrap();
        for (first, second) in [(true, true), (false, false)] {
            let error = excludes(path, first, second).unwrap_err().to_string();
            assert!(error.contains("/shared/x") && error.contains("choose a local disk with --results"), "{error}");
        }
    }

    #[test]
    fn mounts_without_network_locks_are_told() {
        let mounts = "rootfs / ext4 rw 0 0\nsrv:/x /data nfs4 rw,vers=4.2,local_lock=none 0 0\n\
                      srv:/y /data/my\\040runs nfs rw,nolock,local_lock=all 0 0\ntmpfs /dev/shm tmpfs rw 0 0\n";
        let told = |path: &str| mount_of(mounts, Path::new(path)).and_then(|(kind, options)| caveat(kind, options));
        assert_eq!(told("/home/me"), None);
        assert!(told("/data/z").unwrap().contains("as good as its server"));
        assert!(told("/data/my runs/z").unwrap().contains("this machine only"));
        assert!(told("/dev/shm/z").unwrap().contains("gone with the power"));
    }
}
