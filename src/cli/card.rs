//! The model card of an exported model: what was trained on what, how it did, and how to make it again.

use super::args::ExportArgs;
use super::failure::Failure;
use super::session::Session;
use crate::exec::results;
use crate::plan::{PlannedStage, TrialPlan};
use crate::recipe::{Recipe, RlRecipe, TrainRecipe};
use crate::spec::bind::{CorpusBinding, Family};
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
            let name = checkpoint.place.path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            // The Hub wants an id of its own here; a path is none, so the name goes to the text below.
            format!("`{name}`, a published checkpoint")
        }
        _ => format!("`{}`, pre-trained from nothing by the lab", arm.spec.family),
    };
    text.push_str("tags: [ablate, mid-training, grpo]\n---\n\n");
    let _ = writeln!(text, "# {} · {} · seed {}\n", experiment.name, args.stage, args.seed);
    let _ = writeln!(
        text,
        "Weights after stage `{}` of arm `{}` in lab `{}`: {}\n",
        args.stage, args.arm, lab.name, lab.about
    );
    let _ = writeln!(text, "- question of the experiment: {}", experiment.question);
    let _ = writeln!(text, "- base model: {base}");
    let _ = writeln!(text, "- seed: {} (draws data order, prompts and rollouts)\n", args.seed);

    let _ = writeln!(text, "## Mid-training\n");
    if arm.spec.midtrain.is_empty() {
        let _ = writeln!(text, "None.");
    }
    for phase in &arm.spec.midtrain {
        let planned = trial.stages.iter().find(|planned| planned.name == phase.name);
        let Some((planned, Recipe::Train(recipe))) = planned.map(|planned| (planned, &*planned.recipe)) else {
            continue;
        };
        let _ = writeln!(text, "### `{}`\n\n| corpus | share | what it is |\n|---|---|---|", phase.name);
        for (corpus, share) in &phase.mixture {
            let what = match lab.corpora.get(corpus.as_str()) {
                Some(CorpusBinding::Text(binding)) => format!("text at `{}`", binding.files.path.display()),
                _ => "generated".to_string(),
            };
            let _ = writeln!(text, "| {corpus} | {:.2}% | {what} |", share * 100.0);
        }
        let _ = writeln!(text, "\n{}", phase_in_words(recipe, realised(session, planned), &phase.budget.to_string()));
    }

    let _ = writeln!(text, "## Reinforcement learning\n");
    match trial.stages.iter().find_map(|planned| match &*planned.recipe {
        Recipe::Rl(recipe) => Some(recipe),
        _ => None,
    }) {
        Some(recipe) if args.stage == "rl" => {
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

fn phase_in_words(recipe: &TrainRecipe, realised: Option<f64>, paper: &str) -> String {
    let read = realised.map_or("not known here".to_string(), |tokens| format!("{tokens}"));
    format!(
        "Budget {} tokens (the paper's {paper}, scaled by the lab); tokens read: {read}, in {} steps of {} rows of {}. Peak learning \
         rate {}, schedule {:?}, gradients clipped at {}, {:?}; attention within each {:?}, at most {} pass(es) over a corpus.\n",
        recipe.tokens.0,
        recipe.steps().0,
        recipe.batch_rows,
        recipe.row_tokens,
        recipe.optimizer.peak_lr(),
        recipe.schedule,
        recipe.max_grad_norm,
        recipe.precision,
        recipe.boundary,
        recipe.epochs
    )
}

fn rl_in_words(recipe: &RlRecipe, prompts: &str) -> String {
    let limits = recipe.max_response.iter().map(|step| format!("{} from step {}", step.max_tokens, step.from.0));
    format!(
        "{} rollout steps on prompts `{prompts}`: {} prompts × {} responses a step, {} updates a step, temperature {}; {:?} advantages, \
         {:?} loss, clip {} / {}, no KL term; AdamW at {}, gradients clipped at {}. Responses of at most {} tokens. Rewards: correct {}, \
         wrong {}, no answer {}. The answer is found by `{:?}`.\n\nPrompt: `{}`question`{}`\n",
        recipe.steps.0,
        recipe.prompts_per_step,
        recipe.group_size,
        recipe.updates_per_step,
        recipe.temperature,
        recipe.objective.advantage,
        recipe.objective.aggregation,
        recipe.objective.clip_low,
        recipe.objective.clip_high,
        recipe.optimizer.lr,
        recipe.max_grad_norm,
        limits.collect::<Vec<_>>().join(", "),
        recipe.reward.correct,
        recipe.reward.wrong,
        recipe.reward.no_answer,
        recipe.template.extract,
        recipe.template.before.escape_debug(),
        recipe.template.after.escape_debug()
    )
}

fn results_table(text: &mut String, args: &ExportArgs, session: &Session) -> Result<(), Failure> {
    let _ = writeln!(text, "## Results over seeds\n\n| metric | mean | 95% interval | seeds |\n|---|---|---|---|");
    let trials = results::read(&session.results)?.trials;
    let mine: Vec<_> = trials.iter().filter(|trial| trial.arm == args.arm).collect();
    let prefix = format!("{}.", args.stage);
    let mut names: Vec<&String> = mine.iter().flat_map(|trial| trial.metrics.keys()).collect();
    let told = [".accuracy", ".response_length/", ".held_out_loss", ".reward"];
    names.retain(|name| name.starts_with(&prefix) && told.iter().any(|part| name.contains(part)));
    names.sort();
    names.dedup();
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
