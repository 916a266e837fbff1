//! Reinforcement learning from one policy, with its evaluation along the way.

use super::curve::Curve;
use super::pace::Pace;
use super::problems::Pool;
use super::{LocalBench, eval, model, problems, saved};
use crate::eval::evaluate;
use crate::exec::{Outcome, StageContext, StageError};
use crate::fault::{self, SAVE_EVERY};
use crate::model::weights;
use crate::recipe::RlRecipe;
use crate::rl::{RlError, RlTrainer};

pub fn run(recipe: &RlRecipe, context: &StageContext, bench: &LocalBench) -> Result<Outcome, StageError> {
    let folder = model::folder(context, &recipe.policy);
    let benchmarks = problems::of_protocol(&recipe.eval, context)?;
    let tokenizer = model::tokenizer(&folder, &recipe.eval)?;
    let (pool, too_long) = Pool::open(recipe, &tokenizer, context)?;
    let policy = bench.place(weights::load(&folder)?);
    // A state is saved after the evaluation that was due at its step, so a resumed run neither repeats nor skips one.
    let (mut trainer, mut curve, mut evaluated) = match saved::latest(context)? {
        Some(state) => {
            let trainer = RlTrainer::resume(recipe, policy, &state)?;
            let step = trainer.steps_done();
            (trainer, Curve::read(&state.join("curves.csv"))?, Some(step))
        }
        None => (RlTrainer::new(recipe, policy), Curve::default(), None),
    };

    let total = recipe.steps.0;
    let mut pace = Pace::new(SAVE_EVERY);
    let outcome = loop {
        let step = trainer.steps_done();
        let due = step % recipe.eval_every.0 == 0 || step == total;
        if due && evaluated != Some(step) {
            let evaluation = evaluate(trainer.policy(), &recipe.eval, &benchmarks, &tokenizer, context.threads())?;
            eval::push(&mut curve, step, &evaluation);
            evaluated = Some(step);
            if step == total {
                eval::write_items(context.out(), &evaluation)?;
            }
        }
        if step == total {
            break Outcome::Finished;
        }
        if context.stop_requested() || pace.due() {
            pace.save(|| {
                saved::save(context, step, |folder| {
                    trainer.save(folder)?;
                    curve.write_csv(&folder.join("curves.csv"))
                })
            })?;
            if context.stop_requested() {
                return Ok(Outcome::Interrupted);
            }
        }
        fault::point("mid-rl-step");
        let prompts = pool.of_step(recipe, step);
        let timing;
        let metrics = match trainer.step(&prompts, &tokenizer, context.threads()) {
            Ok((metrics, seconds)) => {
                let (sample, verify, update) = (seconds.sample, seconds.judge, seconds.update);
                context.phases(step + 1, &[("sample", sample), ("verify", verify), ("update", update)]);
                timing = format!("sample {sample:.2} s, verify {verify:.2} s, update {update:.2} s");
                metrics
            }
            Err(RlError::Diverged { step, loss, .. }) => break Outcome::Diverged { step, loss },
            Err(error) => return Err(error.into()),
        };
        for (metric, value) in metrics.rows() {
            curve.push("", metric, step + 1, value);
        }
        context.progress(step + 1, total, &format!("reward {:.2}; {timing}", metrics.reward));
    };
    if too_long > 0 {
        curve.push("", "prompts_left_out", total, too_long as f64);
    }
    model::save(context.out(), trainer.policy(), Some(&folder))?;
    curve.write(context.out())?;
    Ok(outcome)
}
