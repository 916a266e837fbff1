//! The methods section of a report, written from the resolved experiment: what a paper would have to say.

use crate::recipe::rl::{Advantage, Aggregation};
use crate::recipe::{DecayCurve, Schedule};
use crate::spec::bind::Family;
use crate::spec::experiment::Experiment;
use crate::spec::lab::Lab;
use crate::verdict::Results;
use std::collections::BTreeSet;
use std::fmt::Write;

/// Plain paragraphs and lists.
pub fn text(experiment: &Experiment, lab: &Lab, results: &Results) -> String {
    let seeds: BTreeSet<u64> = results.trials.iter().map(|trial| trial.seed).collect();
    let mut text = String::new();
    let mut line = |sentence: String| {
        text.push_str(&sentence);
        text.push('\n');
    };
    line(format!("Lab `{}`. {}", lab.name, lab.about));
    line(String::new());
    line(format!(
        "{} arms under {} seeds each. A seed draws the base model's weights, the order of all data, the RL prompts and every \
         rollout; arms share their seeds, and comparisons are paired over them. Evaluation questions and the draws of \
         sampled evaluation are the same for every arm and seed.",
        experiment.arms.len(),
        seeds.len()
    ));
    line(String::new());
    let scale = &lab.scale;
    line(format!(
        "Amounts are the paper's, scaled: {} of its tokens are {} here, responses of {} tokens are {} here, {} of its RL \
         steps are {} here.",
        crate::recipe::Tokens(scale.tokens.paper),
        crate::recipe::Tokens(scale.tokens.here),
        scale.response.paper,
        scale.response.here,
        scale.rl_steps.paper,
        scale.rl_steps.here
    ));
    line(String::new());
    line("Base models:".into());
    for (name, family) in &lab.families {
        match family {
            Family::Pretrain(pretrain) => {
                let shape = &pretrain.shape;
                let mixture = pretrain.mixture.iter().map(|(corpus, share)| format!("{corpus} {:.0}%", share * 100.0));
                line(format!(
                    "- {name}: {} decoder, {} layers, width {}, {} heads, {} parameters, pre-trained on {} tokens ({})",
                    shape.architecture.name(),
                    shape.layers,
                    shape.hidden,
                    shape.heads,
                    shape.parameters(),
                    pretrain.budget,
                    mixture.collect::<Vec<_>>().join(", ")
                ));
            }
            Family::Checkpoint(checkpoint) => {
                line(format!("- {name}: the published checkpoint at {}", checkpoint.place.path.display()));
            }
        }
    }
    line(String::new());
    let training = &lab.training;
    line(format!(
        "Mid-training: rows of {} tokens, {} rows a step, gradient norm clipped at {}, peak learning rate {}. Each corpus \
         contributes its declared share of the tokens to within one row; no corpus is seen more than {} time(s).",
        training.row_tokens,
        training.batch_rows,
        training.max_grad_norm,
        lab.midtrain.optimizer.peak_lr(),
        training.epochs
    ));
    line(String::new());
    let phases = grouped(experiment.arms.iter().flat_map(|arm| {
        arm.spec.midtrain.iter().map(|phase| {
            let peak = if phase.peak == 1.0 { String::new() } else { format!(", peak at {}%", phase.peak * 100.0) };
            let schedule = schedule(&phase.schedule.resolve(lab.midtrain.warmup));
            format!("{}: {} of the paper's tokens, {schedule}{peak}", phase.name, phase.budget)
        })
    }));
    if !phases.is_empty() {
        line("Phases of mid-training (what each reads is drawn above):".into());
        phases.into_iter().for_each(|phase| line(format!("- {phase}")));
        line(String::new());
    }
    let rl = &lab.rl;
    let named = grouped(experiment.arms.iter().filter_map(|arm| arm.spec.rl.as_ref()).map(|rl| {
        let lengths = rl.max_response.iter().map(|(step, tokens)| match step.0 {
            0 => format!("{}", tokens.0),
            step => format!("{} from step {step}", tokens.0),
        });
        let lengths = lengths.collect::<Vec<_>>().join(", ");
        format!(
            "template {}, prompts {}, {} steps, responses of at most {lengths} tokens",
            rl.template, rl.prompts, rl.steps.0
        )
    }));
    if !named.is_empty() {
        line("RL as the paper counts it:".into());
        named.into_iter().for_each(|arms| line(format!("- {arms}")));
        line(String::new());
    }
    line(format!(
        "RL here: {} advantages, {} loss, clip {} / {}, no KL term, {} prompts × {} responses a step, {} updates a step, \
         temperature {}, AdamW at {} with a warm-up of {} steps; rewards {} (correct), {} (wrong), {} (no answer).",
        match rl.objective.advantage {
            Advantage::Grpo => "GRPO",
            Advantage::DrGrpo => "Dr. GRPO",
            Advantage::Rloo => "RLOO",
        },
        match rl.objective.aggregation {
            Aggregation::TokenMean => "token-mean",
            Aggregation::SeqMeanTokenSum => "sequence-sum",
            Aggregation::SeqMeanTokenMean => "sequence-mean",
            Aggregation::SeqMeanTokenSumNorm => "length-normalised",
        },
        rl.objective.clip_low,
        rl.objective.clip_high,
        rl.prompts_per_step,
        rl.group_size,
        rl.updates_per_step,
        rl.temperature,
        rl.optimizer.lr,
        rl.warmup,
        rl.reward.correct,
        rl.reward.wrong,
        rl.reward.no_answer
    ));
    line(String::new());
    line(format!(
        "Evaluation: greedy, and {} sample(s) a question at temperature {}, at most {} new tokens. Response length is over \
         correct responses, as in the paper.",
        lab.eval.samples, lab.eval.temperature, lab.eval.max_new_tokens
    ));
    line(String::new());
    line("What stands for the paper's benchmarks:".into());
    let used: BTreeSet<&str> =
        experiment.arms.iter().flat_map(|arm| &arm.spec.benchmarks).map(|name| name.as_str()).collect();
    for (name, binding) in lab.benchmarks.iter().filter(|(name, _)| used.contains(name.as_str())) {
        line(format!("- {name}: {}", binding.label));
    }
    if let Some(notes) = &experiment.notes {
        let _ = write!(text, "\n{notes}\n");
    }
    if let Some(change) = &experiment.change_our_mind {
        let _ = write!(text, "\nWhat would change our mind, written before the run: {change}\n");
    }
    text
}

/// Distinct lines in order, each with the number of arms it holds for where there are several lines.
fn grouped(lines: impl Iterator<Item = String>) -> Vec<String> {
    let mut counted: Vec<(String, usize)> = Vec::new();
    for line in lines {
        match counted.iter_mut().find(|(known, _)| *known == line) {
            Some((_, count)) => *count += 1,
            None => counted.push((line, 1)),
        }
    }
    let several = counted.len() > 1;
    let arms = |count: usize| if count == 1 { "1 arm".to_string() } else { format!("{count} arms") };
    let shown = |(line, count): (String, usize)| if several { format!("{line} ({})", arms(count)) } else { line };
    counted.into_iter().map(shown).collect()
}

fn schedule(schedule: &Schedule) -> String {
    let percent = |share: &f64| format!("{}%", (share * 1000.0).round() / 10.0);
    match schedule {
        Schedule::Constant { .. } => "constant rate".into(),
        Schedule::Cosine { floor, .. } => format!("cosine to {} of the peak", percent(floor)),
        Schedule::WarmupStableDecay { decay, floor, .. } => {
            format!("constant, then decay over the last {} to {} of the peak", percent(decay), percent(floor))
        }
        Schedule::Decay { curve, floor } => {
            let curve = match curve {
                DecayCurve::Linear => "linear",
                DecayCurve::Cosine => "cosine",
                DecayCurve::OneMinusSqrt => "1 − sqrt",
            };
            format!("{curve} decay to {}", percent(floor))
        }
    }
}

/// What the results of a lab cannot say, one item each; plain about what is a stand-in.
pub fn limits(lab: &Lab, results: &Results) -> String {
    let seeds: BTreeSet<u64> = results.trials.iter().map(|trial| trial.seed).collect();
    let mut items = Vec::new();
    let made: Vec<u64> = lab
        .families
        .values()
        .filter_map(|family| match family {
            Family::Pretrain(pretrain) => Some(pretrain.shape.parameters()),
            Family::Checkpoint(_) => None,
        })
        .collect();
    if let (Some(least), Some(most)) = (made.iter().min(), made.iter().max()) {
        let size = if least == most { format!("{most}") } else { format!("{least} to {most}") };
        items.push(format!(
            "The models are decoders of {size} parameters, pre-trained here; they stand for models thousands of times their size. \
             What appears here can appear from the data alone; what does not may need size."
        ));
        items.push(
            "The world is generated. A corpus bears the name of the paper's and has the properties that were judged to set it \
             apart (clean or misprinted, short or long reasoning); it is not that corpus. A benchmark bears a name and is a \
             difficulty. A verdict says what follows from these properties, in this world."
                .to_string(),
        );
        items.push(
            "Directions can be held against the paper's; sizes of effects cannot. Where the paper's effect is drawn, it is in \
             points on its own benchmarks."
                .to_string(),
        );
    }
    items.push(format!(
        "{} seeds an arm. Seeds of small models differ a great deal: an arm may take off under one and not under another, so that \
         its mean describes neither. The dots of single seeds show it.",
        seeds.len()
    ));
    items.push(
        "Intervals are over seeds, on the same questions. Other questions of the same kind would add their own error of \
         √(p(1−p)/m) for m questions."
            .to_string(),
    );
    items.push(
        "The paper ran each arm once and smoothed its curves; its effects are differences of single runs, quoted without an \
         interval."
            .to_string(),
    );
    items.iter().map(|item| format!("- {item}\n")).collect()
}
