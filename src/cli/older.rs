//! Results of another recipe than the one asked for now: since they were made, the experiment file, its lab or the program's
//! stages have changed. They are drawn and compared all the same, and whoever reads them is told.

use super::failure::Failure;
use crate::plan::{TrialPlan, lower};
use crate::recipe::corpus::CorpusRecipe;
use crate::recipe::eval::Items;
use crate::recipe::rl::Prompts;
use crate::recipe::{Backend, Recipe, Seed};
use crate::spec::experiment::Experiment;
use crate::spec::lab::Lab;
use crate::verdict::{Results, Trial};
use std::collections::BTreeSet;

/// Arms with a trial whose stages have other keys than a run would give them now, in the order of the results. Arms that need
/// data from outside are passed over: their keys are known only where the data is.
pub fn older(experiment: &Experiment, lab: &Lab, results: &Results) -> Result<Vec<String>, Failure> {
    let trials: Vec<&Trial> = results.trials.iter().filter(|trial| !trial.imported).collect();
    let seeds: BTreeSet<u64> = trials.iter().map(|trial| trial.seed).collect();
    let seeds: Vec<Seed> = seeds.into_iter().map(Seed).collect();
    let mut left = trials;
    // What they were computed on stands in no results file.
    for backend in [Backend::Cpu, Backend::Cuda, Backend::Metal] {
        if left.is_empty() {
            break;
        }
        let plans = lower(experiment, lab, &seeds, backend).map_err(Failure::usage)?;
        left.retain(|trial| {
            let plan = plans.iter().find(|plan| plan.arm == trial.arm && plan.seed.0 == trial.seed);
            plan.is_some_and(|plan| !needs_outside(plan) && !trial.is_of(plan))
        });
    }
    let mut arms: Vec<String> = left.into_iter().map(|trial| trial.arm.clone()).collect();
    arms.dedup();
    Ok(arms)
}

/// What to say of such arms; nothing where there are none.
pub fn in_words(arms: &[String]) -> Option<String> {
    if arms.is_empty() {
        return None;
    }
    Some(format!(
        "Made by another recipe than the experiment file, the lab and this version of the program give now: {}. \
         `ablate explain` says what has changed, and `ablate run` makes them anew.",
        arms.join(", ")
    ))
}

fn needs_outside(plan: &TrialPlan) -> bool {
    plan.stages.iter().any(|stage| match &*stage.recipe {
        Recipe::Checkpoint(_) | Recipe::Corpus(CorpusRecipe::Text(_)) | Recipe::Contamination(_) => true,
        Recipe::Rl(rl) => matches!(rl.prompts, Prompts::Dataset { .. }),
        Recipe::Eval(eval) => {
            eval.protocol.benchmarks.iter().any(|benchmark| matches!(benchmark.items, Items::Dataset { .. }))
        }
        Recipe::Corpus(_) | Recipe::Train(_) => false,
    })
}
