//! Dropping what nothing refers to.
//!
//! An entry goes whole, record and files in one rename, so a killed `gc` leaves a store that is merely less clean.

use super::disk;
use super::store::{Result, Store, key_of};
use crate::fault;
use crate::recipe::Key;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// Something that may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Garbage {
    /// Relative to the store.
    pub path: PathBuf,
    pub bytes: u64,
    pub why: &'static str,
}

/// What may go if `needed` and all that it was made from must stay. Changes nothing.
pub fn garbage(store: &Store, needed: &BTreeSet<Key>) -> Result<Vec<Garbage>> {
    let needed = with_inputs(store, needed)?;
    let finished: BTreeSet<Key> = store.records()?.into_iter().map(|record| record.key).collect();
    let mut found = vec![];
    let mut add = |folder: &str, name: &str, why| -> Result<()> {
        let path = PathBuf::from(folder).join(name);
        let whole = store.root().join(&path);
        let bytes = if whole.is_dir() { disk::size(&whole)? } else { whole.metadata().map_or(0, |data| data.len()) };
        found.push(Garbage { path, bytes, why });
        Ok(())
    };
    for name in disk::names(&store.folder("objects"))? {
        match key_of(&name) {
            Some(key) if !finished.contains(&key) => {
                add("objects", &name, "it was never finished, or its record is damaged")?
            }
            Some(key) if needed.contains(&key) => {}
            _ => add("objects", &name, "no experiment refers to it")?,
        }
    }
    for name in disk::names(&store.folder("scratch"))? {
        let key = name.strip_suffix(".json").unwrap_or(&name).parse::<Key>().ok();
        match key {
            Some(key) if finished.contains(&key) => add("scratch", &name, "its stage has finished")?,
            Some(key) if needed.contains(&key) => {}
            _ => add("scratch", &name, "no experiment refers to it")?,
        }
    }
    for name in disk::names(&store.folder("tmp"))? {
        add("tmp", &name, "left by an interrupted run")?;
    }
    for name in disk::names(&store.folder("quarantine"))? {
        add("quarantine", &name, "it was damaged and has been set aside")?;
    }
    Ok(found)
}

/// The given keys and everything that their records say they were made from.
fn with_inputs(store: &Store, needed: &BTreeSet<Key>) -> Result<BTreeSet<Key>> {
    let inputs: BTreeMap<Key, Vec<Key>> =
        store.records()?.into_iter().map(|record| (record.key, record.inputs)).collect();
    let mut all = needed.clone();
    let mut open: Vec<Key> = needed.iter().copied().collect();
    while let Some(key) = open.pop() {
        for input in inputs.get(&key).into_iter().flatten() {
            if all.insert(*input) {
                open.push(*input);
            }
        }
    }
    Ok(all)
}

/// Drops it, and returns what went. Refuses while a runner works in the store.
pub fn collect(store: &Store, needed: &BTreeSet<Key>) -> Result<Vec<Garbage>> {
    if !store.root().is_dir() {
        return Ok(vec![]);
    }
    let _alone = store.alone()?;
    let found = garbage(store, needed)?;
    for item in &found {
        fault::point("during-gc");
        let path = store.root().join(&item.path);
        match path.is_dir() {
            true if item.path.starts_with("objects") => store.discard(&path)?,
            true => disk::remove_dir(&path)?,
            false => disk::remove_file(&path)?,
        }
    }
    for name in disk::names(&store.folder("leases"))? {
        disk::remove_file(&store.folder("leases").join(name))?;
    }
    Ok(found)
}
