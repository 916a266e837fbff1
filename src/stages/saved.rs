//! Step checkpoints inside a stage's scratch folder: what an interrupted stage goes on from.
//!
//! A state is written into a new folder, sealed with the digest of its files, synced and renamed; the one before is removed
//! only then. A folder whose seal does not match is not a state: it is set aside and said so, and the stage goes on from
//! the state before it or from the start. Since a step is a pure function of the state before it, either gives the same bytes.

use crate::cache::disk;
use crate::exec::{StageContext, StageError};
use crate::fault;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

const SEAL: &str = "sha256";
const STATE: &str = "step-";
const DAMAGED: &str = "damaged-";

/// Writes a state through `write` and makes it the one to resume from.
pub fn save(
    context: &StageContext,
    step: u64,
    write: impl FnOnce(&Path) -> Result<(), StageError>,
) -> Result<(), StageError> {
    let scratch = context.scratch();
    let place = scratch.join(format!("{STATE}{step:010}"));
    if !is_whole(&place) {
        let fresh = scratch.join("saving.tmp");
        disk::remove_dir(&fresh)?;
        disk::create_dir(&fresh)?;
        write(&fresh)?;
        disk::write_synced(&fresh.join(SEAL), digest(&fresh)?.as_bytes())?;
        disk::sync_tree(&fresh)?;
        fault::point("mid-save");
        disk::remove_dir(&place)?;
        disk::rename(&fresh, &place)?;
        disk::sync_dir(scratch)?;
    }
    fault::point("after-save");
    for older in states(scratch)? {
        if older != place {
            disk::remove_dir(&older)?;
        }
    }
    context.saved(step);
    Ok(())
}

/// The latest whole state, if there is one. Damaged ones are set aside, and the context is told.
pub fn latest(context: &StageContext) -> Result<Option<PathBuf>, StageError> {
    for state in states(context.scratch())?.into_iter().rev() {
        if is_whole(&state) {
            return Ok(Some(state));
        }
        let name = state.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let aside = state.with_file_name(format!("{DAMAGED}{name}"));
        disk::remove_dir(&aside)?;
        disk::rename(&state, &aside)?;
        context.warn(&format!("its saved state {name} is damaged and set aside; those steps are done again"));
    }
    Ok(None)
}

fn is_whole(state: &Path) -> bool {
    let sealed = disk::read(&state.join(SEAL)).ok();
    sealed.is_some() && sealed == digest(state).ok().map(String::into_bytes)
}

fn states(scratch: &Path) -> Result<Vec<PathBuf>, StageError> {
    let names = disk::names(scratch)?;
    Ok(names.iter().filter(|name| name.starts_with(STATE)).map(|name| scratch.join(name)).collect())
}

fn digest(folder: &Path) -> Result<String, StageError> {
    let mut hash = Sha256::new();
    for name in disk::files(folder)?.iter().filter(|name| *name != SEAL) {
        hash.update(name.as_bytes());
        hash.update([0]);
        hash.update(disk::digest(&folder.join(name))?.0.to_string());
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::sync::Mutex;

    #[test]
    fn any_damaged_byte_of_a_state_is_found_set_aside_and_told() {
        // In memory where the system offers that: hundreds of states are synced here.
        let memory = Path::new("/dev/shm");
        let scratch = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
        let told = Mutex::new(Vec::new());
        let context = StageContext::new(scratch.path(), scratch.path(), 1).with_listener(|news| {
            if let crate::exec::bench::Told::Warning { text } = news {
                told.lock().unwrap().push(text.to_string());
            }
        });
        let save =
            |step, text: &str| save(&context, step, |folder| Ok(fs::write(folder.join("state"), text)?)).unwrap();
        let latest = || latest(&context).unwrap();
        assert_eq!(latest(), None);
        save(9, "nine");
        let nine = latest().unwrap();
        assert!(nine.ends_with("step-0000000009"));
        save(10, "ten");
        let ten = latest().unwrap();
        assert!(ten.ends_with("step-0000000010") && !nine.exists());
        assert!(told.lock().unwrap().is_empty());

        let mut cases = 0;
        for file in ["state", SEAL] {
            let whole = fs::read(ten.join(file)).unwrap();
            for at in 0..whole.len() {
                for damage in ["flip", "cut"] {
                    let mut bytes = whole.clone();
                    match damage {
                        "flip" => bytes[at] ^= 1,
                        _ => bytes.truncate(at),
                    }
                    fs::write(ten.join(file), bytes).unwrap();
                    assert_eq!(latest(), None, "{damage} at {at} of {file}");
                    save(10, "ten");
                    assert_eq!(latest(), Some(ten.clone()));
                    cases += 1;
                }
            }
        }
        let told = told.lock().unwrap();
        assert_eq!(told.len(), cases);
        assert!(told[0].contains("step-0000000010 is damaged and set aside"), "{}", told[0]);
        assert!(scratch.path().join("damaged-step-0000000010").exists());
    }
}
