//! What the ledger does to the disk, noted operation by operation: in this crate's own tests alone.
//!
//! A test that starts a [`Recording`] of a folder gets everything that [`super::disk`] does under it, on any thread, in
//! order. From that the power-cut tests build what a disk might hold if the power went after any of these operations.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// One operation. Paths are absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    CreateDir(PathBuf),
    Write(PathBuf, Vec<u8>),
    /// With the bytes at that moment: the file may have been written by someone else.
    Sync(PathBuf, Vec<u8>),
    SyncDir(PathBuf),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
    RemoveDir(PathBuf),
}

impl Operation {
    /// The path whose content or name is new afterwards.
    fn path(&self) -> &Path {
        match self {
            Operation::CreateDir(path)
            | Operation::Write(path, _)
            | Operation::Sync(path, _)
            | Operation::SyncDir(path)
            | Operation::Rename(_, path)
            | Operation::Remove(path)
            | Operation::RemoveDir(path) => path,
        }
    }
}

type Log = Arc<Mutex<Vec<Operation>>>;

static RECORDINGS: Mutex<Vec<(PathBuf, Log)>> = Mutex::new(Vec::new());

/// Notes everything under a folder until dropped.
pub struct Recording {
    root: PathBuf,
    log: Log,
}

impl Recording {
    pub fn of(root: &Path) -> Recording {
        let log = Log::default();
        RECORDINGS.lock().unwrap().push((root.to_path_buf(), log.clone()));
        Recording { root: root.to_path_buf(), log }
    }

    /// What happened since the last call.
    pub fn take(&self) -> Vec<Operation> {
        std::mem::take(&mut self.log.lock().unwrap())
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        RECORDINGS.lock().unwrap().retain(|(root, _)| *root != self.root);
    }
}

pub fn note(operation: impl FnOnce() -> Operation, path: &Path) {
    let recordings = RECORDINGS.lock().unwrap();
    let Some((_, log)) = recordings.iter().find(|(root, _)| path.starts_with(root)) else { return };
    let operation = operation();
    debug_assert!(operation.path().is_absolute());
    log.lock().unwrap().push(operation);
}
