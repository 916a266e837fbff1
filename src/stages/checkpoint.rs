//! Weights that exist already become an artifact like any other, with their tokenizer.

use super::curve::Curve;
use super::model;
use crate::data::HfTokenizer;
use crate::eval::open::Place;
use crate::exec::{Outcome, StageContext, StageError};
use crate::fault;
use crate::model::weights;
use crate::recipe::CheckpointRecipe;
use serde_json::Map;

pub fn run(recipe: &CheckpointRecipe, context: &StageContext) -> Result<Outcome, StageError> {
    let gone = || StageError::new("the lab no longer says where this checkpoint lies");
    let place = Place::find(context.source(&recipe.content).ok_or_else(gone)?)?;
    if place.content()? != recipe.content {
        return Err(changed(&place.path().display().to_string()));
    }
    let decoder = place.decoder()?;
    fault::point("mid-checkpoint");
    let out = context.out().join("model");
    match &recipe.tokenizer {
        None => weights::save(&out, &decoder, &Map::new())?,
        Some(key) => {
            let from = context.source(key).ok_or_else(gone)?;
            let tokenizer = HfTokenizer::load(from)?;
            if tokenizer.content() != *key {
                return Err(changed(&from.display().to_string()));
            }
            fits(&tokenizer, decoder.shape().vocab)?;
            let mut extra = tokenizer.ids();
            extra.extend(model::kept(place.path())?);
            weights::save(&out, &decoder, &extra)?;
            model::carry(from, &out)?;
        }
    }
    let mut curve = Curve::default();
    curve.push("", "parameters", 0, decoder.shape().parameters() as f64);
    curve.write(context.out())?;
    Ok(Outcome::Finished)
}

/// A tokenizer must not have ids that the weights have no row for.
pub fn fits(tokenizer: &HfTokenizer, rows: usize) -> Result<(), StageError> {
    let ids = tokenizer.vocab_size();
    if ids > rows {
        return Err(StageError::new(format!(
            "failed to join tokenizer and weights: the tokenizer has {ids} ids and the weights have rows for {rows}; they belong to different models"
        )));
    }
    Ok(())
}

pub fn changed(place: &str) -> StageError {
    StageError::new(format!("{place} is not what it was when the run began; run again to make it anew"))
}
