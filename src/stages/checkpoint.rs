//! Weights that exist already become an artifact like any other.

use super::curve::Curve;
use crate::exec::{Outcome, StageContext, StageError};
use crate::model::weights;
use crate::recipe::CheckpointRecipe;

pub fn run(recipe: &CheckpointRecipe, context: &StageContext) -> Result<Outcome, StageError> {
    let Some(source) = context.source(&recipe.content) else {
        return Err(StageError::other("the lab no longer says where this checkpoint lies"));
    };
    let decoder = weights::load(source).map_err(StageError::other)?;
    weights::save(&context.out().join("model"), &decoder).map_err(StageError::other)?;
    let mut curve = Curve::default();
    curve.push("", "parameters", 0, decoder.shape().parameters() as f64);
    curve.write(context.out())?;
    Ok(Outcome::Finished)
}
