//! The only room where ledger and bench meet: one file per stage kind.
//!
//! A stage opens its inputs from the store, calls the bench, and writes an artifact. It knows about interruption, step
//! checkpoints and progress, which the bench does not; it knows nothing about arms, axes or claims.
//!
//! The loops are written out here, top to bottom: resume, then {evaluate if due; save if due; done?; step}.

mod checkpoint;
mod contamination;
mod corpus;
mod curve;
mod eval;
mod growing;
pub mod model;
mod pace;
mod problems;
mod rl;
mod saved;
mod train;

use crate::exec::{Bench, Outcome, StageContext, StageError};
use crate::recipe::Recipe;

/// Real training on this machine.
pub struct LocalBench;

impl Bench for LocalBench {
    fn run(&self, recipe: &Recipe, context: &StageContext) -> Result<Outcome, StageError> {
        match recipe {
            Recipe::Corpus(recipe) => corpus::run(recipe, context),
            Recipe::Checkpoint(recipe) => checkpoint::run(recipe, context),
            Recipe::Contamination(recipe) => contamination::run(recipe, context),
            Recipe::Train(recipe) => train::run(recipe, context),
            Recipe::Rl(recipe) => rl::run(recipe, context),
            Recipe::Eval(recipe) => eval::run(recipe, context),
        }
    }
}
