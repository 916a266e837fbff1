//! `ablate status`, `ablate verify` and `ablate gc`: what lies on disk.

use super::args::{GcArgs, StatusArgs, VerifyArgs};
use super::failure::Failure;
use super::folder;
use crate::cache::{Store, collect, garbage, overview, verify as check};
use crate::exec::results::{self, Outcome};
use crate::plan::cost::bytes;
use crate::recipe::Key;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Every `results/<experiment>/<lab>` that holds trials, sorted. Fails if one cannot be looked into: what cannot be read is
/// not the same as nothing.
pub fn result_folders(results: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut folders = all_folders(results)?;
    folders.retain(|folder| folder.join("trials.jsonl").exists());
    Ok(folders)
}

/// Every `results/<experiment>/<lab>`, links followed: results may lie on another disk.
fn all_folders(results: &Path) -> Result<Vec<PathBuf>, Failure> {
    if !results.exists() {
        return Ok(vec![]);
    }
    let outside_store = |entry: &walkdir::DirEntry| entry.depth() != 1 || entry.file_name() != ".store";
    let walk = walkdir::WalkDir::new(results).follow_links(true).max_depth(2).sort_by_file_name();
    let mut folders = vec![];
    for entry in walk.into_iter().filter_entry(outside_store) {
        let entry = entry.map_err(|error| {
            Failure::usage(format!("failed to look for results: {error}"))
                .hint("make it readable, or mend or remove the link: what lies there may need what is in the store")
        })?;
        if entry.depth() == 2 && entry.file_type().is_dir() {
            // Its files, too, must be there to be looked at.
            std::fs::read_dir(entry.path()).map_err(|error| {
                Failure::usage(format!("failed to look for results in {}: {error}", entry.path().display()))
            })?;
            folders.push(entry.into_path());
        }
    }
    Ok(folders)
}

pub fn status(args: &StatusArgs) -> Result<(), Failure> {
    folder::usable(&args.results.join(".store"), "--results")?;
    let folders = result_folders(&args.results)?;
    if folders.is_empty() {
        show!("no results in {}; start with: ablate run experiments/corpus.yaml", args.results.display());
    } else {
        show!("{:<40} {:>8} {:>8} {:>8}  seeds", "experiment/lab", "finished", "diverged", "failed");
    }
    for folder in folders {
        let trials = results::read(&folder)?.trials;
        let count = |outcome: Outcome| trials.iter().filter(|trial| trial.outcome == outcome).count();
        let seeds: BTreeSet<u64> = trials.iter().map(|trial| trial.seed).collect();
        let name = folder.strip_prefix(&args.results).unwrap_or(&folder).display().to_string();
        show!(
            "{name:<40} {:>8} {:>8} {:>8}  {}",
            count(Outcome::Finished),
            count(Outcome::Diverged),
            count(Outcome::Failed),
            seeds.len()
        );
    }
    let seen = overview(&Store::at(&args.results.join(".store"))?)?;
    show!("\nstore: {}", args.results.join(".store").display());
    for (kind, (count, size)) in &seen.finished {
        show!("  {kind:<12} {count:>6} done  {:>10}", bytes(*size));
    }
    for (key, holder) in &seen.running {
        let by = holder
            .as_ref()
            .map_or(String::new(), |holder| format!(" by {} (pid {}): {}", holder.host, holder.pid, holder.what));
        show!("  {} running{by}", key.short());
    }
    for (key, step) in &seen.resumable {
        show!("  {} interrupted at step {step}; the next run goes on from there", key.short());
    }
    if seen.quarantined > 0 {
        show!("  {} damaged entries set aside; `ablate gc` removes them", seen.quarantined);
    }
    if let Some(free) = seen.free {
        show!("  {} free on this disk", bytes(free));
    }
    Ok(())
}

/// The store beside some results. One that is not there has nothing to verify or to clean: the folder is another.
fn there(results: &Path) -> Result<Store, Failure> {
    let place = results.join(".store");
    folder::usable(&place, "--results")?;
    if !place.is_dir() {
        return Err(Failure::usage(format!("there is no store at {}", place.display()))
            .hint("--results names the folder that `ablate run` wrote to"));
    }
    Ok(Store::at(&place)?)
}

/// What differs in stages that are made again.
#[cfg(feature = "engine")]
fn recomputed(store: &Store, count: usize) -> Result<Vec<String>, Failure> {
    let again = crate::exec::recompute(store, &crate::stages::LocalBench::default(), count)?;
    show!("{} stages made again and compared byte by byte", again.len());
    let differences = again
        .iter()
        .flat_map(|stage| stage.differences.iter().map(move |difference| format!("{}: {difference}", stage.stage)));
    Ok(differences.collect())
}

#[cfg(not(feature = "engine"))]
fn recomputed(_: &Store, _: usize) -> Result<Vec<String>, Failure> {
    Err(Failure::no_engine())
}

pub fn verify(args: &VerifyArgs) -> Result<(), Failure> {
    let store = there(&args.results)?;
    let seen = check(&store)?;
    show!("{} artifacts, {}: every byte read", seen.entries, bytes(seen.bytes));
    let mut wrong: Vec<String> =
        seen.findings.iter().map(|finding| format!("{}: {}", finding.entry, finding.problem)).collect();
    if args.recompute > 0 {
        wrong.extend(recomputed(&store, args.recompute)?);
    }
    if wrong.is_empty() {
        show!("nothing differs");
        return Ok(());
    }
    for line in &wrong {
        show!("{line}");
    }
    Err(Failure::internal(format!("{} of them differ from their records", wrong.len()))
        .hint("the next run sets damaged artifacts aside and makes them again"))
}

pub fn gc(args: &GcArgs) -> Result<(), Failure> {
    let store = there(&args.results)?;
    let mut needed: BTreeSet<Key> = BTreeSet::new();
    let mut unfinished: Vec<(PathBuf, Vec<Key>)> = vec![];
    for folder in all_folders(&args.results)? {
        for trial in results::read(&folder)?.trials {
            needed.extend(trial.stages.iter().filter_map(|(_, key)| key.parse::<Key>().ok()));
        }
        unfinished.push((folder.join(results::UNFINISHED), results::unfinished(&folder)?));
    }
    let there = store.keys()?;
    for (note, keys) in unfinished {
        let kept = keys.iter().filter(|key| there.contains(key) && !needed.contains(key)).count();
        if kept > 0 {
            show!("kept {kept} stages for a run that is not finished; if it never will be, remove {}", note.display());
        }
        needed.extend(keys);
    }
    let (found, verb) = match args.dry_run {
        true => (garbage(&store, &needed)?, "would drop"),
        false => (collect(&store, &needed)?, "dropped"),
    };
    for item in &found {
        show!("{verb} {} ({}): {}", item.path.display(), bytes(item.bytes), item.why);
    }
    let size: u64 = found.iter().map(|item| item.bytes).sum();
    show!("{verb} {} entries, {}", found.len(), bytes(size));
    Ok(())
}
