//! The store: looking up, opening and publishing artifacts.

use super::disk::{self, DiskError};
use super::lease::Lease;
use super::probe;
use super::record::{Ending, FORMAT, FileRecord, Label, Provenance, Record};
use crate::fault;
use crate::recipe::{Fingerprint, Key, Kind};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

pub const RECORD: &str = "record.json";
pub const FINGERPRINT: &str = "fingerprint.json";

#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(
        "failed to use the store {}: it has format {found}, this version reads {FORMAT} (move it away; everything in it can be recomputed)", path.display()
    )]
    Format { path: PathBuf, found: String },
    #[error("failed to open artifact {}: {reason} (`ablate run` makes it anew)", key.short())]
    Damaged { key: Key, reason: String },
    #[error("failed to open artifact {}: there is no such artifact (`ablate run` makes it)", key.short())]
    Absent { key: Key },
    #[error("failed to lock {}: {source} (the store needs a file system with file locks: choose a local disk with --results)", path.display())]
    NoLocks { path: PathBuf, source: std::io::Error },
    #[error("failed to clean the store {}: a run is using it (try again when it has finished)", path.display())]
    InUse { path: PathBuf },
}

pub type Result<T> = std::result::Result<T, CacheError>;

/// How closely to look at an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// Record, names and sizes: what a plan needs, whatever the size of the store.
    Sizes,
    /// Every byte, once per process.
    Bytes,
}

/// What the store has under a key.
#[derive(Debug, Clone, PartialEq)]
pub enum Presence {
    Absent,
    Present(Box<Record>),
    /// It is there and must not be used, for this reason.
    Damaged(String),
}

/// A finished artifact whose bytes have been verified.
#[derive(Debug, Clone, PartialEq)]
pub struct Artifact {
    pub dir: PathBuf,
    pub record: Record,
}

/// A private directory that becomes an artifact.
#[derive(Debug)]
pub struct Draft {
    key: Key,
    fingerprint: Fingerprint,
    dir: PathBuf,
}

impl Draft {
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

/// What a record tells besides the files.
#[derive(Debug, Clone)]
pub struct Finish {
    pub inputs: Vec<Key>,
    pub ending: Ending,
    pub seconds: f64,
    pub started: u64,
    pub provenance: Provenance,
    pub labels: Vec<Label>,
}

/// A folder of artifacts. Cheap to make; holds no lock.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    /// Entries whose bytes this process has read and found right.
    verified: Mutex<BTreeSet<Key>>,
}

impl Store {
    /// A store to look at: nothing is created or written, and a folder that is not there is an empty store.
    pub fn at(root: &Path) -> Result<Store> {
        let store = Store { root: root.to_path_buf(), verified: Mutex::default() };
        if let Some(bytes) = disk::read_if_there(&root.join("store.json"))? {
            let found: Option<u64> =
                serde_json::from_slice::<serde_json::Value>(&bytes).ok().and_then(|v| v["format"].as_u64());
            if found != Some(FORMAT as u64) {
                let found = found.map_or("no readable number".to_string(), |n| n.to_string());
                return Err(CacheError::Format { path: root.to_path_buf(), found });
            }
        }
        Ok(store)
    }

    /// A store to work in.
    pub fn create(root: &Path) -> Result<Store> {
        let store = Store::at(root)?;
        for folder in ["objects", "tmp", "scratch", "leases"] {
            disk::create_lasting_dir(&root.join(folder))?;
        }
        probe::locks_exclude(root)?;
        if !root.join("store.json").exists() {
            disk::write_atomic(&root.join("store.json"), format!("{{\"format\":{FORMAT}}}\n").as_bytes())?;
        }
        Ok(store)
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn folder(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    fn object(&self, kind: &str, key: &Key) -> PathBuf {
        self.folder("objects").join(format!("{kind}-{key}"))
    }

    /// The directory of an entry, finished or not.
    fn find(&self, key: &Key) -> Option<PathBuf> {
        Kind::ALL.iter().map(|kind| self.object(kind.name(), key)).find(|dir| dir.is_dir())
    }

    /// Keys of all entries, finished or not, from one look at the directory.
    pub fn keys(&self) -> Result<BTreeSet<Key>> {
        let names = disk::names(&self.folder("objects"))?;
        Ok(names.iter().filter_map(|name| key_of(name)).collect())
    }

    /// What is under a key. Changes nothing on disk.
    pub fn look(&self, key: &Key, check: Check) -> Result<Presence> {
        let Some(dir) = self.find(key) else { return Ok(Presence::Absent) };
        let verified = self.verified.lock().expect("no panic under this lock").contains(key);
        let presence = inspect(&dir, key, if verified { Check::Sizes } else { check })?;
        if check == Check::Bytes && matches!(presence, Presence::Present(_)) {
            self.verified.lock().expect("no panic under this lock").insert(*key);
        }
        Ok(presence)
    }

    /// An artifact, every byte verified.
    pub fn open(&self, key: &Key) -> Result<Artifact> {
        match self.look(key, Check::Bytes)? {
            Presence::Present(record) => Ok(Artifact { dir: self.object(&record.kind, key), record: *record }),
            Presence::Damaged(reason) => Err(CacheError::Damaged { key: *key, reason }),
            Presence::Absent => Err(CacheError::Absent { key: *key }),
        }
    }

    /// The hashed text of an entry, for "why does this run again". `None` if it is gone or damaged.
    pub fn fingerprint(&self, key: &Key) -> Option<Fingerprint> {
        let text = disk::read(&self.find(key)?.join(FINGERPRINT)).ok()?;
        if Key::of(&text) != *key {
            return None;
        }
        serde_json::from_slice(&text).ok()
    }

    /// Records of all finished entries that can be read, by key. What else lies there (a file manager's `.DS_Store`) is
    /// passed over.
    pub fn records(&self) -> Result<Vec<Record>> {
        let mut records = vec![];
        for name in disk::names(&self.folder("objects"))? {
            if key_of(&name).is_none() || !self.folder("objects").join(&name).is_dir() {
                continue;
            }
            if let Some(bytes) = disk::read_if_there(&self.folder("objects").join(&name).join(RECORD))?
                && let Ok(record) = Record::from_bytes(&bytes)
            {
                records.push(record);
            }
        }
        records.sort_by_key(|record| record.key);
        Ok(records)
    }

    /// Starts an artifact. What an earlier attempt left in `tmp` is removed: whoever holds the lease is alone.
    pub fn begin(&self, lease: &Lease, fingerprint: Fingerprint) -> Result<Draft> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let key = fingerprint.key();
        debug_assert_eq!(key, lease.key());
        let prefix = key.to_string();
        for name in disk::names(&self.folder("tmp"))? {
            if name.starts_with(&prefix) {
                disk::remove_dir(&self.folder("tmp").join(name))?;
            }
        }
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = self.folder("tmp").join(format!("{key}-{}-{count}", std::process::id()));
        disk::create_dir(&dir)?;
        Ok(Draft { key, fingerprint, dir })
    }

    /// Makes a draft an artifact: sync, rename, record.
    pub fn publish(&self, _lease: &Lease, draft: Draft, finish: Finish) -> Result<Artifact> {
        let Draft { key, fingerprint, dir } = draft;
        disk::write_synced(&dir.join(FINGERPRINT), fingerprint.text().as_bytes())?;
        let mut files = BTreeMap::new();
        for name in disk::files(&dir)? {
            let (digest, bytes) = disk::digest(&dir.join(&name))?;
            files.insert(name, FileRecord { digest, bytes });
        }
        let record = Record {
            format: FORMAT,
            key,
            kind: fingerprint.kind,
            inputs: finish.inputs,
            files,
            ending: finish.ending,
            seconds: finish.seconds,
            started: finish.started,
            finished: disk::now(),
            provenance: finish.provenance,
            labels: finish.labels,
            seal: None,
        };
        fault::point("after-temp-write");
        disk::sync_tree(&dir)?;
        let home = self.object(&record.kind, &key);
        // An entry without a record is what a crash between rename and record leaves.
        self.discard(&home)?;
        fault::point("before-rename");
        disk::rename(&dir, &home)?;
        disk::sync_dir(&self.folder("objects"))?;
        fault::point("after-rename");
        fault::point("before-record");
        disk::write_atomic(&home.join(RECORD), &record.to_bytes())?;
        fault::point("after-record");
        self.verified.lock().expect("no panic under this lock").insert(key);
        Ok(Artifact { dir: home, record })
    }

    /// Throws a draft away.
    pub fn abandon(&self, draft: Draft) -> Result<()> {
        Ok(disk::remove_dir(&draft.dir)?)
    }

    /// Takes a directory out of sight in one step, then removes it. One that is not there is fine.
    pub(super) fn discard(&self, dir: &Path) -> Result<()> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        if !dir.exists() {
            return Ok(());
        }
        disk::create_dir(&self.folder("tmp"))?;
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let trash = self.folder("tmp").join(format!("trash-{}-{count}", std::process::id()));
        disk::remove_dir(&trash)?;
        disk::rename(dir, &trash)?;
        // What is inside must not go before the name does.
        dir.parent().map_or(Ok(()), disk::sync_dir)?;
        fault::point("mid-discard");
        Ok(disk::remove_dir(&trash)?)
    }

    /// Moves a damaged entry aside and notes why, so that it can be looked at and is never read again.
    /// Returns where it is now.
    pub fn quarantine(&self, lease: &Lease, reason: &str) -> Result<PathBuf> {
        let key = lease.key();
        self.verified.lock().expect("no panic under this lock").remove(&key);
        let quarantine = self.folder("quarantine");
        let Some(dir) = self.find(&key) else { return Ok(quarantine) };
        disk::create_lasting_dir(&quarantine)?;
        let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let free = |n: &usize| !quarantine.join(format!("{name}.{n}")).exists();
        let name = (0..).find(free).map(|n| format!("{name}.{n}")).expect("numbers do not end");
        disk::rename(&dir, &quarantine.join(&name))?;
        disk::sync_dir(&quarantine)?;
        disk::sync_dir(&self.folder("objects"))?;
        fault::point("mid-quarantine");
        disk::write_note(&quarantine.join(format!("{name}.txt")), format!("{reason}\n").as_bytes())?;
        Ok(quarantine.join(&name))
    }
}

/// The key in the name of an entry; none if it is not the name of one.
pub(super) fn key_of(name: &str) -> Option<Key> {
    name.rsplit_once('-')?.1.parse().ok()
}

/// Compares a directory with its record.
pub(super) fn inspect(dir: &Path, key: &Key, check: Check) -> Result<Presence> {
    let Some(bytes) = disk::read_if_there(&dir.join(RECORD))? else { return Ok(Presence::Absent) };
    let record = match Record::from_bytes(&bytes) {
        Ok(record) => record,
        Err(reason) => return Ok(Presence::Damaged(reason)),
    };
    let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if record.key != *key || name != format!("{}-{key}", record.kind) {
        return Ok(Presence::Damaged("its record is that of another artifact".to_string()));
    }
    if !record.files.contains_key(FINGERPRINT) {
        return Ok(Presence::Damaged("its record names no fingerprint".to_string()));
    }
    for (name, file) in &record.files {
        let path = dir.join(name);
        let bytes = match std::fs::symlink_metadata(&path) {
            Ok(data) if data.is_file() => data.len(),
            _ => return Ok(Presence::Damaged(format!("its file `{name}` is missing"))),
        };
        if bytes != file.bytes {
            return Ok(Presence::Damaged(format!("its file `{name}` has {bytes} bytes instead of {}", file.bytes)));
        }
        if check == Check::Bytes && disk::digest(&path)?.0 != file.digest {
            return Ok(Presence::Damaged(format!("the bytes of its file `{name}` have changed")));
        }
    }
    if check == Check::Bytes && record.files[FINGERPRINT].digest != *key {
        return Ok(Presence::Damaged("its fingerprint is not that of its key".to_string()));
    }
    Ok(Presence::Present(Box::new(record)))
}
