//! Equal keys are a promise of equal bytes; this is the evidence. Finished stages are made again beside the store, from the
//! hashed text that lies next to each artifact, and their files compared with the records. The store is not changed.

use super::bench::{Bench, Outcome, StageContext};
use crate::cache::{CacheError, Record, Store, disk};
use crate::recipe::{Backend, Kind, Recipe};
use std::collections::BTreeSet;

/// One stage made again.
#[derive(Debug, Clone, PartialEq)]
pub struct Recomputed {
    /// Its kind, and the first trial that asked for it.
    pub stage: String,
    /// What differs from the record; empty if every byte is the same.
    pub differences: Vec<String>,
}

/// Makes up to `count` stages again whose inputs are in the store, chosen by key and so without favour. Checkpoints are
/// left out, since where they came from is no longer known, and what a GPU made, since only CPUs promise their bytes.
pub fn recompute(store: &Store, bench: &dyn Bench, count: usize) -> Result<Vec<Recomputed>, CacheError> {
    let _in_use = store.in_use()?;
    let mut records = store.records()?;
    records.sort_by_key(|record| record.key);
    let there: BTreeSet<_> = records.iter().map(|record| record.key).collect();
    let possible = |record: &&Record| {
        let backend = store.fingerprint(&record.key).map_or(Backend::Cpu, |fingerprint| fingerprint.backend);
        let promised = record.kind != Kind::Checkpoint.name() && backend == Backend::Cpu;
        promised && record.inputs.iter().all(|input| there.contains(input))
    };
    records.iter().filter(possible).take(count).map(|record| again(store, bench, record)).collect()
}

fn again(store: &Store, bench: &dyn Bench, record: &Record) -> Result<Recomputed, CacheError> {
    let label = record.labels.first();
    let who = label.map_or(String::new(), |label| format!(": {} of {} seed {}", label.stage, label.arm, label.seed));
    let stage = format!("{} {}{who}", record.kind, record.key.short());
    let recipe = store.fingerprint(&record.key).and_then(|fingerprint| Recipe::from_fingerprint(&fingerprint));
    let Some(recipe) = recipe else {
        let differences = vec!["its hashed text is no recipe of this version".to_string()];
        return Ok(Recomputed { stage, differences });
    };
    let dir = store.root().join("tmp").join(format!("again-{}-{}", record.key, std::process::id()));
    let (out, scratch) = (dir.join("out"), dir.join("scratch"));
    disk::remove_dir(&dir)?;
    disk::create_dir(&out)?;
    disk::create_dir(&scratch)?;
    let mut context = StageContext::new(&out, &scratch, 1);
    for input in &record.inputs {
        context = context.with_input(*input, &store.open(input)?.dir);
    }
    let mut differences = vec![];
    match bench.run(&recipe, &context) {
        Ok(Outcome::Finished | Outcome::Diverged { .. }) => {
            let made = disk::files(&out)?;
            for name in &made {
                match record.files.get(name) {
                    Some(file) if file.digest == disk::digest(&out.join(name))?.0 => {}
                    Some(_) => differences.push(format!("`{name}` has other bytes")),
                    None => differences.push(format!("`{name}` is new")),
                }
            }
            let ours = |name: &&String| name.as_str() != "fingerprint.json" && !made.contains(name);
            differences.extend(record.files.keys().filter(ours).map(|name| format!("`{name}` is missing")));
        }
        Ok(Outcome::Interrupted) => differences.push("it stopped without being asked to".to_string()),
        Err(error) => differences.push(format!("it failed: {error}")),
    }
    disk::remove_dir(&dir)?;
    Ok(Recomputed { stage, differences })
}
