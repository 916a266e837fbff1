//! Step checkpoints inside a stage's scratch folder: what an interrupted stage goes on from.
//!
//! A state is written into a new folder, sealed with the digest of its files, and renamed; the one before is removed
//! only then. A folder whose seal does not match is not a state, so a crash in the middle of saving costs the steps since
//! the state before it and nothing else.

use crate::exec::StageError;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

const SEAL: &str = "sha256";

/// Writes a state through `write` and makes it the one to resume from.
pub fn save(scratch: &Path, step: u64, write: impl FnOnce(&Path) -> Result<(), StageError>) -> Result<(), StageError> {
    let fresh = scratch.join("saving.tmp");
    if fresh.exists() {
        fs::remove_dir_all(&fresh).map_err(StageError::other)?;
    }
    fs::create_dir_all(&fresh).map_err(StageError::other)?;
    write(&fresh)?;
    let seal = digest(&fresh).map_err(StageError::other)?;
    fs::write(fresh.join(SEAL), seal).map_err(StageError::other)?;
    for file in files(&fresh).map_err(StageError::other)? {
        File::open(file).and_then(|file| file.sync_all()).map_err(StageError::other)?;
    }
    let place = scratch.join(format!("step-{step:010}"));
    if place.exists() {
        fs::remove_dir_all(&place).map_err(StageError::other)?;
    }
    fs::rename(&fresh, &place).map_err(StageError::other)?;
    File::open(scratch).and_then(|folder| folder.sync_all()).map_err(StageError::other)?;
    for older in states(scratch).map_err(StageError::other)? {
        if older != place {
            fs::remove_dir_all(older).map_err(StageError::other)?;
        }
    }
    Ok(())
}

/// The latest whole state, if there is one.
pub fn latest(scratch: &Path) -> Option<PathBuf> {
    states(scratch).ok()?.into_iter().rev().find(|state| {
        let sealed = fs::read_to_string(state.join(SEAL)).ok();
        sealed.is_some() && sealed == digest(state).ok()
    })
}

fn states(scratch: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(scratch)? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("step-")) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in walkdir::WalkDir::new(folder).sort_by_file_name() {
        let entry = entry?;
        if entry.file_type().is_file() {
            found.push(entry.into_path());
        }
    }
    Ok(found)
}

fn digest(folder: &Path) -> io::Result<String> {
    let mut hash = Sha256::new();
    for file in files(folder)? {
        let name = file.strip_prefix(folder).expect("walked from the folder").to_string_lossy().into_owned();
        if name != SEAL {
            hash.update(name.as_bytes());
            hash.update([0]);
            hash.update(Sha256::digest(fs::read(&file)?));
        }
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_state_is_not_resumed_from_and_an_older_one_is() {
        let scratch = tempfile::tempdir().unwrap();
        assert_eq!(latest(scratch.path()), None);
        let write =
            |text: &'static str| move |folder: &Path| fs::write(folder.join("state"), text).map_err(StageError::other);
        save(scratch.path(), 9, write("nine")).unwrap();
        let nine = latest(scratch.path()).unwrap();
        assert!(nine.ends_with("step-0000000009"));
        save(scratch.path(), 10, write("ten")).unwrap();
        let ten = latest(scratch.path()).unwrap();
        assert!(ten.ends_with("step-0000000010") && !nine.exists());
        fs::write(ten.join("state"), "tex").unwrap();
        assert_eq!(latest(scratch.path()), None);
    }
}
