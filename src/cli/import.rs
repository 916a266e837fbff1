//! `ablate import`: results made elsewhere become result files like our own, marked as imported.

use super::args::ImportWandbArgs;
use super::failure::Failure;
use super::folder;
use crate::cache::disk;
use crate::exec::{import, results};
use std::collections::BTreeMap;

/// The lab's name under which imported results lie.
pub const LAB: &str = crate::spec::lab::IMPORTED;

pub fn wandb(args: &ImportWandbArgs) -> Result<(), Failure> {
    let name = &args.experiment;
    if name.is_empty() || name.starts_with('.') || name.contains(['/', '\\']) {
        return Err(Failure::usage(format!("--experiment `{name}` can't name a folder")));
    }
    let read = import::wandb(&args.paths, &BTreeMap::new()).map_err(Failure::usage)?;
    let folder = args.results.join(name).join(LAB);
    folder::usable(&folder, "--results")?;
    disk::create_dir(&folder)?;
    let trials = results::trials_text(&read.results.trials);
    disk::write_atomic(&folder.join("curves.csv"), results::curves_text(&read.results.curves).as_bytes())?;
    disk::write_atomic(&folder.join("trials.jsonl"), trials.as_bytes())?;
    for note in &read.notes {
        tell!("{note}");
    }
    tell!("{} runs, {} points in {}", read.results.trials.len(), read.results.curves.len(), folder.display());
    tell!("next: ablate report --results {}", args.results.display());
    Ok(())
}
