//! What one rollout step is remembered by.

use super::objective::ObjectiveSums;
use super::reward::Outcomes;
use super::rollout::RolloutGroup;
use crate::task::{Ending, Verdict};

/// Numbers of one rollout step. A pure function of the recipe and its inputs: no clocks.
#[derive(Debug, Clone, PartialEq)]
pub struct RlMetrics {
    pub step: u64,
    /// Mean over responses.
    pub reward: f64,
    /// Mean tokens of the correct responses; none if nothing is correct (the paper's definition of response length).
    pub response_length: Option<f64>,
    /// Mean tokens of all responses.
    pub response_length_all: f64,
    /// Share of responses that the length limit cut off.
    pub truncated: f64,
    /// The length limit of this step.
    pub max_response: usize,
    /// Mean over response tokens, in nats, of the sampling policy.
    pub entropy: f64,
    pub correct: f64,
    pub wrong: f64,
    pub no_answer: f64,
    pub gave_up: f64,
    /// Share of groups that earned the same throughout, all of it correct: nothing left to learn from them.
    pub groups_all_right: f64,
    /// Share of groups that earned the same throughout, none of it correct: nothing to learn from yet.
    pub groups_all_wrong: f64,
    /// Optimizer updates made: mini-batches without any gradient make none.
    pub updates: u64,
    /// Means over the updates; 0 if there was none. The gradient norm is that before clipping.
    pub loss: f64,
    pub grad_norm: f64,
    /// Shares of the tokens that have a gradient, and the mean of `old - new` over them.
    pub clip_fraction: f64,
    pub clip_fraction_lower: f64,
    pub approx_kl: f64,
    /// Largest |ratio - 1| in the first update: exactly 0 on CPUs, where sampler and trainer run the same
    /// forward pass, and rounding on other devices.
    pub first_ratio_off_one: f64,
    /// Response tokens sampled.
    pub tokens: u64,
}

/// Wall-clock seconds of one step's phases, kept apart from [`RlMetrics`] so that those repeat exactly.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct PhaseSeconds {
    pub sample: f64,
    pub judge: f64,
    pub update: f64,
}

/// One optimizer update.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Update {
    pub sums: ObjectiveSums,
    pub grad_norm: f64,
}

impl RlMetrics {
    pub fn of(step: u64, max_response: usize, groups: &[RolloutGroup], updates: &[Update]) -> RlMetrics {
        let rollouts = || groups.iter().flat_map(|group| &group.rollouts);
        let count = rollouts().count() as f64;
        let outcomes = Outcomes::of(rollouts().map(|rollout| rollout.verdict));
        let tokens: usize = rollouts().map(|rollout| rollout.tokens.len()).sum();
        let right = |verdict: Verdict| verdict == Verdict::Correct;
        let tokens_right: usize = rollouts().filter(|r| right(r.verdict)).map(|rollout| rollout.tokens.len()).sum();
        let entropy: f64 = rollouts().flat_map(|rollout| &rollout.entropy).map(|&e| f64::from(e)).sum();
        let share_of_groups = |all_right: bool| {
            let same = |group: &&RolloutGroup| {
                let verdicts = || group.rollouts.iter().map(|rollout| right(rollout.verdict));
                group.is_flat() && if all_right { verdicts().all(|v| v) } else { !verdicts().any(|v| v) }
            };
            groups.iter().filter(same).count() as f64 / groups.len() as f64
        };
        let trained: u64 = updates.iter().map(|update| update.sums.tokens).sum();
        let per_token = |sum: f64| if trained == 0 { 0.0 } else { sum / trained as f64 };
        let per_update = |sum: f64| if updates.is_empty() { 0.0 } else { sum / updates.len() as f64 };
        RlMetrics {
            step,
            reward: rollouts().map(|rollout| rollout.reward).sum::<f64>() / count,
            response_length: (outcomes.correct > 0).then(|| tokens_right as f64 / outcomes.correct as f64),
            response_length_all: tokens as f64 / count,
            truncated: rollouts().filter(|rollout| rollout.ending == Ending::Length).count() as f64 / count,
            max_response,
            entropy: entropy / tokens.max(1) as f64,
            correct: outcomes.share(outcomes.correct),
            wrong: outcomes.share(outcomes.wrong),
            no_answer: outcomes.share(outcomes.no_answer),
            gave_up: outcomes.share(outcomes.gave_up),
            groups_all_right: share_of_groups(true),
            groups_all_wrong: share_of_groups(false),
            updates: updates.len() as u64,
            loss: per_update(updates.iter().map(|update| update.sums.loss).sum()),
            grad_norm: per_update(updates.iter().map(|update| update.grad_norm).sum()),
            clip_fraction: per_token(updates.iter().map(|update| update.sums.clipped as f64).sum()),
            clip_fraction_lower: per_token(updates.iter().map(|update| update.sums.clipped_lower as f64).sum()),
            approx_kl: per_token(updates.iter().map(|update| update.sums.approx_kl).sum()),
            first_ratio_off_one: updates.first().map_or(0.0, |update| update.sums.ratio_off_one),
            tokens: tokens as u64,
        }
    }

    /// Names and values for curves, in a fixed order; what is undefined is left out.
    pub fn rows(&self) -> Vec<(&'static str, f64)> {
        let mut rows = vec![("reward", self.reward)];
        rows.extend(self.response_length.map(|length| ("response_length", length)));
        rows.extend([
            ("response_length_all", self.response_length_all),
            ("truncated", self.truncated),
            ("max_response", self.max_response as f64),
            ("entropy", self.entropy),
            ("correct", self.correct),
            ("wrong", self.wrong),
            ("no_answer", self.no_answer),
            ("gave_up", self.gave_up),
            ("groups_all_right", self.groups_all_right),
            ("groups_all_wrong", self.groups_all_wrong),
            ("updates", self.updates as f64),
            ("loss", self.loss),
            ("grad_norm", self.grad_norm),
            ("clip_fraction", self.clip_fraction),
            ("clip_fraction_lower", self.clip_fraction_lower),
            ("approx_kl", self.approx_kl),
            ("first_ratio_off_one", self.first_ratio_off_one),
            ("tokens", self.tokens as f64),
        ]);
        rows
    }
}
