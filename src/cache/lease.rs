//! Who makes what: one lock per key, held by the kernel for a process.
//!
//! The lock is the truth. The text in the file (host, process, since when, last sign of life) is for people who wonder what
//! they are waiting for; nothing is decided by it. Lock files are not removed on release, because removing a file that
//! someone else has just opened would let two processes hold "the" lock; `gc` sweeps them when it is alone.

use super::disk::{self, DiskError};
use super::store::{CacheError, Result, Store};
use crate::recipe::Key;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Seek, Write};
use std::path::Path;
use std::sync::Mutex;

/// The right to make one artifact, until dropped.
#[derive(Debug)]
pub struct Lease {
    key: Key,
    file: Mutex<(File, Holder)>,
}

/// What a lease's file says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    pub host: String,
    pub pid: u32,
    /// Seconds since 1970.
    pub since: u64,
    pub heartbeat: u64,
    /// The stage's name, for people.
    pub what: String,
}

/// Signs of life are at least this many seconds apart.
const HEARTBEAT: u64 = 10;

impl Lease {
    pub fn key(&self) -> Key {
        self.key
    }

    /// A sign of life. Failing to leave one is no reason to stop working.
    pub fn beat(&self) {
        let mut guard = self.file.lock().expect("no panic under this lock");
        let now = disk::now();
        if now.abs_diff(guard.1.heartbeat) >= HEARTBEAT {
            guard.1.heartbeat = now;
            let (file, holder) = &mut *guard;
            let _ = note(file, Some(holder));
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Ok(guard) = self.file.get_mut() {
            let _ = note(&mut guard.0, None);
        }
    }
}

fn note(file: &mut File, holder: Option<&Holder>) -> std::io::Result<()> {
    let text = holder.map_or(String::new(), |holder| serde_json::to_string(holder).expect("plain data"));
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(text.as_bytes())
}

fn open(path: &Path) -> Result<File> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
    file.map_err(|source| DiskError { action: "open", path: path.to_path_buf(), source }.into())
}

/// `true` if the lock was free.
pub(super) fn settle(path: &Path, locked: std::result::Result<(), TryLockError>) -> Result<bool> {
    match locked {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(source)) => Err(CacheError::NoLocks { path: path.to_path_buf(), source }),
    }
}

impl Store {
    /// The lease on a key, or `None` while another holds it.
    pub fn lease(&self, key: &Key, what: &str) -> Result<Option<Lease>> {
        let path = self.folder("leases").join(format!("{key}.lock"));
        let mut file = open(&path)?;
        if !settle(&path, file.try_lock())? {
            return Ok(None);
        }
        let now = disk::now();
        let holder =
            Holder { host: disk::host(), pid: std::process::id(), since: now, heartbeat: now, what: what.to_string() };
        let _ = note(&mut file, Some(&holder));
        Ok(Some(Lease { key: *key, file: Mutex::new((file, holder)) }))
    }

    /// Who holds leases now. An empty or unreadable note of a held lease gives no holder.
    pub fn leases(&self) -> Result<Vec<(Key, Option<Holder>)>> {
        let mut held = vec![];
        for name in disk::names(&self.folder("leases"))? {
            let Some(key) = name.strip_suffix(".lock").and_then(|key| key.parse().ok()) else { continue };
            let path = self.folder("leases").join(&name);
            let Ok(file) = File::open(&path) else { continue };
            // A shared lock succeeds unless someone works under it; it is given back at once.
            if settle(&path, file.try_lock_shared())? {
                continue;
            }
            let holder = disk::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok());
            held.push((key, holder));
        }
        Ok(held)
    }

    /// Keeps `gc` away while runners work. Held until the file is dropped.
    pub fn in_use(&self) -> Result<File> {
        let path = self.folder("store.lock");
        let file = open(&path)?;
        // Only `gc` takes it exclusively, and not for long.
        match file.lock_shared() {
            Ok(()) => Ok(file),
            Err(source) => Err(CacheError::NoLocks { path, source }),
        }
    }

    /// The store to oneself, or an error if a runner is working in it.
    pub(super) fn alone(&self) -> Result<File> {
        let path = self.folder("store.lock");
        let file = open(&path)?;
        if settle(&path, file.try_lock())? {
            Ok(file)
        } else {
            Err(CacheError::InUse { path: self.root().to_path_buf() })
        }
    }
}
