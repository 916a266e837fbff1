//! Questions for RL and evaluation: from the generated world or from data sets.

use super::checkpoint::changed;
use crate::cache::disk;
use crate::data::world::WorldProblem;
use crate::data::{Tokenizer, world};
use crate::exec::{StageContext, StageError};
use crate::recipe::eval::Items;
use crate::recipe::rl::Prompts;
use crate::recipe::{EvalProtocol, Key, ProblemSet, RlRecipe, World};
use crate::task::{Problem, suite};

/// Where the prompts of a run come from, opened once.
pub enum Pool {
    World(ProblemSet),
    /// Each epoch reads all of them in an order of its own; what does not fill a step is dropped.
    Dataset(Vec<Problem>),
}

impl Pool {
    /// Opens the prompts of a run and leaves out those that are too long; the number left out comes with it.
    pub fn open(recipe: &RlRecipe, tokenizer: &Tokenizer, context: &StageContext) -> Result<(Pool, usize), StageError> {
        let (content, longest) = match &recipe.prompts {
            Prompts::World(set) => {
                world::check_set(set)?;
                return Ok((Pool::World(set.clone()), 0));
            }
            Prompts::Dataset { content, max_prompt_tokens } => (content, max_prompt_tokens.unwrap_or(usize::MAX)),
        };
        let (mut kept, all) = (Vec::new(), dataset(content, context)?);
        let (held, step) = (all.len(), recipe.prompts_per_step);
        for problem in all {
            if tokenizer.prompt(&recipe.template, &problem.question)?.len() <= longest {
                kept.push(problem);
            }
        }
        if kept.len() < step {
            return Err(StageError::new(format!(
                "failed to start RL: {} of {held} questions have prompts of at most {longest} tokens, and a step needs {step}",
                kept.len()
            )));
        }
        let dropped = held - kept.len();
        Ok((Pool::Dataset(kept), dropped))
    }

    /// The prompts of one rollout step. Arms share them under equal seeds; steps and seeds never share an address.
    pub fn of_step(&self, recipe: &RlRecipe, step: u64) -> Vec<Problem> {
        let count = recipe.prompts_per_step as u64;
        match self {
            Pool::World(set) => {
                let first = (recipe.seed.0 << 32) + step * count;
                (first..first + count).map(|index| problem(set, index, world::problem(set, index))).collect()
            }
            Pool::Dataset(problems) => {
                let steps = problems.len() as u64 / count;
                let mut order: Vec<usize> = (0..problems.len()).collect();
                recipe.seed.stream("prompts").at(&[step / steps]).shuffle(&mut order);
                let first = (step % steps * count) as usize;
                order[first..first + count as usize].iter().map(|index| problems[*index].clone()).collect()
            }
        }
    }
}

fn problem(set: &ProblemSet, index: u64, problem: WorldProblem) -> Problem {
    Problem { id: format!("{}:{index}", set.stream), question: problem.question, gold: problem.answer }
}

/// Every benchmark of a protocol with its items.
pub fn of_protocol(protocol: &EvalProtocol, context: &StageContext) -> Result<Vec<(String, Vec<Problem>)>, StageError> {
    protocol
        .benchmarks
        .iter()
        .map(|benchmark| match &benchmark.items {
            Items::World { problems: set, count } => {
                world::check_set(set)?;
                let drawn = world::problems(set, *count).into_iter().enumerate();
                Ok((benchmark.name.clone(), drawn.map(|(index, drawn)| problem(set, index as u64, drawn)).collect()))
            }
            Items::Dataset { content, limit } => {
                let mut items = dataset(content, context)?;
                items.truncate(limit.unwrap_or(usize::MAX));
                Ok((benchmark.name.clone(), items))
            }
        })
        .collect()
}

/// The questions of a file, whose bytes are those that the recipe names.
pub(super) fn dataset(content: &Key, context: &StageContext) -> Result<Vec<Problem>, StageError> {
    let gone = || StageError::new("the lab no longer says where these questions lie");
    let path = context.source(content).ok_or_else(gone)?;
    if Key::of(&disk::read(path)?) != *content {
        return Err(changed(&path.display().to_string()));
    }
    Ok(suite::load_problems(path)?)
}

/// The tokenizer of the world that a protocol asks about.
pub fn world_tokenizer(protocol: &EvalProtocol) -> Result<Tokenizer, StageError> {
    let worlds: Vec<&World> = protocol
        .benchmarks
        .iter()
        .filter_map(|benchmark| match &benchmark.items {
            Items::World { problems, .. } => Some(&problems.world),
            Items::Dataset { .. } => None,
        })
        .collect();
    let none =
        || StageError::new("failed to find a tokenizer: the model has none, and no benchmark is of the maths world");
    worlds.first().map(|world| world::tokenizer(world)).ok_or_else(none)
}
