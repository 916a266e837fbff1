//! Step checkpoints inside a stage's scratch folder: what an interrupted stage goes on from.
//!
//! A state is written into a new folder, sealed with the digest of its files, and renamed; the one before is removed
//! only then. A folder whose seal does not match is not a state, so a crash in the middle of saving costs the steps since
//! the state before it and nothing else.

use crate::exec::{StageContext, StageError};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

const SEAL: &str = "sha256";

/// Writes a state through `write` and makes it the one to resume from.
pub fn save(
    context: &StageContext,
    step: u64,
    write: impl FnOnce(&Path) -> Result<(), StageError>,
) -> Result<(), StageError> {
    let scratch = context.scratch();
    let fresh = scratch.join("saving.tmp");
    if fresh.exists() {
        fs::remove_dir_all(&fresh)?;
    }
    fs::create_dir_all(&fresh)?;
    write(&fresh)?;
    fs::write(fresh.join(SEAL), digest(&fresh)?)?;
    for file in files(&fresh)? {
        File::open(file)?.sync_all()?;
    }
    let place = scratch.join(format!("step-{step:010}"));
    if place.exists() {
        fs::remove_dir_all(&place)?;
    }
    fs::rename(&fresh, &place)?;
    File::open(scratch)?.sync_all()?;
    for older in states(scratch)? {
        if older != place {
            fs::remove_dir_all(older)?;
        }
    }
    context.saved(step);
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
    fn a_damaged_state_is_not_resumed_from() {
        let scratch = tempfile::tempdir().unwrap();
        let context = StageContext::new(scratch.path(), scratch.path(), 1);
        let save =
            |step, text: &str| save(&context, step, |folder| Ok(fs::write(folder.join("state"), text)?)).unwrap();
        assert_eq!(latest(scratch.path()), None);
        save(9, "nine");
        let nine = latest(scratch.path()).unwrap();
        assert!(nine.ends_with("step-0000000009"));
        save(10, "ten");
        let ten = latest(scratch.path()).unwrap();
        assert!(ten.ends_with("step-0000000010") && !nine.exists());
        fs::write(ten.join("state"), "tex").unwrap();
        assert_eq!(latest(scratch.path()), None);
    }
}
