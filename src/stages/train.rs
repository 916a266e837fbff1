//! Pre-training, mid-training and decay phases.

use super::curve::Curve;
use super::pace::Pace;
use super::{LocalBench, model, saved};
use crate::cache::{Record, disk, store};
use crate::data::{Mix, MixError, Shards};
use crate::exec::{Outcome, StageContext, StageError};
use crate::fault::{self, SAVE_EVERY};
use crate::model::{Decoder, weights};
use crate::recipe::{Init, TrainRecipe};
use crate::train::held_out::HeldOutRows;
use crate::train::{StepError, Trainer};

/// Points of a loss curve, each the mean over the steps since the one before.
const POINTS: u64 = 50;
/// Measurements of the held-out loss, besides the first.
const MEASUREMENTS: u64 = 10;

pub fn run(recipe: &TrainRecipe, context: &StageContext, bench: &LocalBench) -> Result<Outcome, StageError> {
    let shards =
        recipe.mixture.iter().map(|part| Shards::open(context.input(&part.corpus))).collect::<Result<Vec<_>, _>>()?;
    let mix = Mix::new(recipe, &shards).map_err(|error| named(error, recipe, context))?;
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
    let held_out = match &recipe.held_out {
        Some(held_out) => Some(HeldOutRows::new(&Shards::open(context.input(&held_out.corpus))?, held_out, recipe)?),
        None => None,
    };
    let mut trainer = Trainer::new(recipe, bench.place(decoder), mix)?;
    let mut curve = Curve::default();
    // Losses since the last point of the curve.
    let mut losses: Vec<f64> = Vec::new();
    // A state is saved after the measurement that was due at its step.
    let mut measured = None;
    if let Some(state) = saved::latest(context)? {
        trainer.resume(&state)?;
        curve = Curve::read(&state.join("curves.csv"))?;
        let text = disk::read(&state.join("losses.json"))?;
        losses = serde_json::from_slice(&text)?;
        measured = Some(trainer.step);
    }

    let total = recipe.steps().0;
    let every = (total / POINTS).max(1);
    let mut pace = Pace::new(SAVE_EVERY);
    let often = (total / MEASUREMENTS).max(1);
    let outcome = loop {
        let due = trainer.step % often == 0 || trainer.step == total;
        if let Some(rows) = held_out.as_ref().filter(|_| due && measured != Some(trainer.step)) {
            curve.push("", "held_out_loss", trainer.step, rows.loss(&trainer.decoder, context.threads())?);
            measured = Some(trainer.step);
        }
        if trainer.step == total {
            break Outcome::Finished;
        }
        if context.stop_requested() || pace.due() {
            pace.save(|| save(&trainer, &curve, &losses, context))?;
            if context.stop_requested() {
                return Ok(Outcome::Interrupted);
            }
        }
        fault::point("mid-train-step");
        let metrics = match trainer.step(context.threads()) {
            Ok(metrics) => metrics,
            Err(StepError::Diverged { step, loss, .. }) => break Outcome::Diverged { step, loss },
            Err(error) => return Err(error.into()),
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

/// A recipe knows its corpora by their keys; people know them by name, which their records hold.
fn named(error: MixError, recipe: &TrainRecipe, context: &StageContext) -> StageError {
    let MixError::TooSmall { index, .. } = error else { return error.into() };
    let record = std::fs::read(context.input(&recipe.mixture[index].corpus).join(store::RECORD)).ok();
    let record = record.and_then(|bytes| Record::from_bytes(&bytes).ok());
    match record.as_ref().and_then(|record| record.labels.first()) {
        Some(label) => StageError::new(format!("{error} (corpus {index} is `{}`)", label.stage)),
        None => error.into(),
    }
}

fn save(trainer: &Trainer, curve: &Curve, losses: &[f64], context: &StageContext) -> Result<(), StageError> {
    saved::save(context, trainer.step, |folder| {
        trainer.save(folder)?;
        curve.write_csv(&folder.join("curves.csv"))?;
        let losses = serde_json::to_vec(losses)?;
        disk::write_note(&folder.join("losses.json"), &losses)?;
        Ok(())
    })
}
