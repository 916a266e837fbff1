//! Pre-training, mid-training and decay phases.

use super::curve::Curve;
use super::{model, saved};
use crate::data::{Mix, Shards};
use crate::exec::{Outcome, StageContext, StageError};
use crate::fault::{self, SAVE_EVERY};
use crate::model::{Decoder, weights};
use crate::recipe::{Init, TrainRecipe};
use crate::train::Trainer;
use std::time::Instant;

/// Points of a loss curve, each the mean over the steps since the one before.
const POINTS: u64 = 50;

pub fn run(recipe: &TrainRecipe, context: &StageContext) -> Result<Outcome, StageError> {
    let shards =
        recipe.mixture.iter().map(|part| Shards::open(context.input(&part.corpus))).collect::<Result<Vec<_>, _>>()?;
    let mix = Mix::new(recipe, &shards)?;
    let realised: u64 = mix.realised().iter().map(|tokens| tokens.0).sum();
    let (decoder, from) = match &recipe.init {
        Init::Random { shape, embedding_std, matrix_std, seed } => {
            (Decoder::random(shape.clone(), *embedding_std, *matrix_std, *seed), None)
        }
        Init::From { weights } => {
            let folder = model::folder(context, weights);
            (weights::load(&folder)?, Some(folder))
        }
    };
    let mut trainer = Trainer::new(recipe, decoder, mix)?;
    let mut curve = Curve::default();
    // Losses since the last point of the curve.
    let mut losses: Vec<f64> = Vec::new();
    if let Some(state) = saved::latest(context)? {
        trainer.resume(&state)?;
        curve = Curve::read(&state.join("curves.csv"))?;
        let text = std::fs::read(state.join("losses.json"))?;
        losses = serde_json::from_slice(&text)?;
    }

    let total = recipe.steps().0;
    let every = (total / POINTS).max(1);
    let mut saved_at = Instant::now();
    let outcome = loop {
        if trainer.step == total {
            break Outcome::Finished;
        }
        if context.stop_requested() || saved_at.elapsed() > SAVE_EVERY {
            save(&trainer, &curve, &losses, context)?;
            if context.stop_requested() {
                return Ok(Outcome::Interrupted);
            }
            saved_at = Instant::now();
        }
        fault::point("mid-train-step");
        let metrics = match trainer.step(context.threads()) {
            Ok(metrics) => metrics,
            Err(diverged) => break Outcome::Diverged { step: diverged.step, loss: diverged.loss },
        };
        let step = trainer.step;
        losses.push(metrics.loss);
        if step % every == 0 || step == total {
            curve.push("", "loss", step, losses.iter().sum::<f64>() / losses.len() as f64);
            curve.push("", "lr", step, metrics.lr);
            curve.push("", "grad_norm", step, metrics.grad_norm);
            losses.clear();
            context.progress(step, total, &format!("loss {:.3}", metrics.loss));
        }
    };
    curve.push("", "tokens", total, realised as f64);
    model::save(context.out(), &trainer.decoder, from.as_deref())?;
    curve.write(context.out())?;
    Ok(outcome)
}

fn save(trainer: &Trainer, curve: &Curve, losses: &[f64], context: &StageContext) -> Result<(), StageError> {
    saved::save(context, trainer.step, |folder| {
        trainer.save(folder)?;
        curve.write_csv(&folder.join("curves.csv"))?;
        let losses = serde_json::to_vec(losses)?;
        std::fs::write(folder.join("losses.json"), losses)?;
        Ok(())
    })
}
