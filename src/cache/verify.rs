//! Checking every stored byte, and saying what is there.

use super::disk;
use super::lease::Holder;
use super::store::{Check, Presence, RECORD, Result, Store, inspect, key_of};
use crate::recipe::Key;
use std::collections::{BTreeMap, BTreeSet};

/// Something in the store that differs from its record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The directory's name under `objects/`.
    pub entry: String,
    pub problem: String,
}

/// What [`verify`] saw.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verification {
    pub entries: usize,
    pub bytes: u64,
    pub findings: Vec<Finding>,
}

/// Reads every byte of every finished entry. Changes nothing. Entries without a record were never finished and are no finding.
pub fn verify(store: &Store) -> Result<Verification> {
    let objects = store.folder("objects");
    let mut seen = Verification::default();
    for entry in disk::names(&objects)? {
        let dir = objects.join(&entry);
        let Some(key) = key_of(&entry) else {
            let problem = "its name is not that of an artifact; `ablate gc` drops it".to_string();
            seen.findings.push(Finding { entry, problem });
            continue;
        };
        match inspect(&dir, &key, Check::Bytes)? {
            Presence::Absent => {}
            Presence::Damaged(problem) => {
                seen.entries += 1;
                seen.findings.push(Finding { entry, problem });
            }
            Presence::Present(record) => {
                seen.entries += 1;
                seen.bytes += record.bytes();
                let known: BTreeSet<&str> = record.files.keys().map(String::as_str).chain([RECORD]).collect();
                for file in disk::files(&dir)?.iter().filter(|file| !known.contains(file.as_str())) {
                    let problem = format!("its file `{file}` is not in its record");
                    seen.findings.push(Finding { entry: entry.clone(), problem });
                }
            }
        }
    }
    Ok(seen)
}

/// The store at a glance.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Overview {
    /// Kind to number of finished artifacts and their bytes.
    pub finished: BTreeMap<String, (usize, u64)>,
    /// What is being made now, and by whom as far as known.
    pub running: Vec<(Key, Option<Holder>)>,
    /// Interrupted stages that can be resumed, with their step.
    pub resumable: Vec<(Key, u64)>,
    pub quarantined: usize,
    /// Bytes left on the disk; `None` where the system does not say.
    pub free: Option<u64>,
}

/// Counts what is there, without reading artifacts.
pub fn overview(store: &Store) -> Result<Overview> {
    let mut seen = Overview { running: store.leases()?, free: disk::free(store.root()), ..Overview::default() };
    for record in store.records()? {
        let bytes = record.bytes();
        let entry = seen.finished.entry(record.kind).or_default();
        *entry = (entry.0 + 1, entry.1 + bytes);
    }
    let running: BTreeSet<Key> = seen.running.iter().map(|(key, _)| *key).collect();
    for name in disk::names(&store.folder("scratch"))? {
        if let Ok(key) = name.parse::<Key>()
            && !running.contains(&key)
            && let Some(noted) = store.noted(&key)
        {
            seen.resumable.push((key, noted.step));
        }
    }
    seen.quarantined = disk::names(&store.folder("quarantine"))?.iter().filter(|name| !name.ends_with(".txt")).count();
    Ok(seen)
}
