//! Questions for RL and evaluation: from the generated world or, later, from data sets.

use crate::data::world::WorldProblem;
use crate::data::{Tokenizer, world};
use crate::exec::StageError;
use crate::recipe::eval::Items;
use crate::recipe::rl::Prompts;
use crate::recipe::{EvalProtocol, ProblemSet, RlRecipe, World};
use crate::task::Problem;

/// The prompts of one rollout step. Arms share them under equal seeds; steps and seeds never share an address.
pub fn of_step(recipe: &RlRecipe, step: u64) -> Result<Vec<Problem>, StageError> {
    let count = recipe.prompts_per_step as u64;
    let first = (recipe.seed.0 << 32) + step * count;
    match &recipe.prompts {
        Prompts::World(set) => {
            world::check_set(set)?;
            Ok((first..first + count).map(|index| problem(set, index, world::problem(set, index))).collect())
        }
        Prompts::Dataset { .. } => Err(no_data_sets()),
    }
}

fn problem(set: &ProblemSet, index: u64, problem: WorldProblem) -> Problem {
    Problem { id: format!("{}:{index}", set.stream), question: problem.question, gold: problem.answer }
}

/// Every benchmark of a protocol with its items.
pub fn of_protocol(protocol: &EvalProtocol) -> Result<Vec<(String, Vec<Problem>)>, StageError> {
    protocol
        .benchmarks
        .iter()
        .map(|benchmark| match &benchmark.items {
            Items::World { problems: set, count } => {
                world::check_set(set)?;
                let drawn = world::problems(set, *count).into_iter().enumerate();
                Ok((benchmark.name.clone(), drawn.map(|(index, drawn)| problem(set, index as u64, drawn)).collect()))
            }
            Items::Dataset { .. } => Err(no_data_sets()),
        })
        .collect()
}

/// The tokenizer of the world that a protocol asks about.
pub fn tokenizer(protocol: &EvalProtocol) -> Result<Tokenizer, StageError> {
    let worlds: Vec<&World> = protocol
        .benchmarks
        .iter()
        .filter_map(|benchmark| match &benchmark.items {
            Items::World { problems, .. } => Some(&problems.world),
            Items::Dataset { .. } => None,
        })
        .collect();
    worlds.first().map(|world| world::tokenizer(world)).ok_or_else(no_data_sets)
}

fn no_data_sets() -> StageError {
    StageError::new("benchmarks and prompts from data sets can't be run by this build; use a lab of the maths world")
}
