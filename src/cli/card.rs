//! The model card of an exported model: what was trained on what, how it did, and how to make it again.

use super::args::ExportArgs;
use super::failure::Failure;
use super::session::Session;
use crate::exec::results;
use crate::plan::{PlannedStage, TrialPlan};
use crate::recipe::corpus::{CorpusRecipe, Render, TextCorpus};
use crate::recipe::schedule::Schedule;
use crate::recipe::train::Boundary;
use crate::recipe::{Recipe, RlRecipe, TrainRecipe};
use crate::spec::bind::Family;
use crate::verdict::Estimate;
use serde_json::Value;
use std::fmt::Write;

/// `README.md`, with the front matter that the Hub reads.
pub fn text(args: &ExportArgs, session: &Session, trial: &TrialPlan, stage: &PlannedStage) -> Result<String, Failure> {
    let (experiment, lab) = (&session.experiment, &session.lab);
    let arm = experiment.arm(&args.arm).expect("the arm was found among the trials");
    let mut text = String::from("---\nlibrary_name: transformers\npipeline_tag: text-generation\n");
    let base = match lab.families.get(arm.spec.family.as_str()) {
        Some(Family::Checkpoint(checkpoint)) => {
            // With its ending: names such as `Llama-3.2-3B` have dots too.
            let name = checkpoint.place.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let digest = trial.stages.iter().find_map(|planned| match &*planned.recipe {
                Recipe::Checkpoint(recipe) => Some(recipe.content.short()),
                _ => None,
            });
            // The Hub wants an id of its own in the front matter; a path is none.
            format!("`{name}` (digest {}…), whose licence holds for these weights too", digest.unwrap_or_default())
        }
        _ => format!("`{}`, pre-trained from nothing by the lab", arm.spec.family),
    };
    text.push_str("tags: [ablate, mid-training, grpo]\n---\n\n");
    let _ = writeln!(text, "# {} · {} · seed {}\n", experiment.name, args.stage, args.seed);
    let about = if lab.about.is_empty() { String::new() } else { format!(" {}", lab.about) };
    let _ =
        writeln!(text, "Weights after stage `{}` of arm `{}` in lab `{}`.{about}\n", args.stage, args.arm, lab.name);
    let _ = writeln!(text, "- question of the experiment: {}", experiment.question);
    let _ = writeln!(text, "- base model: {base}");
    let _ = writeln!(text, "- seed: {} (draws data order, prompts and rollouts)\n", args.seed);

    let _ = writeln!(text, "## Mid-training\n");
    // What came after this stage is of the arm and not of these weights.
    let until = trial.stages.iter().position(|planned| planned.key == stage.key).unwrap_or(0);
    let before = &trial.stages[..=until];
    let phase = |name: &str| before.iter().find(|planned| planned.name == name);
    let phases: Vec<_> = arm.spec.midtrain.iter().filter_map(|spec| Some((spec, phase(spec.name.as_str())?))).collect();
    if phases.is_empty() {
        let _ = writeln!(text, "None.\n");
    }
    for (spec, planned) in phases {
        let Recipe::Train(recipe) = &*planned.recipe else { continue };
        let _ = writeln!(text, "### `{}`\n\n| corpus | share | what it is |\n|---|---|---|", spec.name);
        for (corpus, share) in &spec.mixture {
            let stage = format!("corpus:{corpus}");
            let made = trial.stages.iter().find(|planned| planned.name == stage);
            let what = match made.map(|planned| &*planned.recipe) {
                Some(Recipe::Corpus(CorpusRecipe::Text(text))) => text_in_words(text),
                _ => "generated".to_string(),
            };
            let _ = writeln!(text, "| {corpus} | {:.2}% | {what} |", share * 100.0);
        }
        let _ = writeln!(text, "\n{}", phase_in_words(recipe, realised(session, planned), &spec.budget.to_string()));
    }

    let _ = writeln!(text, "## Reinforcement learning\n");
    match &*stage.recipe {
        Recipe::Rl(recipe) => {
            let prompts = arm.spec.rl.as_ref().map(|rl| rl.prompts.to_string()).unwrap_or_default();
            let _ = writeln!(text, "{}", rl_in_words(recipe, &prompts));
        }
        _ => {
            let _ = writeln!(text, "None: these are the weights before it.\n");
        }
    }
    results_table(&mut text, args, session)?;
    let lab_name = &args.selection.lab;
    let _ = writeln!(
        text,
        "\n## Make it again\n\n```console\nablate run {0} --lab {lab_name}\nablate export {0} --lab {lab_name} --arm '{1}' --seed {2} --stage {3} --to DIR\n```\n\n\
         Key of the artifact: `{4}`. `ablate` {5}.\n",
        args.selection.experiment.display(),
        args.arm,
        args.seed,
        args.stage,
        stage.key,
        env!("CARGO_PKG_VERSION")
    );
    let recipe = serde_json::to_string_pretty(&*stage.recipe)?;
    let _ = writeln!(
        text,
        "<details><summary>Recipe of this stage, in full</summary>\n\n```json\n{recipe}\n```\n\n</details>"
    );
    Ok(text)
}

/// Tokens that a stage really read, if its artifact is here.
fn realised(session: &Session, stage: &PlannedStage) -> Option<f64> {
    let artifact = session.store.open(&stage.key).ok()?;
    let metrics: Value = serde_json::from_slice(&std::fs::read(artifact.dir.join("metrics.json")).ok()?).ok()?;
    metrics["tokens"].as_f64()
}

fn text_in_words(text: &TextCorpus) -> String {
    let read = match &text.render {
        Render::Text { column } => format!("column `{column}`"),
        Render::Qa { question, answer, format } => format!("`{question}` and `{answer}` as `{format}`"),
    };
    format!("text with digest {}…, {read}", text.content.short())
}

fn phase_in_words(recipe: &TrainRecipe, realised: Option<f64>, paper: &str) -> String {
    let read = realised.map_or("not known here".to_string(), |tokens| format!("{tokens}"));
    let attention = match recipe.boundary {
        Boundary::Row => "within a row, across its documents",
        Boundary::Document => "within a document",
    };
    format!(
        "Budget {} tokens (the paper's {paper}, scaled by the lab); tokens read: {read}, in {} steps of {} rows of {}. Peak learning \
         rate {}, {}; gradients clipped at {}; {}; attention {attention}; a corpus is read at most {}.\n",
        recipe.tokens.0,
        recipe.steps().0,
        recipe.batch_rows,
        recipe.row_tokens,
        recipe.optimizer.peak_lr(),
        schedule_in_words(recipe.schedule),
        recipe.max_grad_norm,
        name(&recipe.precision),
        if recipe.epochs == 1 { "once".to_string() } else { format!("{} times", recipe.epochs) }
    )
}

fn schedule_in_words(schedule: Schedule) -> String {
    let percent = |share: f64| format!("{}%", (share * 1e4).round() / 1e2);
    let after = |warmup: f64| match warmup {
        0.0 => String::new(),
        warmup => format!(" after a warm-up over {}", percent(warmup)),
    };
    match schedule {
        Schedule::Constant { warmup } => format!("constant{}", after(warmup)),
        Schedule::Cosine { warmup, floor } => format!("cosine to {} of it{}", percent(floor), after(warmup)),
        Schedule::WarmupStableDecay { warmup, decay, curve, floor } => format!(
            "constant{}, then {} to {} of it over the last {}",
            after(warmup),
            name(&curve),
            percent(floor),
            percent(decay)
        ),
        Schedule::Decay { curve, floor } => format!("{} from it to {} of it", name(&curve), percent(floor)),
    }
}

/// The word that recipes have for a choice.
fn name(choice: &impl serde::Serialize) -> String {
    match serde_json::to_value(choice) {
        Ok(Value::String(name)) => name,
        other => format!("{other:?}"),
    }
}

fn rl_in_words(recipe: &RlRecipe, prompts: &str) -> String {
    let limits = recipe.max_response.iter().map(|step| match step.from.0 {
        0 => step.max_tokens.to_string(),
        from => format!("{} from step {from}", step.max_tokens),
    });
    format!(
        "{} rollout steps on prompts `{prompts}`: {} prompts × {} responses a step, {} a step, temperature {}; {} advantages, {} \
         loss, clip {} / {}, no KL term; AdamW at {}, gradients clipped at {}. Responses of at most {} tokens. Rewards: correct {}, \
         wrong {}, no answer {}. The answer is found by `{}`.\n\nPrompt: `{}`question`{}`\n",
        recipe.steps.0,
        recipe.prompts_per_step,
        recipe.group_size,
        if recipe.updates_per_step == 1 { "1 update".into() } else { format!("{} updates", recipe.updates_per_step) },
        recipe.temperature,
        name(&recipe.objective.advantage),
        name(&recipe.objective.aggregation),
        recipe.objective.clip_low,
        recipe.objective.clip_high,
        recipe.optimizer.lr,
        recipe.max_grad_norm,
        limits.collect::<Vec<_>>().join(", "),
        recipe.reward.correct,
        recipe.reward.wrong,
        recipe.reward.no_answer,
        name(&recipe.template.extract),
        recipe.template.before.escape_debug(),
        recipe.template.after.escape_debug()
    )
}

fn results_table(text: &mut String, args: &ExportArgs, session: &Session) -> Result<(), Failure> {
    let _ = writeln!(text, "## Results over seeds\n");
    let trials = results::read(&session.results)?.trials;
    let mine: Vec<_> = trials.iter().filter(|trial| trial.arm == args.arm).collect();
    let prefix = format!("{}.", args.stage);
    let gain = |name: &str| args.stage == "rl" && name.starts_with("gain.");
    let mut names: Vec<&String> = mine.iter().flat_map(|trial| trial.metrics.keys()).collect();
    let told = [".accuracy", ".response_length/", ".held_out_loss", ".reward"];
    names.retain(|name| {
        let known = told.iter().any(|part| name.contains(part));
        // The value at step 0 stands beside the last one where it is another.
        let first = name.ends_with("@0") && !name.contains(".held_out_loss");
        (name.starts_with(&prefix) || gain(name)) && known && !first
    });
    names.sort();
    names.dedup();
    if names.is_empty() {
        let _ = writeln!(text, "None of this stage here: no trial of the arm has finished.");
        return Ok(());
    }
    let _ = writeln!(text, "| metric | mean | 95% interval | seeds |\n|---|---|---|---|");
    for name in names {
        let values: Vec<f64> = mine.iter().filter_map(|trial| trial.metrics.get(name).copied()).collect();
        let Some(estimate) = Estimate::of(&values, 0.95) else { continue };
        let interval = match estimate.low.zip(estimate.high) {
            Some((low, high)) => format!("{low:.3} to {high:.3}"),
            None => "one seed".to_string(),
        };
        let _ = writeln!(text, "| `{name}` | {:.3} | {interval} | {} |", estimate.mean, estimate.n);
    }
    Ok(())
}
