//! Arms → recipes: binds the paper's names through a lab, scales its amounts, and chains
//! `corpora → base → evaluation → each phase → its evaluation → RL` by key.
//!
//! A trial's seed draws the base model's weights, the order of all data and all rollouts: replicates are independent from
//! the first weight on. Evaluation draws from the lab's seed, the same for every arm. Stages that trials share are
//! fingerprinted once.

use super::outside::Outside;
use super::trial::{PlannedStage, TrialPlan};
use crate::recipe::contamination::{self, ContaminationRecipe, Probed};
use crate::recipe::corpus::TextCorpus;
use crate::recipe::eval::{Benchmark, EvalProtocol, Items};
use crate::recipe::optimizer::{AdamW, Optimizer};
use crate::recipe::rl::{LengthStep, Prompts};
use crate::recipe::{
    Backend, CorpusRecipe, EvalRecipe, HeldOut, Init, Key, MixturePart, Recipe, RlRecipe, Seed, Steps, Tokens,
    TrainRecipe,
};
use crate::recipe::{CheckpointRecipe, Schedule};
use crate::spec::arm::{Arm, Phase, RlSpec};
use crate::spec::bind::{CorpusBinding, Family, ItemsBinding, Pretrain, PromptsBinding};
use crate::spec::experiment::Experiment;
use crate::spec::lab::{Lab, known};
use crate::spec::mistake::Mistakes;
use crate::spec::name::Name;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// The seeds of a run: what the command line asks for (0 up to that many), else what the experiment insists on, else what
/// the lab is for.
pub fn seeds(experiment: &Experiment, lab: &Lab, asked: Option<u64>) -> Vec<Seed> {
    match asked {
        Some(count) => (0..count).map(Seed).collect(),
        None => experiment.seeds.clone().unwrap_or_else(|| lab.seeds.clone()),
    }
}

/// The stages of every trial, arms in the order of the file and seeds within. Fails with every name that the lab does not
/// bind and every mixture that asks for more than a corpus holds.
///
/// Outside data is taken to be absent: its digests are placeholders, right for looking at a plan and wrong for running it.
pub fn lower(experiment: &Experiment, lab: &Lab, seeds: &[Seed], backend: Backend) -> Result<Vec<TrialPlan>, Mistakes> {
    lower_with(experiment, lab, &Outside::default(), seeds, backend)
}

/// As [`lower`], with what is known about outside data.
pub fn lower_with(
    experiment: &Experiment,
    lab: &Lab,
    outside: &Outside,
    seeds: &[Seed],
    backend: Backend,
) -> Result<Vec<TrialPlan>, Mistakes> {
    let mut mistakes = Mistakes::default();
    for arm in &experiment.arms {
        check(arm, lab, &mut mistakes);
        if mistakes.len() > 50 {
            break;
        }
    }
    mistakes.or(Some(()))?;
    let mut lowering = Lowering { lab, outside, backend, memo: HashMap::new() };
    Ok(experiment.trials(seeds).map(|trial| lowering.trial(trial.arm, trial.seed)).collect())
}

/// Every name of an arm is bound, and there is enough of every corpus.
fn check(arm: &Arm, lab: &Lab, mistakes: &mut Mistakes) {
    let mut own = Mistakes::default();
    let spec = &arm.spec;
    known(&spec.family, "the experiment names family", &lab.families, &mut own);
    for phase in &spec.midtrain {
        let budget = budget(phase, lab);
        if let Some((held_out, _)) = &lab.training.held_out
            && let Some((corpus, _)) = phase.mixture.iter().find(|(corpus, _)| corpus == held_out)
        {
            own.add(&corpus.at, format!("phase `{}` trains on corpus `{corpus}`, which the lab holds out", phase.name));
        }
        for (corpus, share) in &phase.mixture {
            if known(corpus, "the experiment names corpus", &lab.corpora, &mut own) {
                enough(corpus, *share, budget, &format!("phase `{}`", phase.name), lab, &mut own);
            }
        }
    }
    if let Some(Family::Pretrain(pretrain)) = lab.families.get(spec.family.as_str()) {
        let read = spec.midtrain.iter().flat_map(|phase| &phase.mixture).chain(&pretrain.mixture);
        for (corpus, _) in read {
            if let Some(CorpusBinding::Text(text)) = lab.corpora.get(corpus.as_str()) {
                own.add_with_hint(
                    &text.files.at,
                    format!(
                        "family `{}` is pre-trained here and has no tokenizer for the text of corpus `{corpus}`",
                        spec.family
                    ),
                    "give the family a `checkpoint`",
                );
            }
        }
        for (corpus, share) in &pretrain.mixture {
            enough(corpus, *share, pretrain.budget, &format!("family `{}`", spec.family), lab, &mut own);
        }
    }
    for benchmark in &spec.benchmarks {
        known(benchmark, "the experiment names benchmark", &lab.benchmarks, &mut own);
    }
    if let Some(rl) = &spec.rl {
        known(&rl.prompts, "the experiment names prompts", &lab.prompts, &mut own);
        known(&rl.template, "the experiment names template", &lab.templates, &mut own);
    }
    mistakes.add_new(own);
}

/// A corpus of known size holds what a stage asks of it. Text whose size nobody knows yet is checked when it is counted.
fn enough(corpus: &Name, share: f64, budget: Tokens, what: &str, lab: &Lab, mistakes: &mut Mistakes) {
    let once = match lab.corpora.get(corpus.as_str()) {
        Some(CorpusBinding::World(recipe)) => recipe.tokens,
        Some(CorpusBinding::Text(text)) => match text.tokens {
            Some(tokens) => tokens,
            None => return,
        },
        None => return,
    };
    let asked = Tokens((share * budget.0 as f64).round() as u64);
    let held = Tokens(once.0 * lab.training.epochs as u64);
    if asked > held {
        mistakes.add_with_hint(
            &corpus.at,
            format!("{what} asks for {asked} tokens of corpus `{corpus}`, which holds {held} in lab `{}`", lab.name),
            "raise the corpus' `size` (or `epochs`) in the lab",
        );
    }
}

fn budget(phase: &Phase, lab: &Lab) -> Tokens {
    Tokens(lab.scale.tokens.apply(phase.budget.0))
}

/// What tells shared stages apart while lowering: a name, the input it grows from, the seed.
type What = (String, Option<Key>, Seed);

struct Lowering<'a> {
    lab: &'a Lab,
    outside: &'a Outside,
    backend: Backend,
    /// Stages by what tells them apart: the name of their kind and what they depend on.
    memo: HashMap<What, (Arc<Recipe>, Key)>,
}

impl Lowering<'_> {
    fn trial(&mut self, arm: &Arm, seed: Seed) -> TrialPlan {
        let spec = &arm.spec;
        let lab = self.lab;
        let mut stages = Vec::new();
        let mut weights = self.base(&spec.family, seed, &mut stages);
        let template = spec.rl.as_ref().map_or(&lab.eval.template, |rl| &rl.template);
        let protocol_name = format!("{template}/{:?}", spec.benchmarks);
        self.eval("base", &protocol_name, weights, template, &spec.benchmarks, &mut stages);
        for phase in &spec.midtrain {
            let mixture = self.mixture(&phase.mixture, &spec.family, &mut stages);
            self.contamination(&phase.mixture, &spec.benchmarks, &mut stages);
            let held_out = self.held_out(&spec.family, &mut stages);
            let described = format!("{:?}{:?}{:?}{}", phase.mixture, phase.budget, phase.schedule, phase.peak);
            weights = self.stage(&phase.name, (described, Some(weights), seed), &mut stages, || {
                Recipe::Train(midtrain(phase, lab, mixture, held_out, weights, seed))
            });
            self.eval(&phase.name, &protocol_name, weights, template, &spec.benchmarks, &mut stages);
        }
        if let Some(rl) = &spec.rl {
            // Arms differ, so no other trial has this stage: there is nothing to remember.
            let recipe = Recipe::Rl(rl_recipe(
                rl,
                lab,
                self.outside,
                weights,
                protocol(lab, self.outside, template, &spec.benchmarks),
                seed,
            ));
            let key = recipe.fingerprint(self.backend).key();
            stages.push(PlannedStage { name: "rl".to_string(), recipe: Arc::new(recipe), key });
        }
        TrialPlan { arm: arm.id.to_string(), levels: arm.levels.clone(), seed, stages }
    }

    fn base(&mut self, family: &Name, seed: Seed, stages: &mut Vec<PlannedStage>) -> Key {
        let lab = self.lab;
        match &lab.families[family.as_str()] {
            Family::Checkpoint(checkpoint) => {
                let content = self.outside.content(&checkpoint.place);
                let tokenizer = Some(self.outside.tokenizer(family.as_str()));
                self.stage("base", (format!("family {family}"), None, Seed(0)), stages, || {
                    Recipe::Checkpoint(CheckpointRecipe { content, tokenizer })
                })
            }
            Family::Pretrain(pretrain) => {
                let mixture = self.mixture(&pretrain.mixture, family, stages);
                let held_out = self.held_out(family, stages);
                self.stage("base", (format!("family {family}"), None, seed), stages, || {
                    Recipe::Train(TrainRecipe { held_out, ..pretraining(pretrain, lab, mixture, seed) })
                })
            }
        }
    }

    fn eval(
        &mut self,
        stage: &str,
        protocol_name: &str,
        model: Key,
        template: &Name,
        benchmarks: &[Name],
        stages: &mut Vec<PlannedStage>,
    ) {
        let (lab, outside) = (self.lab, self.outside);
        let what = (format!("eval {protocol_name}"), Some(model), Seed(0));
        self.stage(&format!("eval:{stage}"), what, stages, || {
            Recipe::Eval(EvalRecipe { model, protocol: protocol(lab, outside, template, benchmarks) })
        });
    }

    /// Adds the corpora to the stages; their shares by key, equal corpora under two names being one.
    ///
    /// A text becomes a corpus through the tokenizer of the family that reads it: one corpus for each tokenizer.
    fn mixture(&mut self, parts: &[(Name, f64)], family: &Name, stages: &mut Vec<PlannedStage>) -> Vec<MixturePart> {
        let (lab, outside) = (self.lab, self.outside);
        let mut shares: BTreeMap<Key, f64> = BTreeMap::new();
        for (name, share) in parts {
            let binding = &lab.corpora[name.as_str()];
            let tokenizer = match binding {
                CorpusBinding::World(_) => None,
                CorpusBinding::Text(_) => Some(outside.tokenizer(family.as_str())),
            };
            let what = (format!("corpus {name}"), tokenizer, Seed(0));
            let key = self.stage(&format!("corpus:{name}"), what, stages, || {
                Recipe::Corpus(match binding {
                    CorpusBinding::World(world) => CorpusRecipe::World(world.clone()),
                    CorpusBinding::Text(text) => CorpusRecipe::Text(TextCorpus {
                        content: outside.content(&text.files),
                        tokenizer: outside.tokenizer(family.as_str()),
                        render: text.render.clone(),
                        bad_lines: text.bad_lines,
                    }),
                })
            });
            *shares.entry(key).or_default() += share;
        }
        shares.into_iter().map(|(corpus, share)| MixturePart { corpus, share }).collect()
    }

    /// Adds a look for the benchmarks in each text. The generated world's problems are disjoint from its corpora by how they
    /// are drawn, so nothing is looked for there.
    fn contamination(&mut self, parts: &[(Name, f64)], benchmarks: &[Name], stages: &mut Vec<PlannedStage>) {
        let (lab, outside) = (self.lab, self.outside);
        let probed = |name: &Name| match &lab.benchmarks[name.as_str()].items {
            ItemsBinding::World { .. } => None,
            ItemsBinding::Dataset { place, .. } => {
                Some(Probed { name: name.text.clone(), content: outside.content(place) })
            }
        };
        let probed: Vec<Probed> = benchmarks.iter().filter_map(probed).collect();
        if probed.is_empty() {
            return;
        }
        for (name, _) in parts {
            let CorpusBinding::Text(text) = &lab.corpora[name.as_str()] else { continue };
            let what = (format!("contamination {name} {benchmarks:?}"), None, Seed(0));
            self.stage(&format!("contamination:{name}"), what, stages, || {
                Recipe::Contamination(ContaminationRecipe {
                    content: outside.content(&text.files),
                    render: text.render.clone(),
                    bad_lines: text.bad_lines,
                    benchmarks: probed.clone(),
                    words: contamination::WORDS,
                })
            });
        }
    }

    /// Adds the corpus that is held out, if there is one.
    fn held_out(&mut self, family: &Name, stages: &mut Vec<PlannedStage>) -> Option<HeldOut> {
        let (corpus, tokens) = self.lab.training.held_out.as_ref()?;
        let whole = self.mixture(&[(corpus.clone(), 1.0)], family, stages);
        Some(HeldOut { corpus: whole[0].corpus, tokens: *tokens })
    }

    /// Adds a stage unless the trial has it already, fingerprinting it only if no trial before had it.
    fn stage(
        &mut self,
        name: &str,
        what: What,
        stages: &mut Vec<PlannedStage>,
        recipe: impl FnOnce() -> Recipe,
    ) -> Key {
        let backend = self.backend;
        let (recipe, key) = self.memo.entry(what).or_insert_with(|| {
            let recipe = recipe();
            let key = recipe.fingerprint(backend).key();
            (Arc::new(recipe), key)
        });
        if !stages.iter().any(|stage| stage.key == *key && stage.name == name) {
            stages.push(PlannedStage { name: name.to_string(), recipe: recipe.clone(), key: *key });
        }
        *key
    }
}

fn pretraining(pretrain: &Pretrain, lab: &Lab, mixture: Vec<MixturePart>, seed: Seed) -> TrainRecipe {
    let init = Init::Random {
        shape: pretrain.shape.clone(),
        embedding_std: pretrain.embedding_std,
        matrix_std: pretrain.matrix_std,
        seed,
    };
    train(lab, init, mixture, pretrain.budget, pretrain.schedule.resolve(0.0), pretrain.optimizer, seed)
}

fn midtrain(
    phase: &Phase,
    lab: &Lab,
    mixture: Vec<MixturePart>,
    held_out: Option<HeldOut>,
    weights: Key,
    seed: Seed,
) -> TrainRecipe {
    let schedule = phase.schedule.resolve(lab.midtrain.warmup);
    let optimizer = scaled(lab.midtrain.optimizer, phase.peak);
    let phase = train(lab, Init::From { weights }, mixture, budget(phase, lab), schedule, optimizer, seed);
    TrainRecipe { held_out, ..phase }
}

fn train(
    lab: &Lab,
    init: Init,
    mixture: Vec<MixturePart>,
    tokens: Tokens,
    schedule: Schedule,
    optimizer: Optimizer,
    seed: Seed,
) -> TrainRecipe {
    let training = &lab.training;
    TrainRecipe {
        init,
        mixture,
        tokens,
        row_tokens: training.row_tokens,
        batch_rows: training.batch_rows,
        boundary: training.boundary,
        epochs: training.epochs,
        schedule,
        optimizer,
        max_grad_norm: training.max_grad_norm,
        precision: training.precision,
        seed,
        held_out: None,
    }
}

/// An optimizer with its learning rates multiplied.
fn scaled(optimizer: Optimizer, peak: f64) -> Optimizer {
    let adamw = |adamw: AdamW| AdamW { lr: adamw.lr * peak, ..adamw };
    match optimizer {
        Optimizer::AdamW(all) => Optimizer::AdamW(adamw(all)),
        Optimizer::Muon { lr, momentum, weight_decay, newton_schulz_steps, rest } => {
            Optimizer::Muon { lr: lr * peak, momentum, weight_decay, newton_schulz_steps, rest: adamw(rest) }
        }
    }
}

fn protocol(lab: &Lab, outside: &Outside, template: &Name, benchmarks: &[Name]) -> EvalProtocol {
    let bound = |name: &Name| Benchmark {
        name: name.text.clone(),
        items: match &lab.benchmarks[name.as_str()].items {
            ItemsBinding::World { problems, count } => Items::World { problems: problems.clone(), count: *count },
            ItemsBinding::Dataset { place, limit } => Items::Dataset { content: outside.content(place), limit: *limit },
        },
    };
    EvalProtocol {
        benchmarks: benchmarks.iter().map(bound).collect(),
        template: lab.templates[template.as_str()].clone(),
        max_new_tokens: lab.eval.max_new_tokens,
        samples: lab.eval.samples,
        temperature: lab.eval.temperature,
        pass_at: lab.eval.pass_at.clone(),
        seed: lab.eval.seed,
    }
}

fn rl_recipe(rl: &RlSpec, lab: &Lab, outside: &Outside, policy: Key, eval: EvalProtocol, seed: Seed) -> RlRecipe {
    let settings = &lab.rl;
    // Steps that fall together when scaled down: the later one holds.
    let mut stair: BTreeMap<Steps, usize> = BTreeMap::new();
    for (from, tokens) in &rl.max_response {
        let from = Steps(lab.scale.rl_steps.apply(from.0));
        stair.insert(from, lab.scale.response.apply(tokens.0) as usize);
    }
    RlRecipe {
        policy,
        prompts: match &lab.prompts[rl.prompts.as_str()] {
            PromptsBinding::World(problems) => Prompts::World(problems.clone()),
            PromptsBinding::Dataset { place, max_prompt_tokens } => {
                Prompts::Dataset { content: outside.content(place), max_prompt_tokens: *max_prompt_tokens }
            }
        },
        template: lab.templates[rl.template.as_str()].clone(),
        steps: Steps(lab.scale.rl_steps.apply(rl.steps.0)),
        prompts_per_step: settings.prompts_per_step,
        group_size: settings.group_size,
        updates_per_step: settings.updates_per_step,
        temperature: settings.temperature,
        max_response: stair.into_iter().map(|(from, max_tokens)| LengthStep { from, max_tokens }).collect(),
        objective: settings.objective.clone(),
        reward: settings.reward,
        optimizer: settings.optimizer,
        warmup: settings.warmup,
        max_grad_norm: settings.max_grad_norm,
        eval_every: settings.eval_every,
        eval,
        seed,
    }
}
