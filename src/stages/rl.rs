//! Reinforcement learning from one policy, with its evaluation along the way.

use super::curve::Curve;
use super::{eval, problems, saved};
use crate::cache::fault;
use crate::eval::evaluate;
use crate::exec::{Outcome, StageContext, StageError};
use crate::model::weights;
use crate::recipe::RlRecipe;
use crate::rl::RlTrainer;
use std::time::{Duration, Instant};

/// How much work an interruption may cost.
const SAVE_EVERY: Duration = Duration::from_secs(20);

pub fn run(recipe: &RlRecipe, context: &StageContext) -> Result<Outcome, StageError> {
    let policy = weights::load(&context.input(&recipe.policy).join("model")).map_err(StageError::other)?;
    let benchmarks = problems::of_protocol(&recipe.eval)?;
    let tokenizer = problems::tokenizer(&recipe.eval)?;
    let mut trainer = RlTrainer::new(recipe.clone(), policy);
    let mut curve = Curve::default();
    // The step of the last evaluation already in the curve, so that a resumed run neither repeats nor skips one.
    let mut evaluated = None;
    if let Some(state) = saved::latest(context.scratch()) {
        trainer.resume(&state).map_err(StageError::other)?;
        curve = Curve::read(&state.join("curves.csv"))?;
        evaluated = Some(trainer.step());
    }

    let total = recipe.steps.0;
    let mut saved_at = Instant::now();
    let outcome = loop {
        let step = trainer.step();
        let due = step % recipe.eval_every.0 == 0 || step == total;
        if due && evaluated != Some(step) {
            let evaluation = evaluate(trainer.decoder(), &recipe.eval, &benchmarks, &tokenizer, context.threads());
            let evaluation = evaluation.map_err(StageError::other)?;
            eval::push(&mut curve, step, &evaluation);
            evaluated = Some(step);
            if step == total {
                eval::write_items(context.out(), &evaluation)?;
            }
        }
        if step == total {
            break Outcome::Finished;
        }
        if context.stop_requested() || saved_at.elapsed() > SAVE_EVERY {
            saved::save(context.scratch(), step, |folder| {
                trainer.save(folder).map_err(StageError::other)?;
                curve.write_csv(&folder.join("curves.csv"))
            })?;
            if context.stop_requested() {
                return Ok(Outcome::Interrupted);
            }
            saved_at = Instant::now();
        }
        fault::point("mid-rl-step");
        let prompts = problems::of_step(&recipe.prompts, step, recipe.prompts_per_step)?;
        let metrics = match trainer.rl_step(&prompts, &tokenizer, context.threads()) {
            Ok(metrics) => metrics,
            Err(diverged) => break Outcome::Diverged { step: diverged.step, loss: diverged.loss },
        };
        for (metric, value) in metrics.rows() {
            curve.push("", metric, step + 1, value);
        }
        context.progress(step + 1, total, &format!("reward {:.2}", metrics.reward));
    };
    weights::save(&context.out().join("model"), trainer.decoder()).map_err(StageError::other)?;
    curve.write(context.out())?;
    Ok(outcome)
}
