//! Equal keys are a promise of equal bytes; this is the evidence. Finished stages are made again beside the store, and
//! their files compared with the records. The store is not changed.

use super::bench::{Bench, Outcome, StageContext};
use super::event::StageName;
use super::prepare::{Prepared, Setup};
use crate::cache::{CacheError, disk};

/// One stage made again.
#[derive(Debug, Clone, PartialEq)]
pub struct Recomputed {
    pub stage: StageName,
    /// What differs from the record; empty if every byte is the same.
    pub differences: Vec<String>,
}

/// Makes up to `count` stages again whose artifact and inputs are in the store, chosen by key and so without favour.
pub fn recompute(
    setup: &Setup,
    prepared: &Prepared,
    bench: &dyn Bench,
    count: usize,
) -> Result<Vec<Recomputed>, CacheError> {
    let _in_use = setup.store.in_use()?;
    let mut nodes: Vec<usize> =
        (0..prepared.graph.nodes.len()).filter(|node| prepared.states[*node].ending.is_some()).collect();
    nodes.sort_by_key(|node| prepared.graph.nodes[*node].key);
    let with_inputs =
        |node: &usize| prepared.graph.nodes[*node].inputs.iter().all(|input| prepared.states[*input].ending.is_some());
    nodes.into_iter().filter(with_inputs).take(count).map(|node| again(setup, prepared, bench, node)).collect()
}

fn again(setup: &Setup, prepared: &Prepared, bench: &dyn Bench, node: usize) -> Result<Recomputed, CacheError> {
    let stage = &prepared.graph.nodes[node];
    let record = setup.store.open(&stage.key)?.record;
    let dir = setup.store.root().join("tmp").join(format!("again-{}-{}", stage.key, std::process::id()));
    let (out, scratch) = (dir.join("out"), dir.join("scratch"));
    disk::remove_dir(&dir)?;
    disk::create_dir(&out)?;
    disk::create_dir(&scratch)?;
    let mut ctx = StageContext::new(&out, &scratch, setup.threads).with_sources(&setup.sources);
    for input in &stage.inputs {
        let key = prepared.graph.nodes[*input].key;
        ctx = ctx.with_input(key, &setup.store.open(&key)?.dir);
    }
    let mut differences = vec![];
    match bench.run(&stage.recipe, &ctx) {
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
    drop(ctx);
    disk::remove_dir(&dir)?;
    Ok(Recomputed { stage: prepared.name(node), differences })
}
