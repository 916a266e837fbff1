//! Prompts become groups of judged responses.
//!
//! Every response has a generator of its own, addressed by (step, prompt, sample), so neither the batch in which it is
//! sampled nor the number of threads can change it, and a resumed run draws what an uninterrupted one would have.

use super::advantage::{advantages, is_flat};
use super::reward::reward;
use crate::data::Tokenizer;
use crate::model::generate::{Prompt, Sampling, generate};
use crate::model::{Decoder, DeviceError};
use crate::recipe::{RlRecipe, Template};
use crate::task::{Ending, Problem, Verdict, judge, respond};

/// One response with what the sampler knew about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Rollout {
    /// Response tokens, with the end-of-text token where the policy chose it.
    pub tokens: Vec<u32>,
    /// Log-probability of each token under the policy that sampled it, at temperature 1.
    pub logprobs: Vec<f32>,
    /// Entropy in nats of the distribution that each token was drawn from, at temperature 1.
    pub entropy: Vec<f32>,
    pub text: String,
    pub ending: Ending,
    pub verdict: Verdict,
    pub reward: f64,
    /// Relative to its siblings.
    pub advantage: f64,
}

/// The responses to one prompt. Siblings live and are compared within this type, so they can't be mixed up.
#[derive(Debug, Clone, PartialEq)]
pub struct RolloutGroup {
    pub prompt: Vec<u32>,
    pub rollouts: Vec<Rollout>,
}

impl RolloutGroup {
    /// Whether all responses earned exactly the same, so that none has a gradient.
    pub fn is_flat(&self) -> bool {
        is_flat(&self.rewards())
    }

    pub fn rewards(&self) -> Vec<f64> {
        self.rollouts.iter().map(|rollout| rollout.reward).collect()
    }

    /// Judges every response and compares it with its siblings.
    pub fn judge(&mut self, recipe: &RlRecipe, problem: &Problem) {
        for rollout in &mut self.rollouts {
            rollout.verdict = judge(&rollout.text, &problem.gold, recipe.template.extract).verdict;
            rollout.reward = reward(&recipe.reward, rollout.verdict);
        }
        let advantages = advantages(recipe.objective.advantage, &self.rewards());
        for (rollout, advantage) in self.rollouts.iter_mut().zip(advantages) {
            rollout.advantage = advantage;
        }
    }
}

/// `recipe.group_size` responses to each prompt, not yet judged; what follows a stop string is cut off.
///
/// Temperatures other than 1 sample from another distribution than the one whose log-probabilities the objective sees.
pub fn sample_groups(
    recipe: &RlRecipe,
    policy: &Decoder,
    step: u64,
    prompts: Vec<Vec<u32>>,
    tokenizer: &Tokenizer,
    threads: usize,
) -> Result<Vec<RolloutGroup>, DeviceError> {
    let stream = recipe.seed.stream("rollout");
    let sampling = Sampling {
        temperature: recipe.temperature as f32,
        max_new: recipe.max_response_at(step),
        eos: tokenizer.eos(),
        banned: tokenizer.pad().into_iter().collect(),
    };
    let asked: Vec<Prompt> =
        prompts.iter().map(|ids| Prompt { ids: ids.clone(), samples: recipe.group_size }).collect();
    let draw = |prompt: usize, sample: usize| stream.at(&[step, prompt as u64, sample as u64]);
    let completions = generate(policy, &asked, &sampling, &draw, threads)?;
    let groups = prompts
        .into_iter()
        .zip(completions)
        .map(|(prompt, completions)| {
            let rollouts = completions.into_iter().map(|completion| {
                let (tokens, logprobs, entropy) = (completion.tokens, completion.logprobs, completion.entropy);
                unjudged(&recipe.template, tokens, logprobs, entropy, tokenizer)
            });
            RolloutGroup { prompt, rollouts: rollouts.collect() }
        })
        .collect();
    Ok(groups)
}

fn unjudged(
    template: &Template,
    mut tokens: Vec<u32>,
    mut logprobs: Vec<f32>,
    mut entropy: Vec<f32>,
    tokenizer: &Tokenizer,
) -> Rollout {
    let response = respond(template, &tokens, tokenizer.eos(), |ids| tokenizer.decode(ids));
    tokens.truncate(response.tokens);
    logprobs.truncate(response.tokens);
    entropy.truncate(response.tokens);
    Rollout {
        tokens,
        logprobs,
        entropy,
        text: response.text,
        ending: response.ending,
        verdict: Verdict::NoAnswer,
        reward: 0.0,
        advantage: 0.0,
    }
}
