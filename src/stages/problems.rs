//! Questions for RL and evaluation: from the generated world or, later, from data sets.

use crate::data::{Tokenizer, world};
use crate::exec::StageError;
use crate::recipe::eval::Items;
use crate::recipe::rl::Prompts;
use crate::recipe::{EvalProtocol, ProblemSet, World};
use crate::task::Problem;

/// Problems `first..first + count` of a set.
fn draw(set: &ProblemSet, first: u64, count: usize) -> Vec<Problem> {
    (first..first + count as u64)
        .map(|index| {
            let problem = world::problem(set, index);
            Problem { id: format!("{}:{index}", set.stream), question: problem.question, gold: problem.answer }
        })
        .collect()
}

/// The prompts of one rollout step. Steps never repeat a problem's index, so the prompts are a function of the step alone.
pub fn of_step(prompts: &Prompts, step: u64, count: usize) -> Result<Vec<Problem>, StageError> {
    match prompts {
        Prompts::World(set) => Ok(draw(set, step * count as u64, count)),
        Prompts::Dataset { .. } => Err(no_data_sets()),
    }
}

/// Every benchmark of a protocol with its items.
pub fn of_protocol(protocol: &EvalProtocol) -> Result<Vec<(String, Vec<Problem>)>, StageError> {
    protocol
        .benchmarks
        .iter()
        .map(|benchmark| match &benchmark.items {
            Items::World { problems, count } => Ok((benchmark.name.clone(), draw(problems, 0, *count))),
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
    StageError::other("benchmarks and prompts from data sets can't be run by this build; use a lab of the maths world")
}
