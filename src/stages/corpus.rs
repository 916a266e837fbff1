//! A corpus becomes token shards.

use super::curve::Curve;
use crate::data::{Shards, world};
use crate::exec::{Outcome, StageContext, StageError};
use crate::recipe::CorpusRecipe;

pub fn run(recipe: &CorpusRecipe, context: &StageContext) -> Result<Outcome, StageError> {
    match recipe {
        CorpusRecipe::World(recipe) => {
            let tokenizer = world::tokenizer(&recipe.world);
            let mut documents = world::documents(recipe)?;
            Shards::write(context.out(), &mut documents, tokenizer.vocab_size(), tokenizer.eos())?;
            let shards = Shards::open(context.out())?;
            let mut curve = Curve::default();
            curve.push("", "tokens", 0, shards.len() as f64);
            curve.push("", "documents", 0, shards.documents() as f64);
            curve.write(context.out())?;
            Ok(Outcome::Finished)
        }
        CorpusRecipe::Text(_) => Err(StageError::new("text corpora are not supported by this build")),
    }
}
