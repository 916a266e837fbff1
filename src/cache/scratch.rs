//! What an unfinished stage keeps for its next attempt.
//!
//! The files in `scratch/<key>/` are the stage's own; the ledger only notes beside them how far it got and how long that
//! took, so that a plan can say "resumes at step 40" and a record can tell the whole cost. The key is the stage's, so a
//! changed recipe never resumes from another recipe's steps.

use super::disk;
use super::store::{Result, Store};
use crate::recipe::Key;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// How far an unfinished stage is.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Noted {
    /// Steps that a next attempt need not do again, as far as the stage told.
    pub step: u64,
    /// Seconds spent by attempts that were noted.
    pub seconds: f64,
}

impl Store {
    /// The scratch directory of a stage, which may not be there yet.
    pub fn scratch(&self, key: &Key) -> PathBuf {
        self.folder("scratch").join(key.to_string())
    }

    fn scratch_note(&self, key: &Key) -> PathBuf {
        self.folder("scratch").join(format!("{key}.json"))
    }

    /// Notes how far a stage is. Losing the note costs a wrong word in a plan, nothing else; so it is not synced.
    pub fn note_scratch(&self, key: &Key, noted: Noted) -> Result<()> {
        let text = serde_json::to_vec(&noted).expect("plain data");
        Ok(disk::write_note(&self.scratch_note(key), &text)?)
    }

    /// How far an unfinished stage is; `None` if a next attempt starts from nothing.
    pub fn noted(&self, key: &Key) -> Option<Noted> {
        if disk::names(&self.scratch(key)).ok()?.is_empty() {
            return None;
        }
        let note = disk::read(&self.scratch_note(key)).ok();
        Some(note.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default())
    }

    /// Forgets a stage's scratch.
    pub fn clear_scratch(&self, key: &Key) -> Result<()> {
        disk::remove_file(&self.scratch_note(key))?;
        Ok(disk::remove_dir(&self.scratch(key))?)
    }
}
