//! The RL loop: one public step, read top to bottom.
//!
//! How this differs from the paper's GRPO (verl with FSDP and vLLM), besides its size:
//! one forward pass serves sampler and trainer, so the first ratio is exactly 1 and nothing is recomputed;
//! a mini-batch in which no response has an advantage makes no update, where verl's optimizer would coast on its momentum;
//! the learning rate may warm up (the paper's does not), and warm-up counts from 1 so that no rollout is wasted at rate 0;
//! mini-batches are split by prompt, in a seeded order, where verl splits in the order of its data loader.

use super::metrics::{PhaseSeconds, RlMetrics, Update};
use super::objective::{ObjectiveSums, surrogate, token_weights};
use super::rollout::{Rollout, RolloutGroup, sample_groups};
use crate::data::Tokenizer;
use crate::data::tokenizer::TokenizerError;
use crate::fault;
use crate::model::{Batch, Decoder, DeviceError, NO_TARGET, Params};
use crate::recipe::{Optimizer, RlRecipe};
use crate::task::Problem;
use crate::train::{OptimizerState, SnapshotError, clip, snapshot};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Tokens of one forward and backward pass of the host's engine. Sums over a mini-batch run in this cut, so it is a constant
/// and no setting. A device is given all, cuts it itself, and sends its gradient once.
const MICRO_BATCH_TOKENS: usize = 8192;

/// Why a step was not made.
#[derive(Debug, thiserror::Error)]
pub enum RlError {
    #[error("RL diverged at step {step}: loss {loss}, gradient norm {grad_norm}; the update was not made")]
    Diverged { step: u64, loss: f64, grad_norm: f64 },
    #[error("failed to finish RL step {step}: {source}")]
    Device { step: u64, source: DeviceError },
    #[error("failed to make the prompt of problem `{id}`: {source}")]
    Prompt { id: String, source: TokenizerError },
    #[error(
        "failed to start RL step {step}: the recipe asks for {expected} prompts a step, but {given} problems were given"
    )]
    Problems { step: u64, expected: usize, given: usize },
}

/// All that changes during RL. What each step draws is addressed by its number, so there is nothing else to save.
pub struct RlTrainer {
    recipe: RlRecipe,
    policy: Decoder,
    optimizer: OptimizerState,
    gradients: Params,
    step: u64,
}

impl RlTrainer {
    /// Before the first step.
    pub fn new(recipe: &RlRecipe, policy: Decoder) -> RlTrainer {
        let optimizer = OptimizerState::new(&Optimizer::AdamW(recipe.optimizer), policy.params());
        let gradients = Params::zeros_like(policy.params());
        RlTrainer { recipe: recipe.clone(), policy, optimizer, gradients, step: 0 }
    }

    /// Writes all that changes into `dir`; a crash meanwhile leaves what was there.
    pub fn save(&self, dir: &Path) -> Result<(), SnapshotError> {
        snapshot::save(&state_file(dir), self.step, self.policy.params(), &self.optimizer)
    }

    /// Takes a run up where [`RlTrainer::save`] left it; `policy` gives the shape, its weights are overwritten.
    pub fn resume(recipe: &RlRecipe, mut policy: Decoder, dir: &Path) -> Result<RlTrainer, SnapshotError> {
        let mut optimizer = OptimizerState::new(&Optimizer::AdamW(recipe.optimizer), policy.params());
        let mut loaded = Ok(0);
        policy.update(|params| loaded = snapshot::load(&state_file(dir), params, &mut optimizer));
        let gradients = Params::zeros_like(policy.params());
        Ok(RlTrainer { recipe: recipe.clone(), policy, optimizer, gradients, step: loaded? })
    }

    /// Rollout steps made.
    pub fn steps_done(&self) -> u64 {
        self.step
    }

    pub fn policy(&self) -> &Decoder {
        &self.policy
    }

    /// One rollout step on `prompts_per_step` problems: sample, judge, and update on each mini-batch once.
    ///
    /// After an error the trainer must not go on: a divergence in a later mini-batch leaves the updates of earlier ones.
    pub fn step(
        &mut self,
        problems: &[Problem],
        tokenizer: &Tokenizer,
        threads: usize,
    ) -> Result<(RlMetrics, PhaseSeconds), RlError> {
        let step = self.step;
        let expected = self.recipe.prompts_per_step;
        if problems.len() != expected {
            return Err(RlError::Problems { step, expected, given: problems.len() });
        }
        let mut seconds = PhaseSeconds::default();

        let start = Instant::now();
        let prompts = self.prompts(problems, tokenizer)?;
        let sampled = sample_groups(&self.recipe, &self.policy, step, prompts, tokenizer, threads);
        let mut groups = sampled.map_err(|source| RlError::Device { step, source })?;
        seconds.sample = start.elapsed().as_secs_f64();

        let start = Instant::now();
        for (group, problem) in groups.iter_mut().zip(problems) {
            group.judge(&self.recipe, problem);
        }
        seconds.judge = start.elapsed().as_secs_f64();

        let start = Instant::now();
        let mut updates = Vec::new();
        for members in mini_batches(&self.recipe, step) {
            let siblings: Vec<&RolloutGroup> = members.iter().map(|&member| &groups[member]).collect();
            updates.extend(self.update(&siblings, threads)?);
            fault::point("between-inner-updates");
        }
        seconds.update = start.elapsed().as_secs_f64();

        self.step += 1;
        Ok((RlMetrics::of(step, self.recipe.max_response_at(step), &groups, &updates), seconds))
    }

    fn prompts(&self, problems: &[Problem], tokenizer: &Tokenizer) -> Result<Vec<Vec<u32>>, RlError> {
        let ids = |problem: &Problem| {
            tokenizer
                .prompt(&self.recipe.template, &problem.question)
                .map_err(|source| RlError::Prompt { id: problem.id.clone(), source })
        };
        problems.iter().map(ids).collect()
    }

    /// One optimizer update; none if no response of the mini-batch has a gradient.
    fn update(&mut self, groups: &[&RolloutGroup], threads: usize) -> Result<Option<Update>, RlError> {
        let grads = &mut self.gradients;
        grads.flat_mut().fill(0.0);
        let step = self.step;
        let tokens = if self.policy.on_device().is_some() { usize::MAX } else { MICRO_BATCH_TOKENS };
        let sums = gradient(&self.recipe, &self.policy, groups, step, tokens, threads, grads)
            .map_err(|source| RlError::Device { step, source })?;
        if sums.tokens == 0 {
            return Ok(None);
        }
        let grad_norm = clip(grads, self.recipe.max_grad_norm);
        if !sums.loss.is_finite() || !grad_norm.is_finite() {
            return Err(RlError::Diverged { step, loss: sums.loss, grad_norm });
        }
        let scale = warm_up(step, self.recipe.warmup.0);
        let optimizer = &mut self.optimizer;
        self.policy.update(|params| optimizer.step_on(params, grads, scale, threads));
        Ok(Some(Update { sums, grad_norm }))
    }
}

/// Where a run's state lies in its folder.
fn state_file(dir: &Path) -> PathBuf {
    dir.join("rl-state.safetensors")
}

/// Linear from `1/warmup` at step 0 to 1.
fn warm_up(step: u64, warmup: u64) -> f64 {
    if step < warmup { (step + 1) as f64 / warmup as f64 } else { 1.0 }
}

/// The prompts of each update: a seeded order, cut in equal parts (up to one prompt, if they don't divide).
fn mini_batches(recipe: &RlRecipe, step: u64) -> Vec<Vec<usize>> {
    let (prompts, parts) = (recipe.prompts_per_step, recipe.updates_per_step);
    let mut order: Vec<usize> = (0..prompts).collect();
    recipe.seed.stream("mini-batch").at(&[step]).shuffle(&mut order);
    (0..parts).map(|part| order[part * prompts / parts..(part + 1) * prompts / parts].to_vec()).collect()
}

/// One response in a packed row of tokens.
struct Placed<'a> {
    rollout: &'a Rollout,
    /// Positions that predict the response's tokens: those of the prompt are not among them.
    positions: Range<usize>,
    weight: f64,
}

/// Adds the objective's gradient over the groups of one mini-batch to `grads`, in passes of at most so many tokens (but
/// at least one response).
///
/// Responses with advantage 0 have no gradient and are never run, but their tokens count in the objective's denominators.
pub(super) fn gradient(
    recipe: &RlRecipe,
    policy: &Decoder,
    groups: &[&RolloutGroup],
    step: u64,
    micro_batch_tokens: usize,
    threads: usize,
    grads: &mut Params,
) -> Result<ObjectiveSums, DeviceError> {
    let responses: Vec<(&[u32], &Rollout)> =
        groups.iter().flat_map(|group| group.rollouts.iter().map(|rollout| (&group.prompt[..], rollout))).collect();
    let lengths: Vec<usize> = responses.iter().map(|(_, rollout)| rollout.tokens.len()).collect();
    let weights = token_weights(recipe.objective.aggregation, &lengths, recipe.max_response_at(step));
    let mut sums = ObjectiveSums::default();
    let mut row = Row::default();
    for ((prompt, rollout), weight) in responses.into_iter().zip(weights) {
        if rollout.advantage == 0.0 || rollout.tokens.is_empty() {
            continue;
        }
        if !row.placed.is_empty() && row.ids.len() + prompt.len() + rollout.tokens.len() > micro_batch_tokens {
            std::mem::take(&mut row).run(recipe, policy, threads, grads, &mut sums)?;
        }
        row.place(prompt, rollout, weight);
    }
    if !row.placed.is_empty() {
        row.run(recipe, policy, threads, grads, &mut sums)?;
    }
    Ok(sums)
}

/// Responses packed one after another behind their prompts, without padding.
#[derive(Default)]
struct Row<'a> {
    ids: Vec<u32>,
    targets: Vec<u32>,
    starts: Vec<usize>,
    placed: Vec<Placed<'a>>,
}

impl<'a> Row<'a> {
    fn place(&mut self, prompt: &[u32], rollout: &'a Rollout, weight: f64) {
        let start = self.ids.len();
        self.starts.push(start);
        self.ids.extend(prompt.iter().chain(&rollout.tokens));
        self.ids.pop(); // Nothing follows the last token.
        self.targets.extend(prompt[1..].iter().map(|_| NO_TARGET));
        self.targets.extend(&rollout.tokens);
        self.placed.push(Placed { rollout, positions: start + prompt.len() - 1..self.ids.len(), weight });
    }

    fn run(
        mut self,
        recipe: &RlRecipe,
        policy: &Decoder,
        threads: usize,
        grads: &mut Params,
        sums: &mut ObjectiveSums,
    ) -> Result<(), DeviceError> {
        self.starts.push(self.ids.len());
        let objective = &recipe.objective;
        let token = |placed: &Placed, position: usize, new: f32| {
            let old = placed.rollout.logprobs[position - placed.positions.start];
            surrogate(objective, placed.rollout.advantage, old, new)
        };
        let slope = |range: Range<usize>, logprob: &[f32], slope: &mut [f32]| {
            slope.fill(0.0);
            let first = self.placed.partition_point(|placed| placed.positions.end <= range.start);
            for placed in self.placed[first..].iter().take_while(|placed| placed.positions.start < range.end) {
                let inside = placed.positions.start.max(range.start)..placed.positions.end.min(range.end);
                for position in inside {
                    let at = position - range.start;
                    slope[at] = (token(placed, position, logprob[at]).slope * placed.weight) as f32;
                }
            }
        };
        let batch = Batch { ids: &self.ids, targets: &self.targets, starts: &self.starts };
        let scores = policy.gradient(batch, threads, &slope, grads)?;
        for placed in &self.placed {
            for position in placed.positions.clone() {
                sums.add(&token(placed, position, scores.logprob[position]), placed.weight);
            }
        }
        Ok(())
    }
}
